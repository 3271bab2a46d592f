"""How often something holds: a rate, its confidence bounds, and how many samples a decision takes.

Each sample is one trial of a binomial distribution, which is right where samples are independent of each
other (different seeds of one prompt are) and wrong where they are not (one greedy reply, repeated).
"""

from __future__ import annotations

from itertools import count
from math import ceil, floor, isfinite, sqrt
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

Side = Literal["two", "lower", "upper"]
"""Which ends of an interval are wanted."""

Method = Literal["wilson", "clopper-pearson"]
"""How an interval of a rate is made."""


class Interval(NamedTuple):
    """The values that fit what was seen, both ends included; a side that was not asked for is 0 or 1."""

    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95, side: Side = "two") -> Interval:
    """The score interval of a rate: close to its confidence on average, and short.

    With ``z`` the standard normal quantile of the confidence and ``k`` successes, the ends are

        (k + z**2 / 2 -+ z * sqrt(k * (n - k) / n + z**2 / 4)) / (n + z**2)

    (Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927, without
    correction for continuity). Brown, Cai and DasGupta (Interval estimation for a binomial proportion,
    Statistical Science 16, 2001) recommend it two-sided. One-sided it is off at rates close to 0 and 1 (Cai,
    One-sided confidence intervals in discrete distributions, Journal of Statistical Planning and Inference
    131, 2005): of 25 samples with a true rate of 90 %, the lower bound of 95 % confidence lies above that
    rate in 7 % of all cases, and the upper one below it in 10 %. Where that matters, take `clopper_pearson`.

    Args:
        successes: how many samples had it.
        n: how many samples there are.
        confidence: how often such an interval holds the true rate, above 0 and below 1.
        side: ``two`` for both ends; ``lower`` or ``upper`` for one bound that holds with all the confidence.

    Raises:
        TypeError: successes or n is no whole number.
        ValueError: a number out of its range, or an unknown side.
    """
    __tracebackhide__ = True
    _check(successes, n, confidence, side)
    return _interval(_wilson, successes, n, confidence, side)


def wilson_of_share(share: float, n: float, confidence: float = 0.95) -> Interval:
    """`wilson` for a rate whose number of samples is an effective one, and thus no whole number.

    Args:
        share: the rate that was seen, from 0 to 1.
        n: the effective number of samples, above 0.
        confidence: see `wilson`.

    Raises:
        ValueError: a number out of its range.
    """
    __tracebackhide__ = True
    _check_share("share", share)
    if not is_number(n) or n <= 0:
        raise ValueError(f"n must be above 0, got {n!r}")
    _check_confidence(confidence)
    low, high = (_wilson(share * n, n, (1 + confidence) / 2, lower=lower) for lower in (True, False))
    return Interval(low, high)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95, side: Side = "two") -> Interval:
    """The exact interval of a rate: it holds the true rate at least as often as it says, often more.

    With ``a`` the allowed error of one end, the ends are the quantile ``a`` of the beta distribution with
    parameters ``k`` and ``n - k + 1``, and the quantile ``1 - a`` of that with ``k + 1`` and ``n - k``
    (Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial,
    Biometrika 26, 1934). The price: it needs more samples than `wilson`.

    Args:
        successes: see `wilson`.
        n: see `wilson`.
        confidence: see `wilson`.
        side: see `wilson`.

    Raises:
        TypeError: see `wilson`.
        ValueError: see `wilson`.
    """
    __tracebackhide__ = True
    _check(successes, n, confidence, side)
    return _interval(_clopper_pearson, successes, n, confidence, side)


def newcombe(
    successes: int, n: int, other_successes: int, other_n: int, confidence: float = 0.95
) -> Interval:
    """Interval of the difference of two rates that were seen in samples independent of each other.

    With ``p``, ``l``, ``u`` the rate and the two-sided Wilson interval of the one, ``q``, ``m``, ``v`` those
    of the other, the ends are

        p - q - sqrt((p - l)**2 + (v - q)**2)    and    p - q + sqrt((u - p)**2 + (q - m)**2)

    (Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine
    17, 1998, method 10). A difference of paired verdicts is for `flips` and `mcnemar`.

    Args:
        successes: of the first samples.
        n: how many the first samples are.
        other_successes: of the second samples, whose rate is subtracted.
        other_n: how many the second samples are.
        confidence: how often such an interval holds the true difference, above 0 and below 1.

    Returns:
        The ends, from -1 to 1.

    Raises:
        TypeError: see `wilson`.
        ValueError: see `wilson`.
    """
    __tracebackhide__ = True
    one = wilson(successes, n, confidence)
    other = wilson(other_successes, other_n, confidence)
    p, q = successes / n, other_successes / other_n
    low = p - q - sqrt((p - one.low) ** 2 + (other.high - q) ** 2)
    high = p - q + sqrt((one.high - p) ** 2 + (q - other.low) ** 2)
    return Interval(max(low, -1.0), min(high, 1.0))


