"""The reply is JSON of a given schema. jsonschema is imported when the first such check is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.json_reply import NoJsonError, checked_extract, json_of, json_side
from pytest_llmcheck.engines.pointing import odds_at, pointed
from pytest_llmcheck.errors import SchemaError
from pytest_llmcheck.json_values import spell
from pytest_llmcheck.schema_given import schema_of
from pytest_llmcheck.strict_json import line_and_column
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from pytest_llmcheck.checks.deadline import StoppedError
    from pytest_llmcheck.checks.json_reply import Extract, JsonOf
    from pytest_llmcheck.checks.schema_compiled import Compiled
    from pytest_llmcheck.checks.schema_faults import Fault
    from pytest_llmcheck.json_values import Step
    from pytest_llmcheck.schema_given import Schema
    from pytest_llmcheck.verdict import Judged

_MOST_SHOWN = 5
_SHALLOW = 50
"""Levels of nesting that no honest schema has trouble with."""

_TOO_MANY_WAYS = (
    "anyOf, oneOf, allOf and $ref combine in too many ways; let the alternatives exclude each other early, "
    "as by a property with a const"
)
_REMEDIES = {
    "time": f"was stopped after {{seconds:g}} s of processor time: {_TOO_MANY_WAYS}",
    "errors": f"was stopped after {{most:,}} violations: {_TOO_MANY_WAYS}",
    "iri": "was stopped: to check a text of more than {longest:,} characters takes too long; use the "
    "format uri, or bound the text with maxLength",
}


@dataclass(frozen=True)
class MatchesSchema:
    """See `matches_schema`; two are equal when their schemas and their ways to take JSON out are."""

    canonical: str
    extract: Extract
    shown: str = field(compare=False)
    compiled: Compiled = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The function's name."""
        return "matches_schema"

    def __repr__(self) -> str:
        extract = "" if self.extract == "strict" else f", extract={self.extract!r}"
        return f"matches_schema({self.shown}{extract})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the text: whole, then JSON, then of the schema."""
        reply = json_side(reply)
        try:
            found = json_of(reply, self.extract, self._outcome)
        except NoJsonError as error:
            return error.verdict(repr(self))
        try:
            if errors := self.errors(found.value):
                return self._wrong(reply, found, errors)
        except RecursionError:
            reason = "wrong schema: nested too deeply to be compared with it"
            evidence = {"level": "wrong schema", **found.evidence}
            return Verdict(Status.FAILED, repr(self), reason, score=0.0, evidence=evidence)
        reason = f"JSON of the schema{found.told(reply.text)}"
        if unchecked := self.compiled.unchecked_formats:
            reason += f" (formats not checked: {', '.join(unchecked)})"
        evidence = {"level": "right", **found.evidence} if found.taken else {}
        return Verdict(Status.PASSED, repr(self), reason, score=1.0, evidence=evidence)

    def errors(self, value: object) -> list[ValidationError]:
        """All that is wrong with a value.

        Raises:
            SchemaError: the validation was stopped.
            RecursionError: the value is nested too deeply.
        """
        __tracebackhide__ = True
        from pytest_llmcheck.checks.deadline import StoppedError, errors_of

        try:
            return errors_of(self.compiled.validator, value)
        except StoppedError as error:
            raise self._stopped(error) from None
        except RecursionError:
            if _depth(value) > _SHALLOW:
                raise
        why = "refers to itself without end: a $ref leads back to where it stands; remove that"
        raise SchemaError(f"{self!r}: the schema {why}", "$ref")

    def _stopped(self, error: StoppedError) -> SchemaError:
        from pytest_llmcheck.checks import deadline

        place = _place(self.compiled.validator.schema, error.schema)
        where = "" if place is None else f" at {spell((*place, error.keyword))} of the schema"
        limits = {
            "seconds": deadline.SECONDS,
            "most": deadline.MOST_ERRORS,
            "longest": deadline.LONGEST_IRI,
        }
        why = str(error)
        if why in _REMEDIES:
            why = f"the validation {_REMEDIES[why].format(**limits)}"
        return SchemaError(f"{self!r}: {error.keyword}{where}: {why}", error.keyword)

    def _outcome(self, value: object) -> str:
        try:
            return ", though not of the schema" if self.errors(value) else " of the schema"
        except (SchemaError, RecursionError):
            return ""

    def _wrong(self, reply: Judged, found: JsonOf, errors: list[ValidationError]) -> Verdict:
        from pytest_llmcheck.checks.schema_faults import faults, share_right

        told = faults(errors, found.value)
        first, *rest = told[:_MOST_SHOWN]
        caret, decided = first.position(reply.text, found.begin)
        lines = pointed(reply, caret, decided)
        where = found.told(reply.text)
        if len(told) == 1:
            lines.insert(0, f"wrong schema{where}: {_line(first, reply.text, caret)}")
        else:
            lines[:0] = [f"wrong schema in {len(told)} places{where}", _line(first, reply.text, caret)]
            lines += [_line(fault, reply.text, fault.position(reply.text, found.begin)[0]) for fault in rest]
            lines += [f"and {more} more"] if (more := len(told) - _MOST_SHOWN) > 0 else []
        evidence: dict[str, Any] = {
            "level": "wrong schema",
            "errors": [{"path": fault.path, "problem": fault.problem} for fault in told],
            "position": caret,
            **found.evidence,
        }
        if (token := odds_at(reply, decided)) is not None:
            evidence["token"] = token
        score = share_right(told, found.value)
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), score=score, evidence=evidence)


