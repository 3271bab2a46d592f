"""The values in a reply that is JSON: all of them, or one field."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.combine import worst
from pytest_llmcheck.checks.json_reply import Field, NoJsonError, checked_extract, json_of, json_side
from pytest_llmcheck.checks.spelling import common_length
from pytest_llmcheck.engines.judging import is_check, no_check
from pytest_llmcheck.engines.pointing import odds_at, pointed
from pytest_llmcheck.json_places import Place, place_of
from pytest_llmcheck.json_values import (
    NOTHING,
    Comparison,
    JsonPath,
    at,
    brief,
    checked_tolerance,
    paths,
    spell,
)
from pytest_llmcheck.schema_given import is_json_text
from pytest_llmcheck.strict_json import line_and_column
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.checks.json_reply import Extract, JsonOf
    from pytest_llmcheck.json_values import Mismatch, Step
    from pytest_llmcheck.verdict import Check, Judged

_MOST_SHOWN = 5


@dataclass(frozen=True)
class JsonEquals:
    """See `json_equals`."""

    expected: str
    ignore: tuple[JsonPath, ...]
    tolerance: float
    extract: Extract
    shown: str

    @property
    def name(self) -> str:
        """The function's name."""
        return "json_equals"

    def __repr__(self) -> str:
        return f"json_equals({self.shown})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the value; the score is the share of fields that are right."""
        reply = json_side(reply)
        expected = json.loads(self.expected)
        comparison = Comparison(self.ignore, self.tolerance)

        def outcome(value: Any) -> str:
            differs = Comparison(self.ignore, self.tolerance).of(expected, value).found
            return ", though not the expected value" if differs else " of the expected value"

        try:
            found = json_of(reply, self.extract, outcome)
            if comparison.of(expected, found.value).found:
                return self._wrong(reply, found, comparison)
        except NoJsonError as error:
            return error.verdict(repr(self))
        except RecursionError:
            return _too_deep(repr(self))
        reason = f"the expected value{found.told(reply.text)}"
        return Verdict(Status.PASSED, repr(self), reason, score=1.0, evidence=found.evidence)

    def _wrong(self, reply: Judged, found: JsonOf, comparison: Comparison) -> Verdict:
        wrong = comparison.found
        carets = [_caret(reply.text, found.begin, one) for one in wrong[:_MOST_SHOWN]]
        lines = [
            f"{spell(one.place)}: {one} at {line_and_column(reply.text, caret)}"
            for one, (caret, _) in zip(wrong, carets, strict=False)
        ]
        lines[1:1] = pointed(reply, *carets[0])
        where = found.told(reply.text)
        if len(wrong) == 1:
            lines[0] = f"wrong value{where}: {lines[0]}"
        else:
            lines.insert(0, f"wrong value in {len(wrong)} places{where}")
            lines += [f"and {more} more"] if (more := len(wrong) - _MOST_SHOWN) > 0 else []
        expected = json.loads(self.expected)
        if isinstance(found.value, dict | list) and isinstance(expected, str) and is_json_text(expected):
            lines.append("hint: a JSON text was given, which is a string; give the value, json.loads(...)")
        evidence: dict[str, Any] = {
            "level": "wrong value",
            "errors": [{"path": spell(one.place), "problem": str(one)} for one in wrong],
            "position": carets[0][0],
            **found.evidence,
        }
        if (token := odds_at(reply, carets[0][1])) is not None:
            evidence["token"] = token
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), score=comparison.share, evidence=evidence)


