"""How the work of a function grows with its text: as a ratio within one run, since machines differ."""

from __future__ import annotations

import math
from time import process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = 0.2
"""Seconds of processor time. What takes less for the whole text is no trouble, however it grows."""

TIMES = 4
MOST = 1.5
"""Work that grows with the square of the size has the exponent 2, in proportion to it 1."""


def in_proportion(work: Callable[[int], object], size: int) -> bool:
    """Whether work on texts of up to this size takes no more than time in proportion to it.

    Args:
        work: does it for a text of about so many characters.
        size: in characters; large enough that a squared one would be felt.
    """
    whole = _seconds(work, size)
    if whole < QUICK:
        return True
    whole = min(whole, _seconds(work, size))
    part = min(_seconds(work, size // TIMES) for _ in range(3))
    return math.log(whole / max(part, 1e-6), TIMES) < MOST


def _seconds(work: Callable[[int], object], size: int) -> float:
    begun = process_time()
    work(size)
    return process_time() - begun
