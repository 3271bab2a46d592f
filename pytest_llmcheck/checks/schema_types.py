"""What users hand over as a schema -> the schema itself, as JSON values, and how it shows in messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from pytest_llmcheck.strict_json import NotJSONError, line_and_column, parse
from pytest_llmcheck.visible import cut, visible

Schema = Mapping[str, Any] | bool | str | Path | type | Any
"""A dict, JSON text, a path, or a type that describes data; see `schema_of`."""


def schema_of(given: Schema) -> tuple[Any, str]:
    """The schema as JSON values of our own, and how it shows in messages.

    Types that bring their own schema, as pydantic's models and ``TypeAdapter`` do, are asked for it. For
    dataclasses, TypedDicts, ``msgspec.Struct`` and other types msgspec writes it.

    Raises:
        ValueError: it cannot be read, or is not made of JSON values.
    """
    __tracebackhide__ = True
    if isinstance(given, str) and (given.lstrip()[:1] == "{" or given.strip() in ("true", "false")):
        parsed = _parsed(given, "the schema")
        return parsed, _in_short(parsed)
    if isinstance(given, str | Path):
        return _parsed(_text_of(Path(given)), str(given)), repr(str(given))
    made = _of_type(given)
    try:
        copy = json.loads(json.dumps(given if made is None else made, allow_nan=False))
    except (TypeError, ValueError) as error:
        message = f"matches_schema: the schema is not made of JSON values: {error}"
        raise ValueError(message) from None
    except RecursionError:
        raise ValueError("matches_schema: the schema is nested too deeply, or contains itself") from None
    return copy, _in_short(copy) if made is None else _name(given)


def _of_type(given: Any) -> Any:
    """The schema of a type; None for what is no type."""
    __tracebackhide__ = True
    own = getattr(given, "model_json_schema", None)
    if own is None and not isinstance(given, type | Mapping):
        own = getattr(given, "json_schema", None)  # a TypeAdapter of pydantic
    if own is None and getattr(given, "__pydantic_validator__", None) is not None:
        # A dataclass of pydantic, which is imported by then.
        own = sys.modules["pydantic"].TypeAdapter(given).json_schema
    if own is None and not isinstance(given, type) and get_origin(given) is None:
        return None
    try:
        if own is not None:
            return own()
        import msgspec

        return msgspec.json.schema(given)
    except Exception as error:  # whatever somebody's model raises
        remedy = "" if own else "; give the schema as a dict, or a pydantic.TypeAdapter of the type"
        message = f"matches_schema: {_name(given)} has no JSON Schema: {_first_line(error)}{remedy}"
        raise ValueError(message) from None


def _name(given: Any) -> str:
    return given.__name__ if isinstance(given, type) else cut(repr(given), 60)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _text_of(file: Path) -> str:
    __tracebackhide__ = True
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        message = f"matches_schema: neither JSON text nor a readable file: {file.absolute()}: {reason}"
        raise ValueError(message) from None


def _parsed(text: str, what: str) -> Any:
    __tracebackhide__ = True
    try:
        return parse(text)
    except NotJSONError as error:
        at = line_and_column(text, error.position)
        raise ValueError(f"matches_schema: {what} is not JSON: {error} at {at}") from None


def _in_short(schema: Any) -> str:
    """A schema's title, else the names of its properties, else its beginning: a message names it, no more."""
    if isinstance(schema, dict):
        if isinstance(title := schema.get("title"), str):
            return cut(repr(title), 60)
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            return cut(visible(f"{{{', '.join(properties)}}}"), 60)
    return cut(repr(schema), 60)
