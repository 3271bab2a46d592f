"""JSON values: paths to their parts, and how two of them differ."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMS = "$.key, $['key'], $.list[0], $.list[*].key"
"""The supported forms, for messages."""

ANY: Final = None
"""A step that matches every element of an array and every member of an object."""

Step = str | int
"""A key of an object or an index of an array."""

_STEP = re.compile(
    r"""\.(?P<key>[^\W\d][\w-]*)                        # .key
      | \['(?P<single>(?:[^'\\]|\\.)*)'\]               # ['key']
      | \["(?P<double>(?:[^"\\]|\\.)*)"\]               # ["key"]
      | \[(?P<index>[0-9]+)\]                           # [0]
      | \[(?P<any>\*)\]                                 # [*]
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_KEY = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path such as ``$.items[*].id``: the subset of JSONPath (RFC 9535) that names places and no filters.

    Attributes:
        steps: keys, indices, and `ANY`.
    """

    steps: tuple[Step | None, ...]

    @classmethod
    def parse(cls, path: str) -> JsonPath:
        """Read a path.

        Raises:
            TypeError: it is no text.
            ValueError: it is not one of the supported forms.
        """
        __tracebackhide__ = True
        if not isinstance(path, str):
            raise TypeError(f"a path is a text such as '$.items[0].id', got {path!r}")
        steps: list[Step | None] = []
        at = 1
        while path.startswith("$") and at < len(path) and (found := _STEP.match(path, at)):
            try:
                steps.append(_step(found))
            except ValueError:  # an escape that JSON does not have
                break
            at = found.end()
        if not path.startswith("$") or at != len(path):
            where = f" from {path[at:]!r} on" if path.startswith("$") else _meant(path)
            raise ValueError(f"{path!r} is no path that is known here{where}; known forms: {FORMS}")
        return cls(tuple(steps))

    def matches(self, place: tuple[Step, ...]) -> bool:
        """Whether the path leads to this place."""
        return len(self.steps) == len(place) and all(
            want is ANY or (type(want) is type(step) and want == step)
            for want, step in zip(self.steps, place, strict=True)
        )

    def places(self, value: object) -> list[tuple[Step, ...]]:
        """All places of a value to which the path leads, in order."""
        found: list[tuple[tuple[Step, ...], Any]] = [((), value)]
        for want in self.steps:
            found = [
                ((*place, step), inner)
                for place, held in found
                for step, inner in _members(held)
                if want is ANY or (type(want) is type(step) and want == step)
            ]
        return [place for place, _ in found]


def _meant(path: str) -> str:
    """What a path without ``$`` was probably meant to be."""
    guess = f"$.{path}".replace("$.[", "$[").replace("$..", "$.")
    try:
        JsonPath.parse(guess)
    except ValueError:
        return ""
    return f" (did you mean {guess!r}?)"


def paths(given: Sequence[str], what: str) -> tuple[JsonPath, ...]:
    """The paths of a list of ignored ones.

    Args:
        given: each in one of the supported forms.
        what: the argument, for messages.

    Raises:
        TypeError: one is no text.
        ValueError: it is no list, one is not of a supported form, or one is ``$``, which ignores everything.
    """
    __tracebackhide__ = True
    if isinstance(given, str):
        raise ValueError(f"{what} takes a list of paths: {what}=[{given!r}]")
    made = tuple(JsonPath.parse(path) for path in given)
    if any(not path.steps for path in made):
        raise ValueError(f"'$' ignores the whole value, so nothing is compared; known forms: {FORMS}")
    return made


def checked_tolerance(tolerance: float) -> float:
    """The tolerance, if it is one.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative or not finite.
    """
    __tracebackhide__ = True
    if not _is_number(tolerance):
        raise TypeError(f"tolerance is a finite number of at least 0, got {tolerance!r}")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance is a finite number of at least 0, got {tolerance!r}")
    return tolerance


def spell(place: Iterable[Step]) -> str:
    """A place as a path that `JsonPath.parse` reads, such as ``$.a[0]['b c']``."""
    spelled = "$"
    for step in place:
        if isinstance(step, int):
            spelled += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            spelled += f".{step}"
        else:
            # As RFC 9535 writes normalised paths: JSON's escapes, but within single quotes.
            inner = json.dumps(step, ensure_ascii=not step.isprintable())[1:-1]
            inner = inner.replace(r"\"", '"').replace("'", r"\'")
            spelled += f"['{inner}']"
    return spelled


def at(value: Any, place: Iterable[Step]) -> Any:
    """The part of a value at a place that it has."""
    for step in place:
        value = value[step]
    return value


def leaves(value: object) -> int:
    """How many fields a value has: numbers, texts, booleans, nulls and empty containers, at any depth."""
    return sum(leaves(inner) for _, inner in _members(value)) or 1


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()
"""Stands where one side has no such part."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A place at which two values differ.

    Attributes:
        place: keys and indices from the root.
        expected: what should be there, or `NOTHING`.
        received: what is there, or `NOTHING`.
    """

    place: tuple[Step, ...]
    expected: Any
    received: Any

    def __str__(self) -> str:
        return f"expected {brief(self.expected)}, got {brief(self.received)}"


@dataclass(slots=True)
class Comparison:
    """How a received value differs from the expected one.

    Order of members does not matter; ``1`` equals ``1.0``, ``true`` equals no number.

    Attributes:
        ignore: places left out on both sides, with all below them.
        tolerance: numbers a and b are equal if ``|a - b| <= tolerance * max(1, |a|, |b|)``: absolute for
            small numbers, relative for large ones.
        found: the places at which they differ, in the order of the expected value.
        right: how many fields are equal.
    """

    ignore: tuple[JsonPath, ...] = ()
    tolerance: float = 0.0
    found: list[Mismatch] = field(default_factory=list)
    right: int = 0

    def of(self, expected: object, received: object) -> Comparison:
        """Compare two values.

        Raises:
            RecursionError: they are nested too deeply.
        """
        self._compare((), expected, received)
        return self

    @property
    def share(self) -> float:
        """Fields that are right, of all that either side has and that are not ignored; 0 to 1."""
        wrong = sum(max(_weight(one.expected), _weight(one.received)) for one in self.found)
        return self.right / (self.right + wrong) if wrong else 1.0

    def _compare(self, place: tuple[Step, ...], expected: Any, received: Any) -> None:
        if any(path.matches(place) for path in self.ignore):
            return
        if isinstance(expected, dict) and isinstance(received, dict):
            steps: list[Step] = [*expected, *(key for key in received if key not in expected)]
            sides = [(step, expected.get(step, NOTHING), received.get(step, NOTHING)) for step in steps]
        elif isinstance(expected, list) and isinstance(received, list):
            length = max(len(expected), len(received))
            padded = [[*side, *[NOTHING] * (length - len(side))] for side in (expected, received)]
            sides = list(zip(range(length), *padded, strict=True))
        elif self._equal(expected, received):
            self.right += 1
            return
        else:
            self.found.append(Mismatch(place, expected, received))
            return
        self.right += not sides
        for step, one, other in sides:
            self._compare((*place, step), one, other)

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


def brief(value: object, limit: int = 40) -> str:
    """A value as JSON, in one line of at most `limit` characters."""
    shown = repr(value) if value is NOTHING else visible(json.dumps(value, ensure_ascii=False))
    return shown if len(shown) <= limit else f"{shown[: limit - 4]} ..."


def _step(found: re.Match[str]) -> Step | None:
    if (key := found["key"]) is not None:
        return key
    if (double := found["double"]) is not None:
        return _unescaped(double)
    if (single := found["single"]) is not None:
        return _unescaped(re.sub(r"\\.|\"", _for_double_quotes, single, flags=re.DOTALL))
    return ANY if found["any"] else int(found["index"])


def _for_double_quotes(found: re.Match[str]) -> str:
    return {r"\'": "'", '"': r"\""}.get(found[0], found[0])


def _unescaped(text: str) -> str:
    # Strings of paths may hold control characters as they are.
    return str(json.loads(f'"{text}"', strict=False))


def _members(value: object) -> list[tuple[Step, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _weight(value: object) -> int:
    return 0 if value is NOTHING else leaves(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