def samples_needed(
    rate: float, observed: float = 1.0, confidence: float = 0.95, method: Method = "wilson"
) -> int | None:
    """The smallest number of samples that decides, if the share seen is `observed`, whether `rate` is kept.

    It is kept if the lower one-sided bound is at least `rate`, and missed if the upper one is below it. With
    ``observed=1.0`` this is the number below which even a perfect score proves nothing: with fewer than
    25 samples, no Wilson bound reaches 90 %. At other shares it is a plan, not a promise: the next samples
    will not be exactly like those seen.

    Searched for from ``z**2 * rate * (1 - rate) / (observed - rate)**2`` upwards, which is Wilson's if
    parts of samples could be had; ``observed * n`` is rounded against the decision.

    Args:
        rate: the share to be kept, above 0 and at most 1.
        observed: the share of successes among the samples, from 0 to 1.
        confidence: of the one-sided bound, above 0.5 and below 1.
        method: ``wilson`` or ``clopper-pearson``.

    Returns:
        At least 1; None if no number decides, which is so where `observed` is `rate`.

    Raises:
        ValueError: a number out of its range, or an unknown method.
    """
    __tracebackhide__ = True
    _check_share("rate", rate, above=True)
    _check_share("observed", observed)
    check_one_sided(confidence)
    bound = _BOUNDS[check_method(method)]
    if observed == rate:
        return None

    lower = observed > rate

    def decides(n: int, successes: float) -> bool:
        end = bound(successes, n, confidence, lower=lower)
        return end >= rate if lower else end < rate

    # With parts of samples, more of them always decide better; whole ones can only need more.
    high = max(1, floor(_z(confidence) ** 2 * rate * (1 - rate) / (observed - rate) ** 2))
    low = 0
    while not decides(high, observed * high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle, observed * middle) else (middle, high)
    whole = floor if lower else ceil
    # 0.9 * 30 is 27.000000000000004.
    return next(n for n in count(high) if decides(n, whole(round(observed * n, 9))))


def interval(
    successes: int, n: int, confidence: float = 0.95, side: Side = "two", method: Method = "wilson"
) -> Interval:
    """The interval by a method that is named: `wilson` or `clopper_pearson`, which say the rest."""
    __tracebackhide__ = True
    _check(successes, n, confidence, side)
    return _interval(_BOUNDS[check_method(method)], successes, n, confidence, side)


def check_one_sided(confidence: float) -> None:
    """Refuse a confidence with which a rate could be kept and missed at the same time.

    Raises:
        ValueError: it is not above 0.5 and below 1.
    """
    __tracebackhide__ = True
    if not is_number(confidence) or not 0.5 < confidence < 1.0:
        raise ValueError(
            f"confidence must be above 0.5 and below 1, such as 0.95, got {confidence!r}; no number of "
            "samples gives certainty"
        )


def check_method(method: str) -> Method:
    """The same, if it is one of the methods.

    Raises:
        ValueError: names those that there are.
    """
    __tracebackhide__ = True
    for known in get_args(Method):
        if method == known:
            return known  # type: ignore[no-any-return]  # one of its literals
    raise ValueError(f"method must be {' or '.join(map(repr, get_args(Method)))}, got {method!r}")


def _z(quantile: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(quantile)


def _wilson(successes: float, n: float, confidence: float, *, lower: bool) -> float:
    if successes == (0 if lower else n):
        return float(not lower)  # exactly; the formula would be off in the last digit
    z = _z(confidence)
    half = z * sqrt(successes * (n - successes) / n + z * z / 4)
    return (successes + z * z / 2 + (-half if lower else half)) / (n + z * z)


def _clopper_pearson(successes: float, n: int, confidence: float, *, lower: bool) -> float:
    if successes == (0 if lower else n):
        return float(not lower)
    from scipy.special import betaincinv

    if lower:
        return float(betaincinv(successes, n - successes + 1, 1 - confidence))
    return float(betaincinv(successes + 1, n - successes, confidence))


_BOUNDS: dict[Method, Callable[..., float]] = {"wilson": _wilson, "clopper-pearson": _clopper_pearson}


def _interval(bound: Callable[..., float], successes: int, n: int, confidence: float, side: Side) -> Interval:
    successes, n = int(successes), int(n)
    if side == "two":
        confidence = (1 + confidence) / 2
    low = 0.0 if side == "upper" else bound(successes, n, confidence, lower=True)
    high = 1.0 if side == "lower" else bound(successes, n, confidence, lower=False)
    return Interval(low, high)


def _check(successes: int, n: int, confidence: float, side: Side) -> None:
    __tracebackhide__ = True
    check_counts(successes=successes, n=n)
    if n < 1 or successes > n:
        raise ValueError(
            f"n must be at least 1, and successes at most n; got {successes} successes of {n} samples"
        )
    _check_confidence(confidence)
    if side not in get_args(Side):
        raise ValueError(f"side must be 'two', 'lower' or 'upper', got {side!r}")


def _check_confidence(confidence: float) -> None:
    __tracebackhide__ = True
    if not is_number(confidence) or not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be above 0 and below 1, such as 0.95, got {confidence!r}")


def check_counts(**counts: int) -> None:
    """Refuse what counts nothing.

    Raises:
        TypeError: no whole number; the message names it.
        ValueError: below 0.
    """
    __tracebackhide__ = True
    for name, value in counts.items():
        # numpy's whole numbers are welcome, truth values are not.
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")


def _check_share(name: str, value: float, *, above: bool = False) -> None:
    __tracebackhide__ = True
    if not is_number(value) or not 0.0 <= value <= 1.0 or (above and value == 0.0):
        allowed = "above 0 and at most 1" if above else "from 0 to 1"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
