"""Bounds of rates, judged by scipy.stats, by published figures and by counting all that can happen."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from pytest_llmcheck.compare import Interval, clopper_pearson, newcombe, samples_needed, wilson
from pytest_llmcheck.compare.rates import interval

if TYPE_CHECKING:
    from pytest_llmcheck.compare.rates import Method, Side

SIDES: dict[Side, str] = {"two": "two-sided", "lower": "greater", "upper": "less"}
METHODS: dict[Method, str] = {"wilson": "wilson", "clopper-pearson": "exact"}
CONFIDENCES = (0.5001, 0.8, 0.9, 0.95, 0.99, 0.999)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 10, 29, 400, 100_000])
def test_as_scipy_says(method: Method, side: Side, n: int) -> None:
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        test = binomtest(successes, n, alternative=SIDES[side])
        for confidence in CONFIDENCES:
            expected = test.proportion_ci(confidence, method=METHODS[method])
            got = interval(successes, n, confidence, side, method)
            # scipy finds the exact ends by a search that stops at a tolerance of its own.
            assert got == pytest.approx(tuple(expected), abs=1e-9)


def test_plain_numbers() -> None:
    assert wilson(10, 10, side="lower") == pytest.approx(Interval(0.787058, 1.0), abs=1e-6)
    assert clopper_pearson(10, 10, side="lower").low == pytest.approx(0.05**0.1)
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == clopper_pearson(10, 10).high == 1.0
    assert wilson(3, 10, side="upper").low == 0.0
    for method in (wilson, clopper_pearson):
        made = method(np.int64(3), np.int64(10))  # type: ignore[arg-type]  # as users of numpy do
        assert made == method(3, 10)
        assert {type(end) for end in made} == {float}


def test_as_r_prints() -> None:
    """R's `prop.test(20, 100, correct=FALSE)` and `binom.test(20, 100)`."""
    assert wilson(20, 100) == pytest.approx((0.1334, 0.2888), abs=5e-5)
    assert clopper_pearson(20, 100) == pytest.approx((0.1267, 0.2918), abs=5e-5)


