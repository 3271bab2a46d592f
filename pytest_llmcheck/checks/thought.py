"""Checks on what a reasoning model thought before its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.combine import checked, lowest, told, worst
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
        judged = Thought(thinking, "stop" if reply.text else reply.finish_reason)
        verdicts = [check(judged) for check in self.checks]
        status = worst(verdicts)
        if status is Status.PASSED:
            return Verdict(status, repr(self), "all checks hold of the thought", lowest(verdicts))
        return Verdict(status, repr(self), told(verdicts, status), lowest(verdicts), {"thinking": thinking})


def thought(*checks: Check) -> Check:
    """The checks hold of `Reply.thinking`, which no other check looks at.

    Not applicable to a reply without a thought.

    Args:
        checks: such as ``contains("refund")``; what they say of a reply's text is asked of the thought.

    Raises:
        TypeError: something is no check.
        ValueError: no check is given: nothing would be judged.
    """
    __tracebackhide__ = True
    return OfThought(checked("thought", checks))
