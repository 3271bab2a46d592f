"""Rates of verdicts that depend on each other: several about one reply, or the same under two models.

A *cluster* is what was drawn independently, such as a prompt; its verdicts stand and fall together.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from pytest_llmcheck.compare.paired import flips
from pytest_llmcheck.compare.rates import Interval, check_counts, wilson, wilson_of_share

if TYPE_CHECKING:
    from collections.abc import Sequence


def clustered(successes: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> Interval:
    """Interval of a rate over verdicts that come in clusters.

    Wilson's, with the effective number of verdicts in place of their number (Dean and Pagano, Evaluating
    confidence interval methods for binomial proportions in clustered surveys, Journal of Survey Statistics
    and Methodology 3, 2015). With ``x`` successes of ``n`` verdicts in each of ``m`` clusters, ``N`` verdicts
    and the rate ``p = sum(x) / N``, the variance of ``p`` is ``m / (m - 1) * sum((x - p * n)**2) / N**2``
    (Liang and Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73, 1986), that
    of as many independent verdicts ``p * (1 - p) / (N - 1)``, and the effective number is ``N`` times the
    second over the first. It is never taken to be above ``N`` (Korn and Graubard, Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data, Survey Methodology
    24, 1998). Where all verdicts are alike nothing tells how they depend on each other: then a cluster
    counts as one. With one verdict in each cluster this is `wilson`.

    Args:
        successes: how many verdicts of each cluster are good.
        sizes: how many verdicts each cluster has, in the same order, at least 1.
        confidence: how often such an interval holds the true rate, above 0 and below 1.

    Raises:
        TypeError: no whole number.
        ValueError: no cluster, not as many successes as sizes, or more successes than verdicts.
    """
    __tracebackhide__ = True
    _check(successes, sizes)
    count, share = sum(sizes), sum(successes) / sum(sizes)
    effective: float = count
    if share in (0.0, 1.0):
        effective = len(sizes)
    elif variance := _variance(successes, sizes):
        effective = min(count, count * (share * (1 - share) / (count - 1)) / variance)
    return wilson_of_share(share, effective, confidence)


def clustered_difference(
    before: Sequence[int], after: Sequence[int], sizes: Sequence[int], confidence: float = 0.95
) -> Interval | None:
    """Interval of the difference, after less before, of two rates over the same verdicts in clusters.

    The difference plus and minus its standard error, clustered, times a quantile of Student's distribution
    with one degree of freedom less than there are clusters: the paired analysis of Miller (Adding error bars
    to evals, arXiv:2411.00640, 2024) with the quantile that few clusters need (Cameron and Miller, A
    practitioner's guide to cluster-robust inference, Journal of Human Resources 50, 2015).

    Args:
        before: how many verdicts of each cluster are good under the reference.
        after: the same under the candidate.
        sizes: see `clustered`.
        confidence: see `clustered`.

    Returns:
        The ends, from -1 to 1; None where the clusters do not differ in their difference, as where
        nothing flipped, so that there is no standard error to go by.

    Raises:
        TypeError: see `clustered`.
        ValueError: see `clustered`.
    """
    __tracebackhide__ = True
    _check(before, sizes)
    _check(after, sizes)
    changes = [new - old for old, new in zip(before, after, strict=True)]
    if not (variance := _variance(changes, sizes)):
        return None
    from scipy.special import stdtrit

    difference = sum(changes) / sum(sizes)
    half = float(stdtrit(len(sizes) - 1, (1 + confidence) / 2)) * sqrt(variance)
    return Interval(max(difference - half, -1.0), min(difference + half, 1.0))


def paired_difference(
    before: Sequence[bool | None], after: Sequence[bool | None], confidence: float = 0.95
) -> Interval:
    """Interval of the difference, after less before, of two rates over the same independent verdicts.

    With ``p``, ``l``, ``u`` the rate and the Wilson interval after, ``q``, ``m``, ``v`` those before, and
    ``f`` the correlation of the verdicts, the ends are

        p - q - sqrt((p - l)**2 - 2 * f * (p - l) * (v - q) + (v - q)**2)    and
        p - q + sqrt((u - p)**2 - 2 * f * (u - p) * (q - m) + (q - m)**2)

    where ``f``, if above 0, is corrected for continuity (Newcombe, Improved confidence intervals for the
    difference between binomial proportions based on paired data, Statistics in Medicine 17, 1998, method
    10). It has a width also where nothing flipped.

    Args:
        before: verdicts under the reference; None, undecided, counts as not passed.
        after: verdicts under the candidate, of the same tests in the same order.
        confidence: how often such an interval holds the true difference, above 0 and below 1.

    Returns:
        The ends, from -1 to 1.

    Raises:
        TypeError: see `flips`.
        ValueError: see `flips`; also if there is no pair.
    """
    __tracebackhide__ = True
    flipped = flips(map(bool, before), map(bool, after))
    n, gained, lost = flipped.pairs, len(flipped.wrong_to_right), len(flipped.right_to_wrong)
    old, new = sum(map(bool, before)), sum(map(bool, after))
    p, q = wilson(new, n, confidence), wilson(old, n, confidence)
    both = old - lost
    neither = n - both - gained - lost
    product = float(both * neither - gained * lost)
    if product > 0:
        product = max(product - n / 2, 0.0)
    spread = sqrt(old * (n - old) * new * (n - new))
    f = product / spread if spread else 0.0
    below, above = (new / n - p.low, q.high - old / n), (p.high - new / n, old / n - q.low)
    difference = (new - old) / n
    low, high = difference - _added(*below, f), difference + _added(*above, f)
    return Interval(max(low, -1.0), min(high, 1.0))


def _added(one: float, other: float, correlation: float) -> float:
    # Rounding may take the sum a hair below 0.
    return sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))


def _variance(totals: Sequence[int], sizes: Sequence[int]) -> float:
    """Of the ratio of two sums over clusters; exactly 0 where all have the same ratio, and for one."""
    clusters, total, count = len(sizes), sum(totals), sum(sizes)
    if clusters < 2:
        return 0.0
    # Whole numbers: rounding would leave a small variance where there is none.
    rest = sum((one * count - total * size) ** 2 for one, size in zip(totals, sizes, strict=True))
    return clusters / (clusters - 1) * rest / count**4


def _check(successes: Sequence[int], sizes: Sequence[int]) -> None:
    __tracebackhide__ = True
    if len(successes) != len(sizes) or not sizes:
        raise ValueError(
            f"each cluster needs its successes and its size: {len(successes)} successes, {len(sizes)} sizes"
        )
    for x, n in zip(successes, sizes, strict=True):
        check_counts(successes=x, sizes=n)
        if n < 1 or x > n:
            raise ValueError(
                f"a cluster has at least 1 verdict, and at most as many successes; got {x} of {n}"
            )
