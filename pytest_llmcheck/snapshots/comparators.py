"""Comparators: pure objects that say how a received body differs from the baseline's."""

from __future__ import annotations

import difflib
import json as jsonlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.snapshots.baseline import SnapshotError
from pytest_llmcheck.snapshots.json_paths import JsonPath, Step, spell
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
            found = list(self._differences((), *values))
            pretty = [jsonlib.dumps(v, indent=2, sort_keys=True, ensure_ascii=False) for v in values]
        except _NotJsonError as error:
            return Difference((str(error),), details=_diff(expected.body, received.body))
        except RecursionError:
            line = "the values are nested too deeply to be compared"
            return Difference((line,), details=_diff(expected.body, received.body))
        if not found:
            return None
        return Difference(tuple(found[:SHOWN]), max(0, len(found) - SHOWN), _diff(*pretty))

    def _differences(self, place: tuple[Step, ...], expected: Any, received: Any) -> Iterator[str]:
        if any(path.matches(place) for path in self.paths):
            return
        if isinstance(expected, dict) and isinstance(received, dict):
            steps: Sequence[Step] = [*expected, *(key for key in received if key not in expected)]
            sides = [(step, expected.get(step, _NOTHING), received.get(step, _NOTHING)) for step in steps]
        elif isinstance(expected, list) and isinstance(received, list):
            length = max(len(expected), len(received))
            padded = [[*side, *[_NOTHING] * (length - len(side))] for side in (expected, received)]
            sides = list(zip(range(length), *padded, strict=True))
        else:
            if not self._equal(expected, received):
                yield f"{spell(place)}: expected {_brief(expected)}, got {_brief(received)}"
            return
        for step, one, other in sides:
            yield from self._differences((*place, step), one, other)

    def _equal(self, expected: Any, received: Any) -> bool:
        if not (_is_number(expected) and _is_number(received)):
            return type(expected) is type(received) and bool(expected == received)
        if expected == received:
            return True
        try:
            near = self.tolerance * max(1.0, abs(expected), abs(received))
            return bool(math.isfinite(near) and abs(expected - received) <= near)
        except OverflowError:  # an integer beyond the floats
            return False


def text() -> Comparator:
    """Compare character by character: nothing is stripped, no newline is translated."""
    return Text()


def json(*, ignore: Sequence[str] = (), tolerance: float = 0.0) -> Comparator:
    """Compare as JSON values: the order of an object's members and the spelling do not matter.

    Both bodies have to be JSON and nothing else. ``1`` equals ``1.0``; ``true`` equals no number.

    Args:
        ignore: paths left out on both sides: ``$.key``, ``$['key']``, ``$.list[0]``, ``$.list[*].key``;
            ``[*]`` is every element of an array and every member of an object.
        tolerance: numbers a and b are equal if ``|a - b| <= tolerance * max(1, |a|, |b|)``: absolute for
            small numbers, relative for large ones.

    Raises:
        ValueError: a path is not of a supported form, or the tolerance is negative or not finite.
    """
    if isinstance(ignore, str):
        raise ValueError(f"ignore takes a list of paths: ignore=[{ignore!r}]")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance is a finite number of at least 0, not {tolerance}")
    return Json(tuple(JsonPath.parse(path) for path in ignore), tolerance)


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


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _load(side: str, body: str) -> Any:
    def refuse(constant: str) -> Any:
        raise _NotJsonError(f"{side} is not JSON: {constant} is no JSON number")

    try:
        return jsonlib.loads(body, parse_constant=refuse)
    except jsonlib.JSONDecodeError as error:
        shown = visible(body[error.pos : error.pos + 30]) or "its end"
        raise _NotJsonError(
            f"{side} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}, at: {shown}"
        ) from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of thousands of digits
        raise _NotJsonError(f"{side} is not JSON that Python reads: {error}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    shown = repr(value) if value is _NOTHING else visible(jsonlib.dumps(value, ensure_ascii=False))
    return shown if len(shown) <= 40 else f"{shown[:36]} ..."


def _first_difference(expected: str, received: str) -> tuple[str, ...]:
    at = next((i for i, (a, b) in enumerate(zip(expected, received, strict=False)) if a != b), None)
    if at is None:
        at = min(len(expected), len(received))
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
