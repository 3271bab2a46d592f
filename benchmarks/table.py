"""Figures as lines of a Markdown table, for the terminal and for docs/performance.md."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options import Options


def begin(title: str, how: str, options: Options) -> None:
    """Title, method, state of the machine, and the head of the table."""
    quick = " **Quick settings: not a measurement.**" if options.quick else ""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n### {title}\n\n{how}{quick}")
    print(
        f"Medians of {options.rounds} interleaved rounds, {options.threads} threads; load before: {load}.\n"
    )
    print("| model | ours | against | ratio (lowest to highest) | goal | reached |")
    print("|---|---|---|---|---|---|", flush=True)


def line(
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    unit: str,
    goal: float | None = None,
    at_most: bool = False,
    inverse: bool = False,
    digits: int = 1,
) -> float:
    """Print one figure.

    Args:
        what: model and side.
        ours: one value for each round.
        theirs: of the same rounds.
        unit: of the values.
        goal: of the ratio; None for a figure that only informs.
        at_most: whether the goal is an upper bound.
        inverse: whether the ratio is theirs/ours, as for seconds.
        digits: decimal places of the values.

    Returns:
        The median of the rounds' ratios: what else the machine does drifts more between rounds than within
        one.
    """
    pairs = zip(theirs, ours, strict=True) if inverse else zip(ours, theirs, strict=True)
    ratios = [a / b for a, b in pairs]
    ratio = statistics.median(ratios)
    limit = "" if goal is None else f"at {'most' if at_most else 'least'} {goal:g}"
    reached = "" if goal is None else "yes" if (ratio <= goal if at_most else ratio >= goal) else "**no**"
    spread = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    values = [f"{statistics.median(side):.{digits}f} {unit}" for side in (ours, theirs)]
    print(f"| {what} | {values[0]} | {values[1]} | {spread} | {limit} | {reached} |", flush=True)
    return ratio


def missing(what: str, why: str) -> None:
    """Say that a figure cannot be measured here."""
    print(f"\n{what}: not measured, {why}", flush=True)
