"""How many threads to use: all of them, or fewer while other work keeps some of them from running.

A call of llama.cpp has hundreds of barriers. If one of two threads has lost its core to another process,
the other waits at each of them, and two threads are far slower than one. The bits do not depend on the
number of threads (see `canonical`), so it may follow the load of the machine.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

SLOW = 1.7
"""A call this much longer than its like at its best makes us look whether fewer threads do better."""

CALLS = 4
"""How many calls make an estimate."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
"""Seconds between two trials; doubled each time that one does not pay."""


class Pace:
    """Watches how long calls take, and says how many threads the next one gets.

    Args:
        threads: at most.
        clock: seconds.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = perf_counter) -> None:
        self._levels = [threads]
        while self._levels[-1] > 1:
            self._levels.append(self._levels[-1] // 2)
        self._clock = clock
        self._best: dict[Hashable, float] = {}
        self._home = self._level = 0
        self._slowness: list[float | None] = [None] * len(self._levels)
        self._calls = 0
        self._wait = FIRST_WAIT
        self._next_trial = 0.0
        self._trials = 0

    @property
    def threads(self) -> int:
        """For the next call."""
        return self._levels[self._level]

    def took(self, kind: Hashable, seconds: float) -> None:
        """A call of this kind has taken so long; calls of equal kind do equal work."""
        if self._level == 0:
            self._best[kind] = min(self._best.get(kind, seconds), seconds)
        best = self._best.get(kind)
        if best is None or len(self._levels) == 1:
            return
        now = seconds / best
        before = self._slowness[self._level]
        self._slowness[self._level] = now if before is None else 0.6 * before + 0.4 * now
        self._calls += 1
        if self._calls >= CALLS:
            if self._level == self._home:
                self._look_around()
            else:
                self._compare()

    def _look_around(self) -> None:
        """Try another number of threads where the present one is slow, or less than all."""
        slowness = self._slowness[self._home] or 1.0
        # Half the threads take twice the time at best.
        slow = slowness > SLOW * 2**self._home
        if not slow and self._home == 0:
            self._wait = FIRST_WAIT
            return
        if self._clock() < self._next_trial:
            return
        below = range(self._home + 1, len(self._levels)) if slow else ()
        others = [*below, *range(self._home - 1, -1, -1)]
        # One after the other: with many cores, the next level may be no better and the one after it be.
        self._go(others[self._trials % len(others)])
        self._trials += 1

    def _compare(self) -> None:
        """Stay with what was tried if it is clearly better."""
        tried, before = self._slowness[self._level], self._slowness[self._home]
        assert tried is not None
        assert before is not None
        if tried < 0.9 * before:
            self._home = self._level
            self._wait, self._trials = FIRST_WAIT, 0
        else:
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._next_trial = self._clock() + self._wait
        self._go(self._home)

    def _go(self, level: int) -> None:
        self._level = level
        self._calls = 0
        if level != self._home:
            self._slowness[level] = None
