"""Whether enough of several replies pass: every one of them, or a rate on a confidence bound."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmcheck.compare.rates import (
    Method,
    check_method,
    check_one_sided,
    interval,
    is_number,
    samples_needed,
)
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.session.tally import Tally

NAMES: dict[Method, str] = {"wilson": "Wilson", "clopper-pearson": "Clopper-Pearson"}


class Rule(Protocol):
    """Decides on the verdicts of several replies."""

    def check_size(self, n: int) -> None:
        """Refuse numbers of samples that cannot pass.

        Raises:
            ValueError: names one that could.
        """

    def judge(self, tally: Tally) -> Verdict:
        """One verdict on all of them."""


def rule_of(rate: float | None, confidence: float, method: str) -> Rule:
    """The rule for what a test gave to ``expect``.

    Raises:
        ValueError: a value out of its range, or one that means nothing without a rate.
    """
    __tracebackhide__ = True
    if rate is None:
        if (confidence, method) != (0.95, "wilson"):
            raise ValueError(
                "confidence= and method= belong to rate=; without a rate, every sample must pass"
            )
        return Every()
    if not is_number(rate) or not 0.0 < rate < 1.0:
        raise ValueError(
            f"rate must be above 0 and below 1, such as 0.9, got {rate!r}; no number of samples proves that "
            "all replies pass, and without a rate every one of these samples must"
        )
    check_one_sided(confidence)
    return Rate(rate, confidence, check_method(method))


@dataclass(frozen=True, slots=True)
class Every:
    """Every one of these replies passes; nothing is said about others."""

    def check_size(self, n: int) -> None:
        """Refuse none at all."""
        __tracebackhide__ = True
        if n < 1:
            raise ValueError("there are no samples to judge")

    def judge(self, tally: Tally) -> Verdict:
        """Failed if one failed, undecided if one is undecided."""
        passed, failed, undecided = tally.counts
        n = len(tally.replies)
        reason = f"{passed} of {n} passed{_open(tally)}"
        if failed or undecided:
            reason = f"expected every sample to pass; {reason}"
        status = Status.FAILED if failed else _undecided(tally) if undecided else Status.PASSED
        return Verdict(
            status, _label(tally, "in every sample"), reason, score=passed / n, evidence=evidence(tally)
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """At least this share of all replies would pass, as far as the ones seen can tell.

    Attributes:
        rate: the share, above 0 and below 1.
        confidence: of each one-sided bound.
        method: how the bounds are made.
    """

    rate: float
    confidence: float
    method: Method

    def check_size(self, n: int) -> None:
        """Refuse a number of samples with which not even a perfect score would show the rate."""
        __tracebackhide__ = True
        Every().check_size(n)
        needed = samples_needed(self.rate, confidence=self.confidence, method=self.method)
        if needed is not None and n < needed:
            low, _ = self._bounds(n, 0, n)
            raise ValueError(
                f"rate={self.rate:g} needs at least {needed} samples, got {n}: {n} of {n} would not prove "
                f"{_percent(self.rate)}, since {self._sure} only {self._floor(low)} of all replies would be "
                f"known to pass ({NAMES[self.method]}); ask for n={needed} or more"
            )

    def judge(self, tally: Tally) -> Verdict:
        """Passed, failed or undecided on the bounds."""
        passed, _, undecided = tally.counts
        n = len(tally.replies)
        low, high = self._bounds(passed, undecided, n)
        needed = self._needed(passed, undecided, n)
        reason = f"{passed} of {n} passed ({100 * passed / n:.1f} %){_open(tally)}"
        aim = _percent(self.rate)
        if low >= self.rate:
            status = Status.PASSED
            reason += f"; {self._sure} at least {self._floor(low)} of all replies pass ({NAMES[self.method]})"
        elif high < self.rate:
            status = Status.FAILED
            reason += (
                f"; {self._sure} at most {self._ceiling(high)} of all replies pass ({NAMES[self.method]}), "
                f"and {aim} should"
            )
        else:
            status = _undecided(tally)
            reason += (
                f", which shows neither that {aim} of all replies pass nor that fewer do: {self._sure} at "
                f"least {self._floor(low)} and at most {self._ceiling(high)} do ({NAMES[self.method]}); "
                f"{self._more(needed, passed, undecided, n)}"
            )
        found = {
            **evidence(tally),
            "rate": self.rate,
            "confidence": self.confidence,
            "method": self.method,
            "low": low,
            "high": high,
            "needed": needed,
        }
        label = _label(tally, f"at rate {self.rate:g}")
        return Verdict(status, label, reason, score=passed / n, evidence=found)

    def _bounds(self, passed: int, undecided: int, n: int) -> tuple[float, float]:
        """The lower bound if all that are undecided had failed, the upper one if all had passed."""
        low = interval(passed, n, self.confidence, "lower", self.method).low
        high = interval(passed + undecided, n, self.confidence, "upper", self.method).high
        return low, high

    def _needed(self, passed: int, undecided: int, n: int) -> int | None:
        """How many samples decide at these shares; None where the shares lie on both sides of the rate."""
        if passed / n > self.rate:
            seen = passed / n
        elif (passed + undecided) / n < self.rate:
            seen = (passed + undecided) / n
        else:
            return None
        return samples_needed(self.rate, seen, self.confidence, self.method)

    def _more(self, needed: int | None, passed: int, undecided: int, n: int) -> str:
        """What would have decided it."""
        if needed is not None:
            return f"at this share, {needed} samples would have decided it"
        if not undecided:
            return "at exactly this share, no number of samples decides it"
        # If all of those had passed, or none.
        if (
            self._bounds(passed + undecided, 0, n)[0] >= self.rate
            or self._bounds(passed, 0, n)[1] < self.rate
        ):
            return "those that could not be judged could have decided it"
        return "it takes more samples, whatever those that could not be judged would have been"

    @property
    def _sure(self) -> str:
        return f"at {_percent(self.confidence)} confidence"

    @property
    def _step(self) -> Decimal:
        """Bounds are shown with as many digits as the rate needs to be compared with, at least one."""
        digits = max(1, len(f"{100 * self.rate:.10g}".partition(".")[2]))
        return Decimal(1).scaleb(-digits)

    def _floor(self, bound: float) -> str:
        # Rounded so that a bound below the rate is never shown as if it had reached it.
        return f"{Decimal(100 * bound).quantize(self._step, ROUND_FLOOR)} %"

    def _ceiling(self, bound: float) -> str:
        return f"{Decimal(100 * bound).quantize(self._step, ROUND_CEILING)} %"


def evidence(tally: Tally) -> dict[str, Any]:
    """The counts, of all checks together and of each; which samples did not pass."""
    return {
        **tally.counts._asdict(),
        "n": len(tally.replies),
        "different_texts": tally.different_texts,
        "checks": [{"check": check, **counts._asdict()} for check, counts in tally.of_each],
        "failed_samples": tally.places(Status.FAILED),
        "undecided_samples": tally.places(Status.INCONCLUSIVE, Status.NOT_APPLICABLE),
    }


def _label(tally: Tally, how: str) -> str:
    return f"{', '.join(tally.checks) or 'health'} {how}"


def _undecided(tally: Tally) -> Status:
    """Not applicable where the question makes no sense for any of the replies."""
    alone = set(tally.statuses) == {Status.NOT_APPLICABLE}
    return Status.NOT_APPLICABLE if alone else Status.INCONCLUSIVE


def _open(tally: Tally) -> str:
    """How many replies could not be judged, and why the first of them could not."""
    if not tally.counts.undecided:
        return ""
    at = tally.places(Status.INCONCLUSIVE, Status.NOT_APPLICABLE)[0]
    first = next(verdict for verdict in tally.verdicts[at] if verdict.undecided)
    why = (first.reason.splitlines() or [""])[0]
    return f", {tally.counts.undecided} could not be judged ({first.check}: {why})"


def _percent(share: float) -> str:
    return f"{100 * share:.10g} %"
