"""Whether a reply is whole. These checks run on every reply; see `pytest_llmcheck.checks.HEALTH`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.places import odds
from pytest_llmcheck.engines.reply import shorten
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check, Judged

_CUT = {
    "length": (
        "it was cut at max_tokens",
        "raise max_tokens (in the call, the llm mark or [tool.llmcheck]), or ask for a shorter reply",
    ),
    "context": (
        "the context was full",
        "raise n_ctx (in the llm mark or [tool.llmcheck.models.NAME]), or shorten the prompt",
    ),
    "thought": (
        "it ended inside the thought, without an answer",
        "look at reply.thinking; ask for less thinking, or switch it off if the chat template can "
        "(enable_thinking=False)",
    ),
}


@dataclass(frozen=True, slots=True)
class Finished:
    """See `finished`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "finished"

    def __repr__(self) -> str:
        return "finished()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by the finish reason alone."""
        if (cut := cut_off(reply)) is None:
            return Verdict(Status.PASSED, repr(self), "the model ended its reply", score=1.0)
        reason = f"expected the model to end its reply, but {cut}"
        return Verdict(
            Status.FAILED, repr(self), reason, score=0.0, evidence={"finish_reason": reply.finish_reason}
        )


def finished() -> Check:
    """The model ended the reply by itself, with an answer: not cut at ``max_tokens``, nor by a full context.

    A reasoning model that ended its reply inside its thought has given no answer, and fails too.

    It runs on every reply; ``reply.expect(..., without=["finished"])`` accepts a reply that was cut.
    """
    return Finished()


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """See `not_empty`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "not_empty"

    def __repr__(self) -> str:
        return "not_empty()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by whether anything stands there that can be seen."""
        thinking = getattr(reply, "thinking", None)
        # That a thought was cut off before the answer is what `finished` says.
        if reply.text.strip() or (thinking is not None and reply.finish_reason != "stop"):
            return Verdict(Status.PASSED, repr(self), "the reply says something", score=1.0)
        # Calls that cannot be read are no empty reply either; `sound_calls` judges them.
        if getattr(reply, "tool_calls", ()) or getattr(reply, "broken_calls", ()):
            return Verdict(Status.PASSED, repr(self), "the reply is tool calls", score=1.0)
        got = f"only white space ({shorten(reply.text, 40)})" if reply.text else "an empty reply"
        after = "" if thinking is None else " after its thought"
        lines = [f"expected the reply to say something; got {got}{after}"]
        end = getattr(reply, "end", None)
        if end is not None:
            lines.append(f"the model ended it with {odds(end)}")
        lines.append("a wrong chat template does this: look at reply.prompt.text and run llmcheck inspect")
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), score=0.0)


def not_empty() -> Check:
    """The reply says something: its text is more than white space, or it is tool calls.

    It runs on every reply; ``reply.expect(..., without=["not_empty"])`` leaves it out.
    """
    return NotEmpty()


def cut_off(reply: Judged) -> str | None:
    """How a reply was cut off and which bound to raise; None for one that ended by itself."""
    if reply.finish_reason == "stop":
        return None
    unknown = (f"it ended with {reply.finish_reason!r}", "look into the engine's log")
    what, remedy = _CUT.get(reply.finish_reason, unknown)
    if reply.finish_reason != "thought" and not reply.text and getattr(reply, "thinking", None) is not None:
        what = f"{what} before its thinking came to an answer"
    return f"{what}: {remedy}"
