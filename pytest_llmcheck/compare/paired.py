"""The same tests under two models: which verdicts differ, and whether that is more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.compare.rates import check_counts

if TYPE_CHECKING:
    from collections.abc import Iterable


class Flips(NamedTuple):
    """Verdicts that differ between two models.

    Attributes:
        wrong_to_right: places of the pairs that failed before and pass after, from 0.
        right_to_wrong: places of the pairs that passed before and fail after.
        undecided: places of the pairs of which a side is undecided; they count for neither.
        pairs: how many there are in all.
    """

    wrong_to_right: tuple[int, ...]
    right_to_wrong: tuple[int, ...]
    undecided: tuple[int, ...]
    pairs: int

    @property
    def p(self) -> float:
        """That of `mcnemar` for these flips."""
        return mcnemar(len(self.wrong_to_right), len(self.right_to_wrong))


def flips(before: Iterable[bool | None], after: Iterable[bool | None]) -> Flips:
    """Which verdicts differ, pair by pair: what two equal rates may hide.

    Args:
        before: verdicts under the reference, True for passed, None for undecided.
        after: verdicts under the candidate, of the same tests in the same order.

    Raises:
        TypeError: a verdict that is neither True, False nor None.
        ValueError: not as many before as after.
    """
    __tracebackhide__ = True
    old, new = list(before), list(after)
    if len(old) != len(new):
        raise ValueError(f"each verdict needs its partner: {len(old)} before, {len(new)} after")
    pairs = [(_decided(one), _decided(other)) for one, other in zip(old, new, strict=True)]
    return Flips(
        wrong_to_right=tuple(at for at, pair in enumerate(pairs) if pair == (False, True)),
        right_to_wrong=tuple(at for at, pair in enumerate(pairs) if pair == (True, False)),
        undecided=tuple(at for at, pair in enumerate(pairs) if None in pair),
        pairs=len(pairs),
    )


def mcnemar(wrong_to_right: int, right_to_wrong: int) -> float:
    """How likely flips as uneven as these are if each is as likely one way as the other: exact, two-sided.

    With ``k`` the smaller of the two numbers and ``n`` their sum, it is
    ``min(1, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)`` (McNemar, Note on the sampling error of the
    difference between correlated proportions or percentages, Psychometrika 12, 1947, with the binomial
    distribution itself in place of its approximation). Pairs that agree say nothing and are not needed.

    Args:
        wrong_to_right: pairs that failed before and pass after.
        right_to_wrong: pairs that passed before and fail after.

    Returns:
        The p-value, above 0 and at most 1; 1.0 without flips.

    Raises:
        TypeError: no whole number.
        ValueError: a number below 0.
    """
    __tracebackhide__ = True
    check_counts(wrong_to_right=wrong_to_right, right_to_wrong=right_to_wrong)
    fewer, all_ = min(wrong_to_right, right_to_wrong), wrong_to_right + right_to_wrong
    if 2 * fewer == all_:
        return 1.0
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(fewer, all_, 0.5)))


def _decided(verdict: Any) -> bool | None:
    __tracebackhide__ = True
    if verdict is None or isinstance(verdict, bool):
        return verdict
    # numpy's truth values are welcome; numbers, which would be true for another reason, are not.
    if str(getattr(verdict, "dtype", "")) == "bool":
        return bool(verdict)
    raise TypeError(f"a verdict is True, False or None (undecided), got {verdict!r}")
