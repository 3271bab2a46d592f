"""All calls of tools in a reply are such as a program could carry out. It runs on every reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check, Judged


@dataclass(frozen=True, slots=True)
class SoundCalls:
    """See `sound_calls`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "tool_calls"

    def __repr__(self) -> str:
        return "sound_calls()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge every call; the score is the share of them that is sound."""
        made, broken = getattr(reply, "tool_calls", ()), getattr(reply, "broken_calls", ())
        if not made and not broken:
            return Verdict(Status.PASSED, repr(self), "it calls no tool", score=1.0)
        # Only a reply with calls pays for it.
        from pytest_llmcheck.checks.tool_troubles import lines_of, plain, troubles

        found = troubles(reply)
        count = len(made) + len(broken)
        if not found:
            calls = "the call is" if count == 1 else f"the {count} calls are"
            return Verdict(Status.PASSED, repr(self), f"{calls} sound", score=1.0)
        lines = lines_of(reply, found)
        if found[-1].level == "unreadable" and reply.finish_reason != "stop":
            lines.insert(0, "it was cut off amid a call")  # `finished` says what to do about it
        score = 1 - len({id(trouble.call) for trouble in found}) / count
        evidence = {
            "level": found[0].level,
            "problems": [trouble.problem for trouble in found],
            "calls": plain(made),
        }
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), score, evidence)


def sound_calls() -> Check:
    """Every call of a tool can be read, names a tool of the request, and has arguments that are right.

    That is: they are valid under the JSON Schema of the tool, as the request gave it, and none is beside
    those that a plain list of ``properties`` has. A reply without calls is sound.

    It runs on every reply; ``reply.expect(..., without=["tool_calls"])`` leaves it out.
    """
    return SoundCalls()
