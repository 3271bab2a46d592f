"""Intervals over verdicts that depend on each other, against statsmodels and published examples."""

from __future__ import annotations

from itertools import chain
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pytest_llmcheck.compare import clustered, clustered_difference, paired_difference, wilson

if TYPE_CHECKING:
    from collections.abc import Iterable

CLUSTERS = st.lists(
    st.integers(1, 3).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))),
    min_size=2,
    max_size=40,
)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def columns(rows: Iterable[tuple[int, int, int]]) -> tuple[list[int], list[int], list[int]]:
    before, after, sizes = zip(*rows, strict=True)
    return list(before), list(after), list(sizes)


def verdicts(successes: Iterable[int], sizes: Iterable[int]) -> np.ndarray[Any, Any]:
    each = ([1.0] * x + [0.0] * (n - x) for x, n in zip(successes, sizes, strict=True))
    return np.array(list(chain.from_iterable(each)))


def fitted(values: np.ndarray[Any, Any], sizes: list[int]) -> Any:
    """The mean of all verdicts with its clustered standard error."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )


class TestClustered:
    @given(CLUSTERS)
    @settings(max_examples=40, deadline=None)
    def test_its_standard_error_is_that_of_statsmodels(self, rows: list[tuple[int, int, int]]) -> None:
        """Read back from the ends, which are z standard errors away: those at the end itself."""
        successes, _, sizes = columns(rows)
        share, count = sum(successes) / sum(sizes), sum(sizes)
        low, high = clustered(successes, sizes)
        assert 0.0 <= low <= share <= high <= 1.0
        variance = fitted(verdicts(successes, sizes), sizes).bse[0] ** 2
        if not 0.0 < share < 1.0 or variance < 1e-12:
            return
        effective = min(count, count * share * (1 - share) / (count - 1) / variance)
        z = norm.ppf(0.975)
        for end in (low, high):
            assert abs(share - end) == pytest.approx(z * sqrt(end * (1 - end) / effective), rel=1e-6)

    @given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
    def test_clusters_of_one_verdict_are_independent(self, each: list[int]) -> None:
        assert clustered(each, [1] * len(each)) == pytest.approx(wilson(sum(each), len(each)))

    def test_verdicts_that_stand_and_fall_together_count_once(self) -> None:
        """As many verdicts more do not make the interval shorter."""
        twice = clustered([2, 0] * 500, [2] * 1000)
        assert twice == pytest.approx(wilson(500, 1000), abs=1e-4)
        assert wilson(1000, 2000).low > twice.low

    @pytest.mark.parametrize("good", [0, 3])
    def test_all_alike(self, good: int) -> None:
        assert clustered([good] * 20, [3] * 20) == pytest.approx(wilson(20 * good // 3, 20))

    def test_one_cluster(self) -> None:
        assert clustered([1], [3]) == pytest.approx(wilson(1, 3))


class TestClusteredDifference:
    @given(CLUSTERS)
    @settings(max_examples=40, deadline=None)
    def test_as_statsmodels_says(self, rows: list[tuple[int, int, int]]) -> None:
        before, after, sizes = columns(rows)
        found = clustered_difference(before, after, sizes)
        changes = verdicts(after, sizes) - verdicts(before, sizes)
        expected = fitted(changes, sizes)
        if found is None:
            assert expected.bse[0] == pytest.approx(0.0, abs=1e-9)
            return
        low, high = expected.conf_int()[0]
        assert found == pytest.approx((max(low, -1.0), min(high, 1.0)))

    def test_nothing_flipped(self) -> None:
        assert clustered_difference([1, 0, 2], [1, 0, 2], [2, 1, 3]) is None


class TestPairedDifference:
    @pytest.mark.parametrize(
        ("table", "expected"),
        [
            # Bentur et al. 2009 and Cavo et al. 2012: examples of Fagerland, Lydersen and Laake (Recommended
            # tests and confidence intervals for paired binomial proportions, Statistics in Medicine 33, 2014)
            # and of the R package contingencytables, which is by them.
            ((1, 1, 7, 12), (-0.507, -0.026)),
            ((59, 6, 16, 80), (-0.119, -0.005)),
        ],
    )
    def test_published_examples(self, table: tuple[int, ...], expected: tuple[float, float]) -> None:
        """Pairs that passed both, the first only, the second only, neither; first less second."""
        both, first, second, neither = table
        one = [True] * (both + first) + [False] * (second + neither)
        other = [True] * both + [False] * first + [True] * second + [False] * neither
        assert paired_difference(other, one) == pytest.approx(expected, abs=5e-4)

    @given(PAIRS)
    def test_turned_round(self, pairs: list[tuple[bool, bool]]) -> None:
        before, after = [b for b, _ in pairs], [a for _, a in pairs]
        low, high = paired_difference(before, after)
        difference = (sum(after) - sum(before)) / len(pairs)
        assert -1.0 <= low <= difference + 1e-12
        assert difference - 1e-12 <= high <= 1.0
        assert paired_difference(after, before) == pytest.approx((-high, -low))

    def test_nothing_flipped(self) -> None:
        """That 20 verdicts agree does not mean that all would."""
        low, high = paired_difference([True] * 10 + [False] * 10, [True] * 10 + [False] * 10)
        assert low < -0.05
        assert high > 0.05

    def test_undecided_is_not_passed(self) -> None:
        assert paired_difference([None, True], [True, None]) == paired_difference(
            [False, True], [True, False]
        )


@pytest.mark.parametrize(
    ("successes", "sizes", "message"),
    [
        ([], [], "each cluster needs its successes and its size: 0 successes, 0 sizes"),
        ([1], [1, 2], "each cluster needs its successes and its size: 1 successes, 2 sizes"),
        ([2], [1], "a cluster has at least 1 verdict, and at most as many successes; got 2 of 1"),
        ([0], [0], "a cluster has at least 1 verdict, and at most as many successes; got 0 of 0"),
        ([-1], [1], "successes must be at least 0, got -1"),
    ],
)
def test_refused(successes: list[int], sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        clustered(successes, sizes)
    assert str(refusal.value) == message
