"""GBNF for the numbers between two bounds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

DIGITS = 15
"""Digits of a number: any two decimals of so many are different doubles, in the same order."""


def integers(low: int | None, high: int | None) -> str | None:
    """Integers from `low` to `high`, both included; None where there are none."""
    if low is not None and high is not None and low > high:
        return None
    parts = []
    if low is None or low < 0:
        # -0 is left out: JSON has it, and nobody wants it.
        least = 1 if high is None or high >= 0 else -high
        below = _natural(least, None if low is None else -low)
        parts.append(f'"-" ({below})')
    if high is None or high >= 0:
        parts.append(_natural(max(low or 0, 0), high))
    return " | ".join(parts)


def numbers(low: Decimal | None, high: Decimal | None, *, above: bool, below: bool) -> str | None:
    """Decimals between whole bounds, without exponent.

    Args:
        low: a whole number, or None.
        high: a whole number, or None.
        above: `low` itself is excluded.
        below: `high` itself is excluded.

    Returns:
        The right-hand side of a rule, or None where there are none.
    """
    first, last = (None if bound is None else int(bound) for bound in (low, high))
    if first is not None and last is not None and (first > last or (first == last and (above or below))):
        return None
    parts = []
    if first is None or first < 0:
        most = None if first is None else -first
        if last is None or last > 0:
            # Down to, and without, -0.
            parts.append(_mirrored(0, most, above=True, below=above))
        else:
            parts.append(_mirrored(-last, most, above=below or last == 0, below=above))
        if last == 0 and not below:
            parts.append('"0" ("." "0"{1,3})?')
    if last is None or last > 0 or (last == 0 and first == 0):
        positive_from = max(first or 0, 0)
        excluded = above and first is not None and first >= 0
        parts.append(_decimals(positive_from, last, above=excluded, below=below))
    return " | ".join(parts)


def _mirrored(low: int, high: int | None, *, above: bool, below: bool) -> str:
    return f'"-" ({_decimals(low, high, above=above, below=below)})'


def _decimals(low: int, high: int | None, *, above: bool, below: bool) -> str:
    """Decimals from `low` >= 0 to `high`."""
    room = DIGITS - len(str(max(low, high or 0)))
    fraction = f'("." [0-9]{{1,{room}}})?'
    if low == high:
        return f'"{low}" ("." "0"{{1,3}})?'
    parts = []
    start = low
    if above:
        parts.append(f'"{low}." {_positive_fraction(room)}')
        start += 1
    if high is None or start < high:
        parts.append(f"({_natural(start, None if high is None else high - 1)}) {fraction}")
    if high is not None and not below:
        parts.append(f'"{high}" ("." "0"{{1,3}})?')
    return " | ".join(parts)


def _positive_fraction(room: int) -> str:
    """Digits, one of which is not 0."""
    half = max(room // 2, 1)
    return f'"0"{{0,{half - 1}}} [1-9] [0-9]{{0,{room - half}}}'


def _natural(low: int, high: int | None) -> str:
    """Integers from `low` >= 0 to `high`, without leading zeros."""
    if high is None:
        most = max(DIGITS + 1, len(str(low)) + 1)
        return _up_to_nines(low, most)
    parts = []
    while len(str(low)) < len(str(high)):
        nines = 10 ** len(str(low)) - 1
        parts.append(_same_length(str(low), str(nines)))
        low = nines + 1
    parts.append(_same_length(str(low), str(high)))
    return " | ".join(parts)


def _up_to_nines(low: int, most: int) -> str:
    """Integers from `low` with at most so many digits."""
    length = len(str(low))
    parts = [_same_length(str(low), "9" * length)]
    if length < most:
        parts.append(f"[1-9] [0-9]{{{length},{most - 1}}}")
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Numbers of one length."""
    if low == high:
        return f'"{low}"'
    shared = 0
    while low[shared] == high[shared]:
        shared += 1
    prefix = f'"{low[:shared]}" ' if shared else ""
    low, high = low[shared:], high[shared:]
    rest = len(low) - 1
    if rest == 0:
        return f"{prefix}[{low}-{high}]"
    parts = []
    first, last = int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        parts.append(f'"{low[0]}" ({_same_length(low[1:], "9" * rest)})')
        first += 1
    if high[1:] != "9" * rest:
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}] [0-9]{{{rest}}}")
    if high[1:] != "9" * rest:
        parts.append(f'"{high[0]}" ({_same_length("0" * rest, high[1:])})')
    return f"{prefix}({' | '.join(parts)})"


def tighter(inclusive: Any, exclusive: Any, *, lower: bool) -> tuple[Decimal | None, bool]:
    """The bound that rules, and whether it is itself excluded."""
    one, other = (None if bound is None else Decimal(str(bound)) for bound in (inclusive, exclusive))
    if one is None or other is None:
        return (one, False) if other is None else (other, True)
    return (other, True) if (other >= one if lower else other <= one) else (one, False)


def is_whole(bound: Decimal) -> bool:
    """Whether a bound of a number can be kept."""
    return bound == bound.to_integral_value() and abs(bound) < 10**12
