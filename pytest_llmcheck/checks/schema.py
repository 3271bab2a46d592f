"""The reply is JSON of a given schema. jsonschema is imported when the first such check is made."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.health import cut_off
from pytest_llmcheck.strict_json import NotJSONError, in_fence, line_and_column, parse, point_at
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from pytest_llmcheck.verdict import Check, Judged

_MOST_ERRORS = 5
_LONGEST = 200


@dataclass(frozen=True)
class MatchesSchema:
    """See `matches_schema`; two are equal when their schemas are."""

    schema: str
    shown: str = field(compare=False)
    validator: Validator = field(compare=False, repr=False)
    unchecked_formats: tuple[str, ...] = field(compare=False)

    @property
    def name(self) -> str:
        """The function's name."""
        return "matches_schema"

    def __repr__(self) -> str:
        return f"matches_schema({self.shown})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the raw text: whole, then JSON, then of the schema."""
        if cut := cut_off(reply):
            reason = f"cut off, so its JSON was not judged; {cut}"
            return self._failed("cut off", reason, finish_reason=reply.finish_reason)
        try:
            value = parse(reply.text)
        except NotJSONError as error:
            return self._not_json(reply.text, error)
        try:
            errors = sorted(self.validator.iter_errors(value), key=_order)
        except (RecursionError, OverflowError) as error:
            what = "nested too deeply" if isinstance(error, RecursionError) else "it has a number too large"
            return self._failed("wrong schema", f"wrong schema: {what} to be compared with it")
        if errors:
            return self._wrong(errors)
        reason = "JSON of the schema"
        if self.unchecked_formats:
            reason += f" (formats not checked: {', '.join(self.unchecked_formats)})"
        return Verdict(Status.PASSED, repr(self), reason, score=1.0)

    def _not_json(self, text: str, error: NotJSONError) -> Verdict:
        if not text.strip():
            return self._failed("not JSON", "not JSON: expected a JSON value, the reply is empty")
        at = line_and_column(text, error.position)
        reason = f"not JSON: {error} at {at}\n{point_at(text, error.position)}"
        if in_fence(text):
            reason += "\nhint: there is JSON inside a ``` fence; ask in the prompt for JSON without a fence"
        return self._failed("not JSON", reason, position=error.position, problem=str(error))

    def _wrong(self, errors: list[ValidationError]) -> Verdict:
        found = [(_json_path(error.absolute_path), _describe(error)) for error in errors]
        lines = [f"{path}: {problem}" for path, problem in found[:_MOST_ERRORS]]
        if len(found) == 1:
            reason = f"wrong schema: {lines[0]}"
        else:
            more = len(found) - len(lines)
            lines += [f"and {more} more"] if more else []
            reason = "\n".join([f"wrong schema in {len(found)} places", *lines])
        listed = [{"path": path, "problem": problem} for path, problem in found]
        return self._failed("wrong schema", reason, errors=listed)

    def _failed(self, level: str, reason: str, **evidence: Any) -> Verdict:
        return Verdict(Status.FAILED, repr(self), reason, score=0.0, evidence={"level": level, **evidence})


def matches_schema(schema: Mapping[str, Any] | bool | str | Path) -> Check:
    """The raw text of the reply is JSON and nothing else, and is valid under a JSON Schema.

    A reply that was cut off fails as that, before "not JSON"; not JSON comes before "wrong schema".
    Numbers beyond a double, ``NaN``, keys that occur twice and code fences are not JSON. ``format`` is
    checked; formats that the draft does not define are named in the verdict. The draft is that of
    ``$schema``, else 2020-12. No ``$ref`` is ever fetched from anywhere.

    Args:
        schema: a dict or bool, JSON text (it starts with ``{``, or is ``true`` or ``false``), or the path
            of a JSON file, relative to the working directory.

    Raises:
        ValueError: the schema cannot be read, is not valid, or refers to what is not in it.
    """
    __tracebackhide__ = True
    source, shown = _load(schema)
    validator, formats = _compile(source)
    canonical = json.dumps(source, sort_keys=True, ensure_ascii=False)
    return MatchesSchema(canonical, shown, validator, formats)


def _load(schema: Mapping[str, Any] | bool | str | Path) -> tuple[Any, str]:
    """The schema as JSON values of our own, and how it shows in messages."""
    __tracebackhide__ = True
    if isinstance(schema, str) and (schema.lstrip()[:1] == "{" or schema.strip() in ("true", "false")):
        parsed = _parse(schema, "the schema")
        return parsed, _in_short(parsed)
    if isinstance(schema, str | Path):
        file = Path(schema)
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            message = f"matches_schema: neither JSON text nor a readable file: {file.absolute()}: {reason}"
            raise ValueError(message) from None
        return _parse(text, str(file)), repr(str(schema))
    try:
        copy = json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as error:
        message = f"matches_schema: the schema is not made of JSON values: {error}"
        raise ValueError(message) from None
    return copy, _in_short(copy)


