"""What a constraint does for a rate: the same prompt sampled with and without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llmcheck.compare.rates import newcombe
from pytest_llmcheck.session.rates import evidence
from pytest_llmcheck.session.samples import rule_before_asking
from pytest_llmcheck.session.tally import Tally
from pytest_llmcheck.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_llmcheck.compare.rates import Method
    from pytest_llmcheck.session.samples import Samples
    from pytest_llmcheck.verdict import Check


@dataclass(frozen=True, slots=True, repr=False)
class ConstrainedAndFree:
    """Replies to one prompt with and without a constraint; see `LLM.constrained_and_free`.

    Attributes:
        constrained: the replies that were held to the schema or grammar.
        free: those that were not.
    """

    constrained: Samples
    free: Samples

    def expect(
        self,
        *checks: Check,
        rate: float | None = None,
        confidence: float = 0.95,
        method: Method = "wilson",
        without: Collection[str] = (),
    ) -> ConstrainedAndFree:
        """Judge how many of the free replies pass, and tell beside it how many of the constrained ones do.

        The difference of the two shares is told with its interval (`pytest_llmcheck.compare.newcombe`); a
        reply that could not be judged has not passed. It decides nothing.

        Args:
            checks: as for `Samples.expect`.
            rate: see `Samples.expect`.
            confidence: see `Samples.expect`; of the interval of the difference too, which is two-sided.
            method: see `Samples.expect`.
            without: see `Samples.expect`.

        Returns:
            Itself, so that calls can be chained.

        Raises:
            CheckFailed: too few of the free replies pass; see `Samples.expect`.
            ValueError: see `Samples.expect`.
            LlmcheckError: see `Samples.expect`.
        """
        __tracebackhide__ = True
        rule = rule_before_asking(self.free, checks, rate, confidence, method, without)
        free, held = (Tally.of(samples, checks, without) for samples in (self.free, self.constrained))
        verdict = rule.judge(free)
        n, passed = len(held.replies), held.counts.passed
        difference = passed / n - free.counts.passed / len(free.replies)
        low, high = newcombe(passed, n, free.counts.passed, len(free.replies), confidence)
        told = (
            f"under the constraint {passed} of {n} passed ({100 * passed / n:.1f} %), which is "
            f"{100 * difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f} at "
            f"{100 * confidence:.10g} % confidence, Newcombe)"
        )
        found = {
            **verdict.evidence,
            "constrained": evidence(held),
            "difference": {"of_rates": difference, "low": low, "high": high},
        }
        # A reason why a test is skipped is one line; a failure has room for two.
        between = "\n" if verdict.status is Status.FAILED else "; "
        reason = f"{verdict.reason}{between}{told}"
        free.conclude(replace(verdict, check=f"{verdict.check}, free", reason=reason, evidence=found))
        return self

    def __repr__(self) -> str:
        return f"<constrained: {self.constrained!r}, free: {self.free!r}>"
