"""From what an engine gives back to what a reply says: the thought apart from the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_llmcheck.prompts.thinking import markers_of, split

if TYPE_CHECKING:
    from pytest_llmcheck.engines.types import Completion, FinishReason, Request


class Heard(NamedTuple):
    """What a completion says; see `Reply` for the meaning of each."""

    thinking: str | None
    answer: str
    finish_reason: FinishReason


def heard(completion: Completion, request: Request, template: str) -> Heard:
    """Take a completion apart.

    Args:
        completion: what the engine gave back.
        request: what it was asked; its prompt may have opened the thought.
        template: the source of the chat template, which has the markers.
    """
    markers = markers_of(template)
    constraint = request.constraint
    # A marker in JSON stands inside of one of its texts.
    if markers is None or (constraint is not None and constraint.kind == "schema"):
        return Heard(None, completion.text, completion.finish_reason)
    thinking, answer, closed = split(
        completion.marked or completion.text,
        markers,
        request.prompt,
        controls=completion.controls,
        # A grammar holds for the whole text: where it has no closing marker, it leaves no room for a thought.
        begun=constraint is None,
    )
    stopped = completion.finish_reason == "stop" and not closed
    return Heard(thinking, answer, "thought" if stopped else completion.finish_reason)