@dataclass(frozen=True)
class JsonField:
    """See `json_field`."""

    path: JsonPath
    spelled: str
    check: Check | JsonIs
    extract: Extract

    @property
    def name(self) -> str:
        """The function's name."""
        return "json_field"

    def __repr__(self) -> str:
        extract = "" if self.extract == "strict" else f", extract={self.extract!r}"
        return f"json_field({self.spelled!r}, {self.check!r}{extract})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge each place of the path; the worst verdict counts, the score is the mean."""
        reply = json_side(reply)
        try:
            found = json_of(reply, self.extract)
            places = self.path.places(found.value)
            return self._all(reply, found, places) if places else self._nothing_there(reply, found)
        except NoJsonError as error:
            return error.verdict(repr(self))
        except RecursionError:
            return _too_deep(repr(self))

    def _all(self, reply: Judged, found: JsonOf, places: Sequence[tuple[Step, ...]]) -> Verdict:
        judged = [self._judged(reply, found, place) for place in places]
        status = worst([verdict for _, verdict in judged])
        scores = [verdict.score for _, verdict in judged if verdict.score is not None]
        score = sum(scores) / len(scores) if len(scores) == len(judged) else None
        if status is Status.PASSED:
            count = "" if len(judged) == 1 else f" at all {len(judged)} places"
            reason = f"it holds{count}{found.told(reply.text)}"
            return Verdict(status, repr(self), reason, score, found.evidence)
        bad = [(path, verdict) for path, verdict in judged if verdict.status is status]
        lines = [f"{path}: {verdict.reason}" for path, verdict in bad[:_MOST_SHOWN]]
        lines += [f"and {more} more"] if (more := len(bad) - _MOST_SHOWN) > 0 else []
        if where := found.told(reply.text):
            lines.append(f"the JSON was {where[2:-1]}")
        if status is Status.FAILED and score is not None:
            score = min(score, 1 - 1 / (len(judged) + 1))  # never a pass, whatever the check says
        evidence = {
            "errors": [{"path": path, "problem": verdict.reason} for path, verdict in bad],
            **found.evidence,
        }
        return Verdict(status, repr(self), "\n".join(lines), score, evidence)

    def _judged(self, reply: Judged, found: JsonOf, place: tuple[Step, ...]) -> tuple[str, Verdict]:
        value = at(found.value, place)
        written = place_of(reply.text, place, found.begin) or Place(found.begin, found.end)
        if isinstance(self.check, JsonIs):
            return spell(place), self.check.of(value, reply, written)
        spelt = reply.text[written.begin : written.end]
        verdict = self.check(Field(value if isinstance(value, str) else spelt, spelt))
        if verdict.status is not Status.PASSED:
            # The check points into the field; this is where the field is in the reply.
            where = line_and_column(reply.text, written.begin)
            told = f"{verdict.reason}\nthe field is {brief(value, 60)} at {where}"
            if token := odds_at(reply, written.begin + isinstance(value, str)):
                told += f"; its first token: {token}"
            verdict = Verdict(verdict.status, verdict.check, told, verdict.score, verdict.evidence)
        return spell(place), verdict

    def _nothing_there(self, reply: Judged, found: JsonOf) -> Verdict:
        reason = f"expected a value at {self.spelled}, there is none in {brief(found.value, 60)}"
        # The object or array that lacks it is where the path still led somewhere.
        steps = self.path.steps
        while steps and not JsonPath(steps).places(found.value):
            steps = steps[:-1]
        nearest = next(iter(JsonPath(steps).places(found.value)), ())
        lines = [f"{reason}{found.told(reply.text)}"]
        if written := place_of(reply.text, nearest, found.begin):
            lines += pointed(reply, written.end - 1)
        evidence = {"path": self.spelled, **found.evidence}
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), score=0.0, evidence=evidence)


@dataclass(frozen=True)
class JsonIs:
    """The field has a value."""

    expected: str

    def __repr__(self) -> str:
        return repr(json.loads(self.expected))

    def of(self, value: Any, reply: Judged, written: Place) -> Verdict:
        """Judge a value that stands at a place of the reply."""
        expected = json.loads(self.expected)
        comparison = Comparison().of(expected, value)
        if not comparison.found:
            return Verdict(Status.PASSED, repr(self), "equal", 1.0)
        reason = f"expected {brief(expected)}, got {brief(value)}"
        told = [f"{reason} at {line_and_column(reply.text, written.begin)}", *pointed(reply, written.begin)]
        return Verdict(Status.FAILED, repr(self), "\n".join(told), comparison.share)


