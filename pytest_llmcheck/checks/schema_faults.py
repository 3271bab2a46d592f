"""What is wrong with a value under a schema: where, what was expected, what came, and how much is right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.spelling import common_length
from pytest_llmcheck.json_places import place_of
from pytest_llmcheck.json_values import at, leaves, spell
from pytest_llmcheck.patterns import search as search_pattern
from pytest_llmcheck.visible import cut, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jsonschema.exceptions import ValidationError

    from pytest_llmcheck.json_values import Step

_LONGEST = 200
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}
_COUNTS = {
    "minLength": ("at least", "character"),
    "maxLength": ("at most", "character"),
    "minItems": ("at least", "element"),
    "maxItems": ("at most", "element"),
    "minProperties": ("at least", "key"),
    "maxProperties": ("at most", "key"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A violation of the schema.

    Attributes:
        place: of the value that violates it.
        problem: what was expected and what came.
        missing: how many keys are missing there.
        keys: those of the place that should not be there or are themselves wrong; else the whole value is.
        allowed: the values that could have stood there, if there is a list of them.
        inside: a text of the right type, so that what is wrong is behind its quotation mark.
    """

    place: tuple[Step, ...]
    problem: str
    missing: int = 0
    keys: tuple[str, ...] = ()
    allowed: tuple[Any, ...] = ()
    inside: bool = False

    @property
    def path(self) -> str:
        """The place as a JSON path."""
        return spell(self.place)

    def position(self, text: str, start: int) -> tuple[int, int]:
        """Where it is in a text, and where the token stands that decided it.

        Args:
            text: of the reply.
            start: where its JSON begins.
        """
        if self.keys and (found := place_of(text, (*self.place, self.keys[0]), start)):
            key = found.begin if found.key is None else found.key
            return key, key + 1
        found = place_of(text, self.place, start)
        if found is None:
            return start, start
        if self.missing:  # where the object was closed instead
            return found.end - 1, found.end - 1
        written = text[found.begin : found.end]
        same = [common_length(written, json.dumps(value, ensure_ascii=False)) for value in self.allowed]
        return found.begin, found.begin + max(same, default=int(self.inside))


def faults(errors: Iterable[ValidationError], value: object) -> list[Fault]:
    """What is wrong, by place; one place's faults stay in the order of the schema."""
    return [_fault(error, value) for error in sorted(errors, key=_order)]


def share_right(found: Sequence[Fault], value: object) -> float:
    """The share of fields that no fault concerns, 0 to 1.

    Fields are the numbers, texts, booleans, nulls and empty containers of the value at any depth, and the
    keys that are missing. A fault of a container concerns all fields in it.
    """
    missing = sum(fault.missing for fault in found)
    # An empty object is a field of its own, but not beside its missing keys.
    hollow = {fault.place for fault in found if fault.missing and at(value, fault.place) == {}}
    wrong: set[tuple[Step, ...]] = set(hollow)
    for fault in found:
        if fault.keys:
            wrong |= {(*fault.place, key) for key in fault.keys}
        elif not fault.missing:
            wrong.add(fault.place)
    outermost = [place for place in wrong if not any(place[:end] in wrong for end in range(len(place)))]
    bad = missing + sum(leaves(at(value, place)) for place in outermost)
    return 1 - bad / (missing + leaves(value))


def _fault(error: ValidationError, value: object) -> Fault:
    place = _within(value, tuple(error.absolute_path))
    instance: Any = error.instance
    if isinstance(instance, str) and isinstance(at(value, place), dict):
        # Of propertyNames, whose values are the keys.
        return Fault(place, f"the key {_json(instance)}: {describe(error)}", keys=(instance,))
    problem = describe(error)
    match error.validator:
        case "required":
            return Fault(place, problem, missing=1)
        case "additionalProperties" | "unevaluatedProperties":
            return Fault(place, problem, keys=_unexpected(error))
        case "enum":
            rule: Any = error.validator_value
            return Fault(place, problem, allowed=tuple(rule))
        case "const":
            return Fault(place, problem, allowed=(error.validator_value,))
        case "type" | None:
            return Fault(place, problem)
    return Fault(place, problem, inside=isinstance(instance, str))


