"""A JSON Schema -> alternatives of plain keywords: references followed, allOf, anyOf, oneOf multiplied out.

An alternative is a dict of keywords of draft 2020-12 that is a valid schema itself. What two parts of a
conjunction say about the same thing is united where that is exact; the rest is kept under ``allOf``, where
it is still known to a validator and listed as not enforced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Flat = dict[str, Any]

MAX_ALTERNATIVES = 500
MAX_STEPS = 20_000
MAX_VALUES = 2_000

BOUNDS = {
    "minimum": max, "exclusiveMinimum": max, "minLength": max, "minItems": max, "minProperties": max,
    "maximum": min, "exclusiveMaximum": min, "maxLength": min, "maxItems": min, "maxProperties": min,
}  # fmt: skip
BY_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "object": (
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
        "minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
    ),
    "array": (
        "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains",
        "maxContains", "unevaluatedItems",
    ),
}  # fmt: skip
"""Keywords that say something about one type only."""

ANNOTATIONS = {
    "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
    "$schema", "$id", "id", "$defs", "definitions", "$anchor", "$vocabulary", "$dynamicAnchor",
    "$recursiveAnchor", "contentEncoding", "contentMediaType", "contentSchema",
}  # fmt: skip
"""Keywords that no text violates."""

OPAQUE = ("not", "if", "then", "else")
KNOWN = {"type", "enum", *OPAQUE, *(keyword for keywords in BY_TYPE.values() for keyword in keywords)}
_CONDITION = ("if", "then", "else")
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


_STRUCTURAL = (
    "properties", "patternProperties", "additionalProperties", "items", "prefixItems", "allOf", *_CONDITION,
)  # fmt: skip


class Flattener:
    """Resolves the schemas of one document.

    Args:
        root: the document.
        note: told of what is not enforced: keyword, path, reason.
    """

    def __init__(self, root: Any, note: Callable[[str, str, str], None]) -> None:
        self._root = root
        self._note = note
        self._steps = 0

    def flatten(self, schema: Any, path: str, seen: tuple[str, ...] = ()) -> list[Flat]:
        """The alternatives; none where nothing matches.

        Raises:
            ConfigError: a reference that cannot be followed, or too many alternatives.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise ConfigError(f"the schema is too large or its references explode, at {path}")
        if isinstance(schema, bool):
            return [{}] if schema else []
        if schema is not self._root and isinstance(schema.get("$id"), str):
            raise ConfigError(f"$id at {path}: only the whole schema may have one")
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                raise ConfigError(f"{keyword} at {path} is not supported: use $ref")
        found = [self._plain(schema, path)]
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in seen:
                raise ConfigError(f"$ref at {path}: {reference} refers to itself without end")
            target = self.flatten(self._resolve(reference, path), path, (*seen, reference))
            found = self._both(target, found, path)
        for part in schema.get("allOf", ()):
            found = self._both(found, self.flatten(part, path, seen), path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                options = [self.flatten(option, path, seen) for option in schema[keyword]]
                if keyword == "oneOf" and not self._exclusive(options, path):
                    self._note("oneOf", path, "as anyOf")
                found = self._both(found, [flat for option in options for flat in option], path)
        return found

    def _plain(self, schema: Flat, path: str) -> Flat:
        """The keywords of the schema itself, older drafts' spelled as 2020-12 does."""
        flat = {key: value for key, value in schema.items() if key in KNOWN}
        flat.pop("enum", None)
        if "type" in schema:
            flat["type"] = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
        values = [value for key in ("const", "enum") if key in schema for value in _listed(schema, key)]
        if "const" in schema and "enum" in schema:
            values = [value for value in _listed(schema, "enum") if same(value, schema["const"])]
        if len(values) > MAX_VALUES:
            raise ConfigError(f"enum at {path}: {len(values)} values, at most {MAX_VALUES}")
        if "const" in schema or "enum" in schema:
            flat["enum"] = values
        if isinstance(schema.get("items"), list):
            flat["prefixItems"] = schema["items"]
            flat["items"] = schema.get("additionalItems", True)
        for side, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(flat.get(side), bool) and flat.pop(side) and bound in flat:
                flat[side] = flat.pop(bound)
        for name, needed in schema.get("dependencies", {}).items():
            keyword = "dependentRequired" if isinstance(needed, list) else "dependentSchemas"
            flat[keyword] = {**flat.get(keyword, {}), name: needed}
        if "then" not in flat and "else" not in flat:
            flat.pop("if", None)
        translated = {"$ref", "allOf", "anyOf", "oneOf", "const", "enum", "additionalItems", "dependencies"}
        for key in schema:
            if key not in KNOWN | ANNOTATIONS | translated and not key.startswith("x-"):
                self._note(key, path, "unknown keyword")
        return flat

    def _resolve(self, reference: str, path: str) -> Any:
        base = self._root.get("$id", "") if isinstance(self._root, dict) else ""
        own = reference.removeprefix(base.removesuffix("#")) if base else reference
        if own in ("", "#"):
            return self._root
        if not own.startswith("#"):
            raise ConfigError(f"$ref at {path}: {reference} is outside the schema, and nothing is fetched")
        if not own.startswith("#/"):
            for schema in _dicts(self._root):
                if schema.get("$anchor") == own[1:]:
                    return schema
            raise ConfigError(f"$ref at {path}: no $anchor {own[1:]!r} in the schema")
        target = self._root
        for step in own[2:].split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(key)] if isinstance(target, list) else target[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ConfigError(f"$ref at {path}: {reference} points nowhere") from None
        if not isinstance(target, dict | bool):
            raise ConfigError(f"$ref at {path}: {reference} is no schema")
        return target

    def _both(self, left: list[Flat], right: list[Flat], path: str) -> list[Flat]:
        if len(left) * len(right) > MAX_ALTERNATIVES:
            raise ConfigError(
                f"anyOf at {path}: {len(left) * len(right)} combinations, at most {MAX_ALTERNATIVES}"
            )
        self._steps += len(left) * len(right)
        pairs = (merged(one, other) for one in left for other in right)
        return [flat for flat in pairs if flat is not None]

    def _exclusive(self, options: list[list[Flat]], path: str) -> bool:
        """Whether no value can match two options, as far as types, values and tags of objects show it."""
        return all(
            self._disjoint(one, other, path)
            for index, left in enumerate(options)
            for right in options[index + 1 :]
            for one in left
            for other in right
        )

    def _disjoint(self, one: Flat, other: Flat, path: str) -> bool:
        if "type" in one and "type" in other and not _common_types(one["type"], other["type"]):
            return True
        if "enum" in one and "enum" in other:
            return not any(same(a, b) for a in one["enum"] for b in other["enum"])
        tags = set(one.get("required", ())) & set(other.get("required", ()))
        for tag in tags & one.get("properties", {}).keys() & other.get("properties", {}).keys():
            sides = [self.flatten(flat["properties"][tag], path) for flat in (one, other)]
            if all("enum" in flat for side in sides for flat in side) and not any(
                same(a, b) for x in sides[0] for y in sides[1] for a in x["enum"] for b in y["enum"]
            ):
                return True
        return False


def merged(one: Flat, other: Flat) -> Flat | None:
    """What holds where both hold; None where nothing does."""
    if not one or not other:
        return dict(one or other)
    flat = dict(one)
    left_over = [*one.get("allOf", ()), *other.get("allOf", ())]
    for key in _STRUCTURAL:
        flat.pop(key, None)
    for key, value in other.items():
        if key in _STRUCTURAL:
            continue
        if key not in flat or flat[key] == value:
            flat[key] = value
        elif key in BOUNDS:
            flat[key] = BOUNDS[key](flat[key], value)
        elif key == "type":
            flat["type"] = _common_types(flat["type"], value)
        elif key == "enum":
            flat["enum"] = [a for a in flat["enum"] if any(same(a, b) for b in value)]
        elif key == "required":
            flat["required"] = [*flat["required"], *(name for name in value if name not in flat["required"])]
        elif key == "uniqueItems":
            flat["uniqueItems"] = True
        elif key == "propertyNames":
            flat["propertyNames"] = _all(flat["propertyNames"], value)
        else:
            left_over.append({key: value})
    # Three keywords that belong together, each triple by itself.
    conditions = [{key: side[key] for key in _CONDITION if key in side} for side in (one, other)]
    flat.update(conditions[0] or conditions[1])
    if all(conditions) and conditions[0] != conditions[1]:
        left_over.append(conditions[1])
    if flat.get("type") == [] or flat.get("enum") == []:
        return None
    _merge_objects(flat, one, other)
    _merge_arrays(flat, one, other)
    if left_over:
        flat["allOf"] = left_over
    return flat


def _merge_objects(flat: Flat, one: Flat, other: Flat) -> None:
    names = dict.fromkeys([*one.get("properties", ()), *other.get("properties", ())])
    if names:
        flat["properties"] = {name: _all(property_of(one, name), property_of(other, name)) for name in names}
    patterns = dict.fromkeys([*one.get("patternProperties", ()), *other.get("patternProperties", ())])
    if patterns:
        sides = [flat.get("patternProperties", {}) for flat in (one, other)]
        flat["patternProperties"] = {p: _all(*(side.get(p, True) for side in sides)) for p in patterns}
    if "additionalProperties" in one or "additionalProperties" in other:
        sides = [flat.get("additionalProperties", True) for flat in (one, other)]
        flat["additionalProperties"] = _all(*sides)


def _merge_arrays(flat: Flat, one: Flat, other: Flat) -> None:
    prefixes = [side.get("prefixItems", []) for side in (one, other)]
    if any(prefixes):
        flat["prefixItems"] = [
            _all(*(
                prefix[i] if i < len(prefix) else side.get("items", True)
                for prefix, side in zip(prefixes, (one, other), strict=True)
            ))
            for i in range(max(map(len, prefixes)))
        ]  # fmt: skip
    if "items" in one or "items" in other:
        flat["items"] = _all(one.get("items", True), other.get("items", True))


def property_of(flat: Flat, name: str) -> Any:
    """The schema that a property of this name must match."""
    parts = [flat["properties"][name]] if name in flat.get("properties", {}) else []
    patterns = flat.get("patternProperties", {})
    parts += [schema for pattern, schema in patterns.items() if re.search(pattern, name)]
    return _all(*parts) if parts else flat.get("additionalProperties", True)


def _all(*schemas: Any) -> Any:
    """The conjunction as a schema, as short as it can be: equal schemas share a rule."""
    parts: list[Any] = []
    for schema in schemas:
        if schema is False:
            return False
        if schema is not True and schema != {} and not any(same(schema, part) for part in parts):
            parts.append(schema)
    return True if not parts else parts[0] if len(parts) == 1 else {"allOf": parts}


def _common_types(one: list[str], other: list[str]) -> list[str]:
    found = [kind for kind in one if kind in other or (kind == "integer" and "number" in other)]
    return found + [kind for kind in other if kind == "integer" and kind not in one and "number" in one]


def _listed(schema: Flat, key: str) -> list[Any]:
    return [schema["const"]] if key == "const" else list(schema["enum"])


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, and not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _dicts(value: Any) -> Iterator[Flat]:
    if isinstance(value, dict):
        yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(below)