def json_equals(
    expected: Any, ignore: Sequence[str] = (), tolerance: float = 0.0, extract: Extract = "strict"
) -> JsonEquals:
    """The reply is JSON of this value.

    The order of an object's members and the spelling do not matter: ``1`` equals ``1.0``, ``true`` equals no
    number. The score is the share of fields that are right, of all that either side has: numbers, texts,
    booleans, nulls and empty containers, at any depth.

    Args:
        expected: a value made of dicts, lists, texts, numbers, booleans and None; a text is a JSON string.
            Instances of pydantic models, dataclasses and ``msgspec.Struct`` count as the objects that they
            are written as.
        ignore: paths left out on both sides: ``$.key``, ``$['key']``, ``$.list[0]``, ``$.list[*].key``.
        tolerance: numbers a and b are equal if ``|a - b| <= tolerance * max(1, |a|, |b|)``: absolute for
            small numbers, relative for large ones.
        extract: where JSON may stand; see `matches_schema`.

    Raises:
        TypeError: a path is no text, or the tolerance no number.
        ValueError: the value is not one of JSON, a path is not of a supported form, or the tolerance is
            negative or not finite.
    """
    __tracebackhide__ = True
    checked_extract(extract, "json_equals")
    text = _as_json(expected, "json_equals")
    ignored = paths(ignore, "ignore")
    given = [brief(json.loads(text), 60)]
    given += [f"ignore={list(ignore)!r}"] if ignore else []
    given += [f"tolerance={tolerance!r}"] if tolerance else []
    given += [f"extract={extract!r}"] if extract != "strict" else []
    return JsonEquals(text, ignored, checked_tolerance(tolerance), extract, ", ".join(given))


def json_field(path: str, check_or_value: Check | Any, extract: Extract = "strict") -> JsonField:
    """A field of the reply, which is JSON, passes a check or has a value.

    With ``[*]`` in the path, every field that it leads to must, and there must be one. A check judges the
    text of a string, and of anything else its JSON as it stands in the reply. `matches_schema` and the other
    checks of JSON judge the value: a string is one to them, whatever is in it.

    Args:
        path: such as ``$.items[*].price``; ``$`` is the whole value.
        check_or_value: a check such as ``contains("refund")``, or a value as for `json_equals`.
        extract: where JSON may stand; see `matches_schema`.

    Raises:
        TypeError: the path is no text, or a function is given that is no check.
        ValueError: the path is not of a supported form, or the value is not one of JSON.
    """
    __tracebackhide__ = True
    checked_extract(extract, "json_field")
    try:
        parsed = JsonPath.parse(path)
    except (TypeError, ValueError) as error:
        raise type(error)(f"json_field: {error}") from None
    if callable(check_or_value) and not is_check(check_or_value):
        raise TypeError(
            no_check("json_field", check_or_value, "values, and checks such as contains('refund')")
        )
    check = check_or_value if is_check(check_or_value) else JsonIs(_as_json(check_or_value, "json_field"))
    return JsonField(parsed, path, check, extract)


def _as_json(value: Any, check: str) -> str:
    __tracebackhide__ = True
    try:
        return json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{check}: the expected value is no JSON value: {why}") from None


def _plain(instance: Any) -> Any:
    """An instance of a type that describes data, as pydantic or msgspec would write it."""
    if not isinstance(instance, type):
        if hasattr(instance, "model_dump"):
            return instance.model_dump(mode="json", by_alias=True)
        if dataclasses.is_dataclass(instance) or hasattr(instance, "__struct_fields__"):
            import msgspec

            return msgspec.to_builtins(instance, str_keys=True, enc_hook=_plain)
    raise TypeError(f"Object of type {type(instance).__name__} is not JSON serializable")


def _caret(text: str, start: int, one: Mismatch) -> tuple[int, int]:
    """Where a mismatch is in the text, and where the token stands that decided it."""
    if one.received is NOTHING:  # where the object or array was closed instead
        parent = place_of(text, one.place[:-1], start)
        return (start, start) if parent is None else (parent.end - 1, parent.end - 1)
    found = place_of(text, one.place, start)
    if found is None:
        return start, start
    if one.expected is NOTHING:
        key = found.begin if found.key is None else found.key
        return key, key
    # The first character that is not as expected.
    expected = json.dumps(one.expected, ensure_ascii=False)
    written = text[found.begin : found.end]
    return found.begin, found.begin + common_length(written, expected)


def _too_deep(check: str) -> Verdict:
    reason = "the values are nested too deeply to be compared"
    return Verdict(Status.FAILED, check, reason, score=0.0, evidence={"level": "wrong value"})
