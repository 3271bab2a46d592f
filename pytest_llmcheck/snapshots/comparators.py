"""Comparators: pure objects that say how a received body differs from the baseline's."""

from __future__ import annotations

import difflib
import json as jsonlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytest_llmcheck.checks.spelling import common_length
from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.json_values import Comparison, JsonPath, checked_tolerance, paths, spell
from pytest_llmcheck.snapshots.baseline import SnapshotError
from pytest_llmcheck.strict_json import NotJSONError, line_and_column, parse
from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from pytest_llmcheck.snapshots.baseline import Baseline

SHOWN = 5
"""Differences that a comparator spells out."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How two bodies differ.

    Attributes:
        lines: the first differences, each in a line of at most about 100 characters.
        more: how many differences `lines` leaves out.
        details: the long form, any length.
    """

    lines: tuple[str, ...]
    more: int = 0
    details: str = ""


@runtime_checkable
class Comparator(Protocol):
    """Compares a received reply with the recorded one. It holds no state between comparisons."""

    @property
    def name(self) -> str:
        """The name by which it is asked for, such as ``json``."""

    def compare(self, expected: Baseline, received: Baseline) -> Difference | None:
        """None where the two count as the same."""


Compare = str | Comparator | Callable[[], Comparator]
"""What ``compare=`` takes: a name, a comparator, or `text` and `json` themselves."""


@dataclass(frozen=True, slots=True)
class Text:
    """The bodies are equal, character by character."""

    name: str = field(default="text", init=False)

    def compare(self, expected: Baseline, received: Baseline) -> Difference | None:
        """The first place at which the bodies part."""
        if expected.body == received.body:
            return None
        return Difference(
            _first_difference(expected.body, received.body), details=_diff(expected.body, received.body)
        )


@dataclass(frozen=True, slots=True)
class Json:
    """The bodies are JSON and mean the same value; see `json`."""

    paths: tuple[JsonPath, ...] = ()
    tolerance: float = 0.0
    name: str = field(default="json", init=False)

    def compare(self, expected: Baseline, received: Baseline) -> Difference | None:
        """The places at which the values part."""
        try:
            values = [_load("the baseline", expected.body), _load("the reply", received.body)]
            found = Comparison(self.paths, self.tolerance).of(*values).found
            pretty = [jsonlib.dumps(v, indent=2, sort_keys=True, ensure_ascii=False) for v in values]
        except _NotJsonError as error:
            return Difference((str(error),), details=_diff(expected.body, received.body))
        except RecursionError:
            line = "the values are nested too deeply to be compared"
            return Difference((line,), details=_diff(expected.body, received.body))
        if not found:
            return None
        shown = tuple(f"{spell(one.place)}: {one}" for one in found[:SHOWN])
        return Difference(shown, max(0, len(found) - SHOWN), _diff(*pretty))


def text() -> Comparator:
    """Compare character by character: nothing is stripped, no newline is translated."""
    return Text()


def json(*, ignore: Sequence[str] = (), tolerance: float = 0.0) -> Comparator:
    """Compare as JSON values: the order of an object's members and the spelling do not matter.

    Both bodies have to be JSON and nothing else, as for `matches_schema`. ``1`` equals ``1.0``;
    ``true`` equals no number.

    Args:
        ignore: paths left out on both sides: ``$.key``, ``$['key']``, ``$.list[0]``, ``$.list[*].key``;
            ``[*]`` is every element of an array and every member of an object.
        tolerance: numbers a and b are equal if ``|a - b| <= tolerance * max(1, |a|, |b|)``: absolute for
            small numbers, relative for large ones.

    Raises:
        ValueError: a path is not of a supported form, or the tolerance is negative or not finite.
    """
    __tracebackhide__ = True
    return Json(paths(ignore, "ignore"), checked_tolerance(tolerance))


BUILT: dict[str, Callable[[], Comparator]] = {"json": json, "text": text}
"""Comparators by name."""

PLANNED = ("checks", "distribution", "shape", "tokens")
"""Names that are promised and not built yet."""


def comparator(asked: Compare) -> Comparator:
    """The comparator that ``compare=`` asks for.

    Raises:
        SnapshotError: there is none of this name, or none yet.
        TypeError: it is no comparator.
    """
    __tracebackhide__ = True
    if isinstance(asked, str):
        if asked in PLANNED:
            raise SnapshotError(f"compare={asked!r} is not built yet; built: {', '.join(sorted(BUILT))}")
        if asked not in BUILT:
            raise SnapshotError(f"compare={asked!r} is no comparator; {did_you_mean(asked, BUILT)}")
        return BUILT[asked]()
    given = isinstance(asked, Comparator) and not isinstance(asked, type)
    made = asked() if callable(asked) and not given else asked
    if not isinstance(made, Comparator):
        raise TypeError(f"compare={asked!r} is neither a name nor an object with `name` and `compare`")
    return made


class _NotJsonError(Exception):
    """Which side is not JSON, and where."""


def _load(side: str, body: str) -> Any:
    try:
        return parse(body)
    except NotJSONError as error:
        shown = visible(body[error.position : error.position + 30]) or "its end"
        where = line_and_column(body, error.position)
        raise _NotJsonError(f"{side} is not JSON: {error} at {where}: {shown}") from None


def _first_difference(expected: str, received: str) -> tuple[str, ...]:
    at = common_length(expected, received)
    line, start = expected.count("\n", 0, at) + 1, expected.rfind("\n", 0, at) + 1
    before = visible(expected[max(start, at - 24) : at])
    if at - 24 > start:
        before = f"...{before}"
    shown = [before + _rest_of_line(body, at) for body in (expected, received)]
    return (
        f"first difference in line {line}, column {at - start + 1}:",
        f"  expected: {shown[0]}",
        f"  received: {shown[1]}",
        f"            {' ' * len(before)}^",
    )


def _rest_of_line(body: str, at: int) -> str:
    if at == len(body):
        return "<end>"
    end = body.find("\n", at)
    line = body[at:] if end < 0 else body[at : end + 1]
    return visible(line) if len(line) <= 44 else f"{visible(line[:40])}..."


def _diff(expected: str, received: str) -> str:
    """A unified diff in which every character can be seen."""
    former, now = ([visible(line) for line in body.split("\n")] for body in (expected, received))
    return "\n".join(difflib.unified_diff(former, now, "expected", "received", lineterm=""))
