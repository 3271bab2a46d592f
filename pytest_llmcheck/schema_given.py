"""What users hand over as a schema -> the schema itself, as JSON values, and how it shows in messages."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmcheck.schema_types import is_type, json_schema_of, type_name
from pytest_llmcheck.strict_json import NotJSONError, line_and_column, parse
from pytest_llmcheck.visible import cut, visible

Schema = Mapping[str, Any] | bool | str | Path | type | Any
"""A dict, JSON text, a path, or a type that describes data; see `schema_of`."""

_TAKES = "a JSON Schema: a dict, its JSON text, the path of a JSON file, or a type such as a dataclass"


def is_json_text(text: str) -> bool:
    """Whether a text is meant as JSON; else it is the path of a file."""
    return text.lstrip()[:1] in ("{", "[") or text.strip() in ("true", "false")


def schema_of(given: Schema, who: str) -> tuple[Any, str]:
    """The schema as JSON values of our own, and how it shows in messages.

    Types that bring their own schema, as pydantic's models and ``TypeAdapter`` do, are asked for it. For
    others see `schema_types.json_schema_of`.

    Args:
        given: by a user.
        who: takes it, for messages, such as ``matches_schema``.

    Raises:
        TypeError: it is nothing of the sort, or an instance of a type that would be.
        ValueError: it cannot be read, or is not made of JSON values.
    """
    __tracebackhide__ = True
    if isinstance(given, str) and is_json_text(given):
        parsed = _parsed(given, "the schema", who)
        return parsed, _in_short(parsed)
    if isinstance(given, str | Path):
        if not str(given).strip():
            raise ValueError(f"{who}: the text is empty; it takes {_TAKES}")
        return _parsed(_text_of(Path(given), who), str(given), who), repr(str(given))
    made = _of_type(given, who)
    if made is None and not isinstance(given, Mapping | bool):
        raise TypeError(f"{who} takes {_TAKES}; got {cut(repr(given), 80)}")
    try:
        copy = json.loads(json.dumps(given if made is None else made, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who}: the schema is not made of JSON values: {error}") from None
    except RecursionError:
        raise ValueError(f"{who}: the schema is nested too deeply, or contains itself") from None
    return copy, _in_short(copy) if made is None else cut(type_name(given), 60)


def _of_type(given: Any, who: str) -> Any:
    """The schema of a type; None for what is no type."""
    __tracebackhide__ = True
    kind = type(given)
    if not isinstance(given, type) and (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "__struct_fields__")
        or hasattr(kind, "model_json_schema")
    ):
        raise TypeError(f"{who}: give the class {kind.__name__} itself, not an instance of it")
    # Of a model, or of a TypeAdapter.
    own = getattr(given, "model_json_schema" if isinstance(given, type) else "json_schema", None)
    if isinstance(given, Mapping) or not (own or is_type(given)):
        return None
    try:
        return own() if own else json_schema_of(given)
    except Exception as error:  # whatever somebody's model raises
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{who}: {cut(type_name(given), 60)} has no JSON Schema: {why}") from None


def _text_of(file: Path, who: str) -> str:
    __tracebackhide__ = True
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        message = f"{who}: neither JSON text nor a readable file: {file.absolute()}: {reason}"
        raise ValueError(message) from None


def _parsed(text: str, what: str, who: str) -> Any:
    __tracebackhide__ = True
    try:
        return parse(text)
    except NotJSONError as error:
        at = line_and_column(text, error.position)
        raise ValueError(f"{who}: {what} is not JSON: {error} at {at}") from None


def _in_short(schema: Any) -> str:
    """A schema's title, else the names of its properties, else its beginning: a message names it, no more."""
    if isinstance(schema, dict):
        if isinstance(title := schema.get("title"), str):
            return cut(repr(title), 60)
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            return cut(visible(f"{{{', '.join(properties)}}}"), 60)
    return cut(repr(schema), 60)
