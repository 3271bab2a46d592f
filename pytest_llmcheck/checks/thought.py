"""Checks on what a reasoning model thought before its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check, Judged


@dataclass(frozen=True, slots=True)
class Thought:
    """The thought of a reply, to be judged as a reply is.

    Attributes:
        text: the thought, without its markers.
        finish_reason: ``stop`` for one that was closed, else the reply's.
    """

    text: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class OfThought:
    """See `thought`."""

    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """The function's name."""
        return "thought"

    def __repr__(self) -> str:
        return f"thought({', '.join(map(repr, self.checks))})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the thought; the worst verdict counts."""
        thinking: str | None = getattr(reply, "thinking", None)
        if thinking is None:
            reason = "the reply has no thought: the model did not think, or its chat template has no markers"
            return Verdict(Status.NOT_APPLICABLE, repr(self), reason)
        # Only a thought that was not closed leaves no answer.
        told = Thought(thinking, "stop" if reply.text else reply.finish_reason)
        verdicts = [check(told) for check in self.checks]
        for status in (Status.FAILED, Status.INCONCLUSIVE, Status.NOT_APPLICABLE):
            if worst := [verdict for verdict in verdicts if verdict.status is status]:
                reason = "\n".join(f"{verdict.check}: {verdict.reason}" for verdict in worst)
                return Verdict(status, repr(self), reason, _score(verdicts), {"thinking": thinking})
        return Verdict(Status.PASSED, repr(self), "all checks hold of the thought", _score(verdicts))


def thought(*checks: Check) -> Check:
    """The checks hold of `Reply.thinking`, which no other check looks at.

    Not applicable to a reply without a thought.

    Args:
        checks: such as ``contains("refund")``; what they say of a reply's text is asked of the thought.

    Raises:
        ValueError: no check is given: nothing would be judged.
    """
    __tracebackhide__ = True
    if not checks:
        raise ValueError("thought() judges nothing; give checks, such as thought(contains('refund'))")
    return OfThought(checks)


def _score(verdicts: list[Verdict]) -> float | None:
    """The lowest; None where any check gives none."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return min(scores) if len(scores) == len(verdicts) else None
