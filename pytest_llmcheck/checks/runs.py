"""Runs: stretches of a text in which one unit follows upon itself, found at the speed of `str.find`.

In the words of string algorithms a run is a maximal repetition with its smallest period (Kolpakov and
Kucherov 1999, "Finding maximal repetitions in a word in linear time"). Here only long ones are looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_REPEATS = 3
LEAST_LENGTH = 100
"""Characters; runs that are shorter are not found."""


class _Level(NamedTuple):
    """Periods that are looked for together.

    A run of this level can be laid over itself, a period later, in at least two thirds of its length. At
    places `step` apart a probe of the text is looked for within the next `high` characters; since step and
    probe together are no longer than those two thirds, one probe lies wholly in them.
    """

    low: int
    high: int
    probe: int
    step: int


_LEVELS = (
    _Level(1, 33, 16, 50),
    *(_Level(34 * 4**i, 34 * 4 ** (i + 1) - 1, 24 * 4**i, 44 * 4**i) for i in range(5)),
)
"""Periods of up to 34,815 characters."""


class Run(NamedTuple):
    """A stretch of a text.

    Attributes:
        start: where it begins, in characters.
        end: where it ends.
        period: length of its unit.
    """

    start: int
    end: int
    period: int

    @property
    def length(self) -> int:
        """In characters."""
        return self.end - self.start

    @property
    def repeats(self) -> int:
        """How often the whole unit stands there."""
        return self.length // self.period


def runs(text: str) -> Iterator[Run]:
    """Runs of at least `LEAST_REPEATS` units and `LEAST_LENGTH` characters; those of small periods first.

    A run that lies within another, such as one of twice its period, may be given too.

    >>> [(run.start, run.period, run.repeats) for run in runs("Is it so? " + "no, " * 30)]
    [(10, 4, 30)]
    """
    size, find = len(text), text.find
    for low, high, probe, step in _LEVELS:
        if size < LEAST_REPEATS * low:
            return
        at = 0
        while at + probe < size:
            # Where a text does not repeat itself, this search is all that is done.
            again = find(text[at : at + probe], at + low, at + high + probe)
            found = None if again < 0 else _run_at(text, at, again, _Level(low, high, probe, step))
            if found is None:
                at += step
            else:
                yield found
                at = found.end


def _run_at(text: str, at: int, again: int, level: _Level) -> Run | None:
    """The run of the smallest period that a place lies in, if it is one of its level.

    Args:
        text: the whole text.
        at: the place.
        again: where the probe from there stands next.
        level: of periods.
    """
    probe = text[at : at + level.probe]
    while again >= 0:
        period = again - at
        # A run began less than a step earlier, so all but that of its further units lies ahead.
        ahead = (LEAST_REPEATS - 1) * period - level.step
        if ahead <= level.probe or text.startswith(text[at : at + ahead], again):
            end = again + _equal_after(text, at, again)
            run = Run(at - _equal_before(text, at, again), end, period)
            if run.repeats >= LEAST_REPEATS and run.length >= LEAST_LENGTH:
                return run
        again = text.find(probe, again + 1, at + level.high + level.probe)
    return None


def _equal_after(text: str, one: int, other: int) -> int:
    """How many characters from two places on are the same; `other` is the later one."""
    known, step, most = 0, 16, len(text) - other

    def goes_on(step: int) -> bool:
        here, there = one + known, other + known
        return known + step <= most and text.startswith(text[here : here + step], there)

    while goes_on(step):
        known += step
        step *= 2
    while step:
        if goes_on(step):
            known += step
        step //= 2
    return known


def _equal_before(text: str, one: int, other: int) -> int:
    """How many characters before two places are the same; `one` is the earlier one."""
    known = 0
    while known < one and text[one - known - 1] == text[other - known - 1]:
        known += 1
    return known