def _in_short(schema: Any) -> str:
    """A schema's title, else the names of its properties, else its beginning: a message names it, no more."""
    if isinstance(schema, dict):
        if isinstance(title := schema.get("title"), str):
            return _cut(repr(title), 60)
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            return _cut(f"{{{', '.join(properties)}}}", 60)
    return _cut(repr(schema), 60)


def _parse(text: str, what: str) -> Any:
    __tracebackhide__ = True
    try:
        return parse(text)
    except NotJSONError as error:
        at = line_and_column(text, error.position)
        message = f"matches_schema: {what} is not JSON: {error} at {at}"
        raise ValueError(message) from None


def _compile(source: object) -> tuple[Validator, tuple[str, ...]]:
    __tracebackhide__ = True
    from jsonschema import Draft202012Validator, SchemaError, validators

    from pytest_llmcheck.checks.schema_refs import check_references

    if not isinstance(source, dict | bool):
        message = f"matches_schema: a schema is an object or a bool, got {_cut(repr(source), 60)}"
        raise ValueError(message)
    dialect = source.get("$schema") if isinstance(source, dict) else None
    schema: Any = source  # jsonschema takes a bool too, its types do not say so
    cls = Draft202012Validator if dialect is None else _draft(dialect, validators)
    try:
        cls.check_schema(schema)
    except SchemaError as error:
        where = _json_path(error.absolute_path)
        message = f"matches_schema: the schema is not valid at {where}: {_cut(error.message, _LONGEST)}"
        raise ValueError(message) from None
    registry, formats = check_references(schema, cls)
    return cls(schema, registry=registry, format_checker=cls.FORMAT_CHECKER), formats


def _draft(dialect: object, validators: Any) -> type[Validator]:
    __tracebackhide__ = True
    draft: type[Validator] | None = None
    if isinstance(dialect, str):
        draft = validators.validator_for({"$schema": dialect}, default=None)
    if draft is None:
        known = "https://json-schema.org/draft/2020-12/schema"
        message = (
            f"matches_schema: $schema {dialect!r} is no draft that is known here; leave it out for {known}"
        )
        raise ValueError(message)
    return draft


def _describe(error: ValidationError) -> str:
    """What was expected and what came."""
    came = _cut(_json(error.instance), 60)
    rule: Any = error.validator_value
    match error.validator:
        case "type":
            kinds = rule if isinstance(rule, list) else [rule]
            return f"expected {' or '.join(kinds)}, got {came}"
        case "enum":
            return f"expected one of {_cut(', '.join(_json(item) for item in rule), 120)}, got {came}"
        case "const":
            return f"expected {_cut(_json(rule), 120)}, got {came}"
        case "format":
            return f"expected a string of format {rule}, got {came}"
        case "pattern":
            return f"expected a match of the pattern {rule!r}, got {came}"
        case "required":
            return _cut(error.message.replace(" is a required property", " is missing"), _LONGEST)
        case "anyOf" | "oneOf" if error.context:
            return _nearest(error, len(rule), came)
        case None:
            return f"expected nothing here, got {came}"
    return _cut(error.message, _LONGEST)


def _nearest(error: ValidationError, count: int, came: str) -> str:
    """That no alternative fits; and what is wrong with the nearest, if one is nearer than the others."""
    from jsonschema.exceptions import best_match

    told = f"expected one of {count} alternatives ({error.validator}), got {came}"
    best = best_match([error])
    if best is error:
        return told
    return f"{told}; nearest: {_json_path(best.absolute_path)}: {_describe(best)}"


def _json_path(path: Iterable[str | int]) -> str:
    """A place as JSONPath writes it, such as ``$.a[0].b``."""
    told = "$"
    for step in path:
        if isinstance(step, int):
            told += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_]\w*", step):
            told += f".{step}"
        else:
            told += f"[{json.dumps(step, ensure_ascii=False)}]"
    return told


def _order(error: ValidationError) -> list[tuple[bool, int, str]]:
    """By path, numbers as numbers; one path's errors stay in the order of the schema."""
    return [(False, step, "") if isinstance(step, int) else (True, 0, step) for step in error.absolute_path]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