# Newcombe (1998), table II, method 10.
@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombes_own_examples(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    assert newcombe(*counts) == pytest.approx((low, high), abs=5e-5)
    assert newcombe(*counts[2:], *counts[:2]) == pytest.approx((-high, -low), abs=5e-5)


@given(st.integers(1, 500), st.data(), st.sampled_from(["wilson", "clopper-pearson"]))
@settings(max_examples=60, deadline=None)
def test_laws(n: int, data: Any, method: Method) -> None:
    """An interval holds the rate seen, is mirrored by failures, and one more success moves it up."""
    successes = data.draw(st.integers(0, n - 1))
    low, high = interval(successes, n, method=method)
    assert 0.0 <= low <= successes / n <= high <= 1.0
    assert interval(n - successes, n, method=method) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    more = interval(successes + 1, n, method=method)
    assert low < more.low
    assert high <= more.high
    # One side alone needs less room for the same confidence.
    assert low <= interval(successes, n, side="lower", method=method).low
    assert interval(successes, n, side="upper", method=method).high <= high


@pytest.mark.parametrize("n", [1, 5, 17, 30, 100, 250])
def test_clopper_pearson_keeps_its_word(n: int) -> None:
    """At every true rate, over all outcomes: no bound is wrong more than 5 % of the time."""
    outcomes = np.arange(n + 1)
    lows = np.array([clopper_pearson(k, n, side="lower").low for k in range(n + 1)])
    highs = np.array([clopper_pearson(k, n, side="upper").high for k in range(n + 1)])
    # Errors are largest where a bound is about to stop holding the rate, so these are among those tried.
    for rate in {*np.linspace(0.001, 0.999, 199), *(lows[1:]), *(highs[:-1])}:
        chances = binom.pmf(outcomes, n, rate)
        assert chances[lows > rate + 1e-12].sum() <= 0.05 + 1e-9
        assert chances[highs < rate - 1e-12].sum() <= 0.05 + 1e-9


class TestSamplesNeeded:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("rate", [0.01, 0.5, 0.8, 0.9, 0.95, 0.99])
    @pytest.mark.parametrize("confidence", [0.6, 0.95, 0.99])
    def test_a_perfect_score(self, rate: float, confidence: float, method: Method) -> None:
        n = samples_needed(rate, confidence=confidence, method=method)
        assert n is not None
        assert interval(n, n, confidence, "lower", method).low >= rate
        assert n == 1 or interval(n - 1, n - 1, confidence, "lower", method).low < rate

    def test_closed_forms(self) -> None:
        """z**2 * rate / (1 - rate), and the power of the rate that falls to 5 %."""
        assert samples_needed(0.9) == 25
        assert samples_needed(0.9, method="clopper-pearson") == 29
        assert samples_needed(0.99) == 268
        assert samples_needed(0.99, method="clopper-pearson") == 299

    @given(
        st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
        st.sampled_from([0.1, 0.5, 0.75, 0.9, 0.95, 1.0]),
        st.sampled_from(["wilson", "clopper-pearson"]),
    )
    @settings(max_examples=40, deadline=None)
    def test_the_first_number_that_decides(self, seen: tuple[int, int], rate: float, method: Method) -> None:
        """Found again by trying all numbers in turn, in whole numbers."""
        successes, samples = seen
        n = samples_needed(rate, successes / samples, method=method)
        if successes == rate * samples:
            assert n is None
            return
        assert n is not None

        def decides(tried: int) -> bool:
            if successes / samples > rate:
                some = successes * tried // samples
                return interval(some, tried, side="lower", method=method).low >= rate
            some = -(-successes * tried // samples)
            return interval(some, tried, side="upper", method=method).high < rate

        assert decides(n)
        assert not any(decides(tried) for tried in range(max(1, n - 300), n))

    def test_no_number_decides_at_the_rate_itself(self) -> None:
        assert samples_needed(0.9, 0.9) is None
        assert samples_needed(1.0) is None

    def test_close_to_the_rate_it_is_large_and_still_found(self) -> None:
        assert samples_needed(0.9, 0.9001) == pytest.approx(1.6449**2 * 0.09 / 0.0001**2, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wilson(11, 10), ValueError, "got 11 successes of 10 samples"),
        (lambda: wilson(0, 0), ValueError, "n must be at least 1, and successes at most n"),
        (lambda: wilson(-1, 10), ValueError, "successes must be at least 0, got -1"),
        (lambda: wilson(0.9, 10), TypeError, "successes must be a whole number, got 0.9"),  # type: ignore[arg-type]
        (lambda: wilson(True, 10), TypeError, "successes must be a whole number, got True"),
        (lambda: wilson(1, 10, 95), ValueError, "above 0 and below 1, such as 0.95, got 95"),
        (lambda: wilson(1, 10, inf), ValueError, "above 0 and below 1, such as 0.95, got inf"),
        (lambda: clopper_pearson(1, 10, side="low"), ValueError, "'two', 'lower' or 'upper', got 'low'"),  # type: ignore[arg-type]
        (lambda: newcombe(1, 10, 3, 2), ValueError, "got 3 successes of 2 samples"),
        (lambda: samples_needed(90), ValueError, "rate must be above 0 and at most 1, got 90"),
        (lambda: samples_needed(0.0), ValueError, "rate must be above 0 and at most 1, got 0.0"),
        (lambda: samples_needed(0.9, 1.5), ValueError, "observed must be from 0 to 1, got 1.5"),
        (lambda: samples_needed(0.9, confidence=1.0), ValueError, "no number of samples gives certainty"),
        (
            lambda: samples_needed(0.9, method="wald"),  # type: ignore[arg-type]  # wrong on purpose
            ValueError,
            "method must be 'wilson' or 'clopper-pearson', got 'wald'",
        ),
    ],
)
def test_wrong_numbers(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