def describe(error: ValidationError) -> str:
    """What was expected and what came."""
    came = cut(_json(error.instance), 60)
    rule: Any = error.validator_value
    match error.validator:
        case "type":
            kinds = rule if isinstance(rule, list) else [rule]
            # In draft 3, a type may be a schema.
            names = [kind if isinstance(kind, str) else cut(_json(kind), 60) for kind in kinds]
            return f"expected {' or '.join(names)}, got {came}"
        case "enum":
            return f"expected one of {cut(', '.join(_json(item) for item in rule), 120)}, got {came}"
        case "const":
            return f"expected {cut(_json(rule), 120)}, got {came}"
        case "format":
            return f"expected a string of format {rule}, got {came}"
        case "pattern":
            return f"expected a match of the pattern {rule!r}, got {came}"
        case "required":
            return cut(error.message.replace(" is a required property", " is missing"), _LONGEST)
        case "additionalProperties" if unexpected := _unexpected(error):
            schema: Any = error.schema
            known = ", ".join(schema.get("properties", ()))
            told = f"expected no key but {known}" if known else "expected no such key"
            return f"{cut(told, 120)}; got {cut(visible(', '.join(unexpected)), 60)}"
        case "anyOf" | "oneOf" if error.context:
            return _nearest(error, len(rule), came)
        case "minimum" | "maximum" if "or equal" in error.message:  # draft 4, exclusive by another keyword
            return cut(error.message, _LONGEST)
        case str(keyword) if keyword in _LIMITS:
            return f"expected {_LIMITS[keyword]} {cut(str(rule), 60)}, got {came}"
        case str(keyword) if keyword in _COUNTS:
            words, noun = _COUNTS[keyword]
            counted: Any = error.instance
            return f"expected {words} {rule} {noun}{'s' * (rule != 1)}, got {len(counted)}: {came}"
        case None:
            return f"expected nothing here, got {came}"
    return cut(visible(error.message), _LONGEST)


def _unexpected(error: ValidationError) -> tuple[str, ...]:
    """The keys that a schema forbids; none where it has a schema for them."""
    if error.validator_value is not False:
        return ()
    instance: Any = error.instance
    if error.validator == "unevaluatedProperties":
        return tuple(key for key in instance if repr(key) in error.message)
    schema: Any = error.schema
    known, allowed = schema.get("properties", {}), schema.get("patternProperties", {})
    return tuple(
        key
        for key in instance
        if key not in known and not any(search_pattern(pattern, key) for pattern in allowed)
    )


def _nearest(error: ValidationError, count: int, came: str) -> str:
    """That no alternative fits; and what is wrong with the nearest, if one is nearer than the others."""
    from pytest_llmcheck.schema_library import best_match

    told = f"expected one of {count} alternatives ({error.validator}), got {came}"
    best = best_match([error])
    if best is error:
        return told
    return f"{told}; nearest: {spell(best.absolute_path)}: {describe(best)}"


def _within(value: object, place: tuple[Step, ...]) -> tuple[Step, ...]:
    """The place, or what it is in: of a key that is missing, draft 3 gives another place."""
    while place:
        try:
            at(value, place)
        except (LookupError, TypeError):
            place = place[:-1]
        else:
            break
    return place


def _order(error: ValidationError) -> list[tuple[bool, int, str]]:
    """By path, numbers as numbers; one path's errors stay in the order of the schema."""
    return [(False, step, "") if isinstance(step, int) else (True, 0, step) for step in error.absolute_path]


def _json(value: object) -> str:
    return visible(json.dumps(value, ensure_ascii=False))
