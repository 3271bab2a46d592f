"""JSON Schema -> GBNF, with a list of what the grammar does not enforce.

A converter of our own. llama.cpp's C++ one (common/json-schema-to-grammar.cpp) is not in the shared libraries
of llama-cpp-python, and the Python one that comes with it (llama_cpp/llama_grammar.py) is an old translation:
it allows raw line breaks in strings, keeps no backslash of a ``const``, drops integer bounds, mixes up two
``$ref`` of equal last name, and says nothing about what it ignores. Here every text that the grammar accepts
is JSON and matches the schema less the keywords in `ignored`; it may accept fewer texts than the schema.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_llmcheck.engines.llama.schema_merge import BY_TYPE, OPAQUE, TYPES, Flat, Flattener, property_of
from pytest_llmcheck.engines.llama.schema_pattern import repetition
from pytest_llmcheck.engines.llama.schema_primitives import other_names, scalar
from pytest_llmcheck.engines.llama.schema_rules import MAX_NOTES
from pytest_llmcheck.engines.llama.schema_scalars import Scalars
from pytest_llmcheck.errors import ConfigError

MAX_DEPTH = 40
MAX_DICTS = 5_000
_NOTES_KEPT = 20


def schema_to_gbnf(schema: Any) -> tuple[str, tuple[str, ...]]:
    """The grammar, and what it does not enforce.

    Raises:
        ConfigError: the schema is invalid, cannot be converted, or nothing matches it.
    """
    from pytest_llmcheck.schema_library import Draft202012Validator, SchemaError, validators

    _check_size(schema)
    cls = validators.validator_for(schema, default=Draft202012Validator)
    try:
        cls.check_schema(schema)
        converter = _Converter(schema)
        root = converter.visit(schema, "$", 0)
    except SchemaError as error:
        raise ConfigError(f"the schema is invalid at {error.json_path}: {error.message:.300}") from None
    except RecursionError:
        raise ConfigError("the schema is nested too deeply") from None
    if root is None:
        raise ConfigError("the schema allows nothing: its parts contradict each other")
    return converter.text(root), converter.ignored()


def _check_size(schema: Any) -> None:
    """Before anything recurses over the schema or compares all with all."""
    todo, dicts = [(schema, 0)], 0
    while todo:
        value, depth = todo.pop()
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        dicts += isinstance(value, dict)
        if dicts > MAX_DICTS:
            raise ConfigError(f"the schema is too large for a grammar: more than {MAX_DICTS} parts")
        if depth > 4 * MAX_DEPTH:
            raise ConfigError(f"the schema is nested too deeply: more than {4 * MAX_DEPTH} levels")
        todo += [(one, depth + 1) for one in below]


class _Converter(Scalars):
    def __init__(self, root: Any) -> None:
        super().__init__()
        self._flattener = Flattener(root, self._note)
        self._root = root
        # Rule and notes by the schema's alternatives; a rule that is being made has no notes yet.
        self._made: dict[str, tuple[str | None, list[tuple[str, str, str]]]] = {}

    def visit(self, schema: Any, path: str, depth: int) -> str | None:
        """The name of the rule for a schema; None where nothing matches."""
        if depth > MAX_DEPTH:
            raise ConfigError(
                f"the schema is nested deeper than {MAX_DEPTH}, or its references explode, at {path:.200}"
            )
        start = len(self._notes)
        flats = self._flattener.flatten(schema, path)
        key = json.dumps(flats)
        if key in self._made:
            name, notes = self._made[key]
            if len(self._notes) < 10 * MAX_NOTES:
                self._notes += [(keyword, path + rest, why) for keyword, rest, why in notes]
            return name
        name = self._name(path)
        self._made[key] = (name, [])
        bodies = [body for flat in flats for body in self._alternatives(flat, path, depth)]
        if not bodies:
            self._made[key] = (None, [])
            return None
        self._define(name, " | ".join(dict.fromkeys(bodies)), path)
        made = [(keyword, at[len(path) :], why) for keyword, at, why in self._notes[start:]]
        self._made[key] = (name, made[:_NOTES_KEPT])
        return name

    def _alternatives(self, flat: Flat, path: str, depth: int) -> list[str]:
        if "enum" in flat:
            return [self._constant(value) for value in self._matching(flat)]
        for part in [flat, *flat.get("allOf", ())]:
            for keyword in OPAQUE:
                if keyword in part:
                    self._note(keyword, path)
            if part is not flat:
                for keyword in [key for key in part if key not in OPAQUE]:
                    self._note(keyword, path, "of another part of allOf")
        kinds = flat.get("type")
        if kinds is None:
            kinds = [kind for kind, keywords in BY_TYPE.items() if any(key in flat for key in keywords)]
            if not kinds:
                return ["value"]
        if set(TYPES) - {"integer"} <= set(kinds) and flat.keys() <= {"type", "allOf", *OPAQUE}:
            return ["value"]
        bodies = []
        for kind in kinds:
            if kind == "integer" and "number" in kinds:
                continue
            made = {
                "object": self._object,
                "array": self._array,
                "string": self._string,
                "integer": self._integer,
                "number": self._number,
            }.get(kind)
            body = kind if made is None else made(flat, path, depth)
            if body is not None:
                bodies.append(body)
        return bodies

    # Constants.

    def _matching(self, flat: Flat) -> list[Any]:
        """Those of the listed values that match the other keywords too."""
        from pytest_llmcheck.schema_library import Draft202012Validator

        validator = Draft202012Validator(
            self._root if isinstance(self._root, dict) else {},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        ).evolve(schema={key: value for key, value in flat.items() if key != "enum"})
        return [value for value in flat["enum"] if validator.is_valid(value)]

    # Arrays.

    def _array(self, flat: Flat, path: str, depth: int) -> str | None:
        low, high = int(flat.get("minItems", 0)), flat.get("maxItems")
        high = None if high is None else int(high)
        if flat.get("uniqueItems") and (high is None or high > 1):
            self._note("uniqueItems", path)
        if "contains" in flat and (flat.get("minContains", 1) > 0 or "maxContains" in flat):
            for keyword in ("contains", "minContains", "maxContains"):
                if keyword in flat:
                    self._note(keyword, path)
        prefix: list[str] = []
        for index, schema in enumerate(flat.get("prefixItems", ())):
            if high is not None and index >= high:
                break
            name = self.visit(schema, f"{path}[{index}]", depth + 1)
            if name is None:
                high = index
                break
            prefix.append(name)
        rest: str | None = None
        if high is None or high > len(prefix):
            rest, high = self._rest(flat, path, depth, prefix, low, high)
        if high is not None and low > high:
            return None
        sequence = self._sequence(prefix, rest, path, low, high)
        filled = '"[" space ' + sequence + ' space "]"'
        empty = '"[" space "]"'
        if not sequence:
            return empty
        return filled if low > 0 or prefix else f"{empty} | {filled}"

    def _rest(
        self, flat: Flat, path: str, depth: int, prefix: list[str], low: int, high: int | None
    ) -> tuple[str | None, int | None]:
        """The rule for the items after the prefix, and the new upper bound."""
        schema = flat.get("items", flat.get("unevaluatedItems"))
        if schema is None:
            if not prefix:
                return "value", high
            # Closed, as objects are, unless more are asked for.
            return ("value", low) if low > len(prefix) else (None, len(prefix))
        name = self.visit(schema, f"{path}[*]", depth + 1)
        return (None, len(prefix)) if name is None else (name, high)

    def _sequence(self, prefix: list[str], rest: str | None, path: str, low: int, high: int | None) -> str:
        parts = list(prefix)
        low = max(low - len(prefix), 0)
        high = None if high is None else max(high - len(prefix), 0)
        if rest is None or high == 0:
            return ' "," space '.join(parts)
        high = self._repetitions(("minItems", "maxItems"), path, low, high)
        if not parts:
            parts, low, high = [rest], max(low - 1, 0), None if high is None else high - 1
        text = ' "," space '.join(parts)
        if high == 0:
            return text
        follow = self._add(f'"," space {rest}', path)
        return f"{text} {follow}{repetition(low, high)}"

    # Objects.

    def _object(self, flat: Flat, path: str, depth: int) -> str | None:
        for keyword in ("dependentRequired", "dependentSchemas"):
            if keyword in flat:
                self._note_dependencies(keyword, flat, path)
        needed = dict.fromkeys(flat.get("required", ()))
        members: list[tuple[str, bool]] = []
        names = [name for name in flat.get("properties", {}) if self._name_fits(flat, name)]
        for name in dict.fromkeys([*names, *needed]):
            rule = None
            if self._name_fits(flat, name):
                rule = self.visit(self._property(flat, name), f"{path}{_step(name)}", depth + 1)
            if rule is None:
                if name in needed:
                    return None
                continue
            members.append((self._add(f'{scalar(name)} ":" space {rule}', path), name in needed))
        other = self._other(flat, path, depth)
        low, high = int(flat.get("minProperties", 0)), flat.get("maxProperties")
        high = None if high is None else int(high)
        return self._members(members, other, path, low, high)

    def _property(self, flat: Flat, name: str) -> Any:
        found = property_of(flat, name)
        if found is True and name not in flat.get("properties", {}) and "additionalProperties" not in flat:
            return flat.get("unevaluatedProperties", True)
        return found

    def _name_fits(self, flat: Flat, name: str) -> bool:
        if "propertyNames" not in flat:
            return True
        return bool(self._matching({"enum": [name], "allOf": [flat["propertyNames"]]}))

    def _note_dependencies(self, keyword: str, flat: Flat, path: str) -> None:
        closed = "additionalProperties" not in flat and "properties" in flat
        needed = set(flat.get("required", ()))
        for name, dependent in flat[keyword].items():
            never = closed and name not in flat["properties"] and name not in needed
            if not never and not (isinstance(dependent, list) and set(dependent) <= needed):
                self._note(keyword, path)
                return

    def _other(self, flat: Flat, path: str, depth: int) -> str | None:
        """The rule for a member beside the declared ones; None where there are none."""
        declared = {*flat.get("properties", ()), *flat.get("required", ())}
        patterns = flat.get("patternProperties", {})
        schema = flat.get("additionalProperties", flat.get("unevaluatedProperties"))
        if schema is None or schema is False:
            if patterns and not declared:
                return self._pattern_members(flat, path, depth)
            if schema is False or declared or patterns:
                return None
            schema = True
        elif patterns:
            self._note("patternProperties", path, "additionalProperties is")
        value = self.visit(schema, f"{path}.*", depth + 1)
        if value is None:
            return None
        key = "key"
        names = flat.get("propertyNames", True)
        if declared:
            if names is not True:
                self._note("propertyNames", path, "beside declared properties")
            key = self._add(other_names(declared), path)
        elif names is not True:
            found = self.visit({"allOf": [{"type": "string"}, names]}, f"{path}.*", depth + 1)
            if found is None:
                return None
            key = found
        return self._add(f'{key} ":" space {value}', path)

    def _pattern_members(self, flat: Flat, path: str, depth: int) -> str | None:
        """Members whose names are made from the patterns."""
        patterns = flat["patternProperties"]
        if len(patterns) > 1:
            self._note("patternProperties", path, "a name may match several patterns")
        if "propertyNames" in flat:
            self._note("propertyNames", path, "patternProperties is")
        bodies = []
        for pattern, schema in patterns.items():
            value = self.visit(schema, f"{path}.*", depth + 1)
            if value is None:
                continue
            before = len(self._notes)
            key = self._string({"pattern": pattern}, path, depth)
            if len(self._notes) > before:
                raise ConfigError(
                    f"patternProperties at {path}: {pattern!r:.100} cannot be turned into a grammar"
                )
            bodies.append(f'{key} ":" space {value}')
        return self._add(" | ".join(bodies), path) if bodies else None

    def _members(
        self, members: list[tuple[str, bool]], other: str | None, path: str, low: int, high: int | None
    ) -> str | None:
        required = sum(needed for _, needed in members)
        if high is not None and required > high:
            return None
        most = None if other else len(members)
        if most is not None and low > most:
            return None
        empty = '"{" space "}"'
        if members:
            if low > max(required, 1):
                self._note("minProperties", path)
            if high is not None and (most is None or most > high):
                self._note("maxProperties", path)
            first = self._chain(members, other, path)
        elif other is None or high == 0:
            return empty if low == 0 else None
        else:
            if low > 1:
                self._note("minProperties", path, "names may repeat")
            high = self._repetitions(("minProperties", "maxProperties"), path, low, high)
            follow = self._add(f'"," space {other}', path)
            times = repetition(max(low - 1, 0), None if high is None else high - 1) if high != 1 else "{0}"
            first = self._add(f"{other} {follow}{times}", path)
        filled = f'"{{" space {first} space "}}"'
        return filled if required or low else f"{empty} | {filled}"

    def _chain(self, members: list[tuple[str, bool]], other: str | None, path: str) -> str:
        """At least one member, in the declared order; a comma stands before every one but the first."""
        follow = None if other is None else f'("," space {other})*'
        begin = None if other is None else f"{other} {follow}"
        for rule, needed in reversed(members):
            tail = "" if follow is None else " " + follow
            first = rule + tail
            begin = first if needed or begin is None else f"{first} | {begin}"
            begin = self._add(begin, path)
            comma = f'"," space {rule}'
            follow = self._add(f"{comma}{tail}" if needed else f"({comma})?{tail}", path)
        assert begin is not None
        return begin


def _step(name: str) -> str:
    return f".{name}" if re.fullmatch(r"\w+", name) else f"[{json.dumps(name)}]"
