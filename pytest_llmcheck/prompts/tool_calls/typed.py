"""Arguments that stand in a reply as plain text: what they are, by the tool's own schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.literals import PYTHON, LiteralError, read_literal
from pytest_llmcheck.prompts.tool_calls.reading import read_json
from pytest_llmcheck.strict_json import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
    (type(None), "null"),
)
_LEVELS = 8
_PARTS = ("anyOf", "oneOf", "allOf")


def value_of(written: str, key: str, schema: Mapping[str, Any]) -> Any:
    """The value of an argument that was written without quotes.

    Args:
        written: the text.
        key: the argument's name.
        schema: of all the parameters of the tool.
    """
    return typed(written, part_of(schema, key, schema), schema)


def typed(written: str, schema: object, root: Mapping[str, Any]) -> Any:
    """A value that was written without quotes.

    Where the schema takes only strings it is the text as it stands. Else it is read as JSON, or as Python
    prints it (``True``, ``None``, ``['a']``), since many templates print it so. What is neither stays a text:
    whoever looks at the schema will say so.

    Args:
        written: the text.
        schema: of the value.
        root: the schema that it is a part of.
    """
    types = types_of(schema, root)
    if types == {"string"}:
        return written
    stripped = written.strip()
    for read in (_json, _python):
        try:
            value, end = read(stripped)
        except (NotJSONError, LiteralError):
            continue
        if end != len(stripped):
            continue
        # A text in quotes where a string may stand is that text, quotes included.
        if isinstance(value, str) and (not types or "string" in types):
            return written
        if not types or "string" not in types or _type(value) & types:
            return value
    return written


def types_of(schema: object, root: Mapping[str, Any]) -> set[str]:
    """The types that a schema names; empty where it leaves them open."""
    return set(_types(schema, root, _LEVELS))


def part_of(schema: object, key: str, root: Mapping[str, Any], levels: int = _LEVELS) -> object:
    """The schema of a property, or of the items of a list under the key ``item``; None where that is open."""
    if not isinstance(schema, dict) or not levels:
        return None
    properties = schema.get("properties")
    if isinstance(properties, dict) and key in properties:
        return properties[key]
    if key == "item" and "items" in schema:
        return schema["items"]
    inner = [one for word in _PARTS if isinstance(schema.get(word), list) for one in schema[word]]
    for one in (*inner, _target(schema.get("$ref"), root)):
        if (found := part_of(one, key, root, levels - 1)) is not None:
            return found
    return None


def _json(text: str) -> tuple[Any, int]:
    read = read_json(text, 0)
    return read.value, read.end


def _python(text: str) -> tuple[Any, int]:
    read = read_literal(text, 0, PYTHON)
    return read.value, read.end


def _type(value: Any) -> set[str]:
    """The types of JSON Schema that a value has."""
    found = next(name for kind, name in _NAMES if isinstance(value, kind))
    whole = isinstance(value, float) and value.is_integer()
    return {found, "number"} if found == "integer" else {found, "integer"} if whole else {found}


def _types(schema: object, root: Mapping[str, Any], levels: int) -> Iterator[str]:
    """The types that a schema names; none where it leaves them open."""
    if not isinstance(schema, dict) or not levels:
        return
    named = schema.get("type")
    yield from [named] if isinstance(named, str) else named if isinstance(named, list) else ()
    if named is None:
        if "const" in schema:
            yield from _type(schema["const"])
        for value in schema["enum"] if isinstance(schema.get("enum"), list) else ():
            yield from _type(value)
        for key in _PARTS:
            for inner in schema[key] if isinstance(schema.get(key), list) else ():
                yield from _types(inner, root, levels - 1)
        yield from _types(_target(schema.get("$ref"), root), root, levels - 1)


def _target(reference: object, root: Mapping[str, Any]) -> object:
    """What a reference into the schema itself points at."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: object = root
    for step in reference[2:].split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