def matches_schema(schema: Schema, extract: Extract = "strict") -> MatchesSchema:
    """The reply is JSON and nothing else, and is valid under a JSON Schema.

    A reply that was cut off fails as that, before "not JSON"; not JSON comes before "wrong schema". JSON is
    that of RFC 8259 without what programs read differently: numbers beyond a double, ``NaN`` and keys that
    occur twice in one object are not JSON. ``format`` is checked; formats that the draft does not define are
    named in the verdict. The draft is that of ``$schema``, else 2020-12. Patterns are Python's. No ``$ref``
    is ever fetched. The score of a failed reply is the share of its fields that are right.

    Judging raises `SchemaError` where the schema itself is to blame: a validation that takes more than 10 s,
    or that never ends. That fails the test whatever the check is part of, ``not_`` included.

    Args:
        schema: a dict or bool, JSON text (it starts with ``{``, or is ``true`` or ``false``), the path of a
            JSON file, relative to the working directory, or a type: a pydantic model or TypeAdapter, a
            dataclass, a TypedDict, a ``msgspec.Struct``, or one made of them such as ``list[Person]``.
        extract: where JSON may stand. ``strict``: the whole reply is JSON. ``fence``: or it is in a fenced
            code block, the first one marked ``json``, or without such the first one without a language.
            ``first``: or it is the first object or array in the text. The verdict says if it was taken out.

    Raises:
        TypeError: it is nothing of the sort, or an instance of a type that would be.
        ValueError: the schema cannot be read, is not valid, or refers to what is not in it; or a type says
            more than its schema would.
    """
    __tracebackhide__ = True
    from pytest_llmcheck.checks.schema_compiled import compiled

    source, shown = schema_of(schema, "matches_schema")
    made = compiled(source)
    return MatchesSchema(made.canonical, checked_extract(extract, "matches_schema"), shown, made)


def _line(fault: Fault, text: str, position: int) -> str:
    return f"{fault.path}: {fault.problem} at {line_and_column(text, position)}"


def _depth(value: object) -> int:
    """Levels of nesting."""
    level, depth = [value], 0
    while level:
        depth += 1
        held = [one for one in level if isinstance(one, dict | list)]
        level = [inner for one in held for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _place(schema: object, part: object) -> tuple[Step, ...] | None:
    """Where a part stands in a schema: the very object, not an equal one."""
    waiting: list[tuple[tuple[Step, ...], Any]] = [((), schema)]
    while waiting:
        place, held = waiting.pop()
        if held is part:
            return place
        if isinstance(held, dict):
            waiting += [((*place, key), inner) for key, inner in held.items()]
        elif isinstance(held, list):
            waiting += [((*place, index), inner) for index, inner in enumerate(held)]
    return None
