"""The figures of docs/rates.md are those of the functions, and of counting all that can happen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scipy.stats import binom

from pytest_llmcheck.compare import samples_needed
from pytest_llmcheck.compare.rates import interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.compare.rates import Method

PAGE = (Path(__file__).parents[2] / "docs" / "rates.md").read_text(encoding="utf-8")
METHODS: tuple[Method, ...] = ("wilson", "clopper-pearson")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)
    return [line.split(" | ") for line in table if not line.startswith("---")]


def share(cell: str) -> float:
    return round(float(cell.removesuffix(" %")) / 100, 6)


def test_perfect_scores() -> None:
    head, *body = rows("How many samples")
    assert head == [
        "rate",
        "Wilson, 95 %",
        "Clopper-Pearson, 95 %",
        "Wilson, 99 %",
        "Clopper-Pearson, 99 %",
    ]
    assert len(body) >= 5
    for rate, *cells in body:
        ways = [(confidence, method) for confidence in (0.95, 0.99) for method in METHODS]
        needed = [samples_needed(share(rate), confidence=conf, method=method) for conf, method in ways]
        assert [int(cell) for cell in cells] == needed


def test_other_shares() -> None:
    head, *body = rows("How many to plan for")
    rates = [share(cell.removeprefix("rate ")) for cell in head[1:]]
    assert len(body) >= 5
    for seen, *cells in body:
        needed = [samples_needed(rate, share(seen)) for rate in rates]
        assert cells == ["never" if n is None else f"{n:,}" for n in needed]


def worst(rate: float, method: Method) -> tuple[float, float]:
    """How often it is wrongly passed and wrongly failed, at most, at a true rate that is just `rate`."""
    smallest = samples_needed(rate, method=method)
    assert smallest is not None
    passed = failed = 0.0
    for n in range(smallest, 501):

        def passes(some: int, n: int = n) -> bool:
            return interval(some, n, 0.95, "lower", method).low >= rate

        def does_not_fail(some: int, n: int = n) -> bool:
            return interval(some, n, 0.95, "upper", method).high >= rate

        passed = max(passed, binom.sf(first(passes, n) - 1, n, rate))
        failed = max(failed, binom.cdf(first(does_not_fail, n) - 1, n, rate))
    return passed, failed


def first(holds: Callable[[int], bool], n: int) -> int:
    """The smallest number from 0 to `n` of which it holds, as it does of all above."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


@pytest.mark.parametrize("row", rows("How often a verdict is wrong")[1:], ids=lambda row: row[0])
def test_wrong_verdicts(row: list[str]) -> None:
    figures = [error for method in METHODS for error in worst(share(row[0]), method)]
    assert row[1:] == [f"{100 * figure:.1f} %" for figure in figures]
    assert max(figures[2:]) <= 0.05


@pytest.mark.parametrize(
    ("rate", "true"), [(0.8, 0.9), (0.9, 0.85), (0.9, 0.95), (0.9, 0.98), (0.95, 0.98), (0.95, 0.99)]
)
def test_how_often_a_planned_number_decides(rate: float, true: float) -> None:
    """In more than half of all cases; twice as many in about three quarters, or more."""
    planned = samples_needed(rate, true)
    assert planned is not None
    for times, decided in [(1, 0.5), (2, 0.74)]:
        n = times * planned
        right = [
            interval(k, n, side="lower").low >= rate
            if true > rate
            else interval(k, n, side="upper").high < rate
            for k in range(n + 1)
        ]
        assert sum(binom.pmf(k, n, true) for k in range(n + 1) if right[k]) >= decided


def test_a_hundred_samples_for_a_good_model() -> None:
    passes = first(lambda k: interval(k, 100, side="lower").low >= 0.9, 100)
    assert f"in {100 * binom.sf(passes - 1, 100, 0.98):.0f} % of all runs" in PAGE.replace("\n", " ")
