"""From what an engine gives back to what a reply says: thought, answer, and calls of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.prompts.thinking import markers_of, segments, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.engines.types import Completion, FinishReason, Request
    from pytest_llmcheck.prompts import ChatTemplate
    from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, ToolFormat


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


def calls_in(
    completion: Completion,
    request: Request,
    template: ChatTemplate,
    form: ToolFormat,
    tools: Sequence[Mapping[str, Any]],
) -> tuple[tuple[ToolCall, ...], tuple[BrokenCall, ...]]:
    """The calls in a completion, and what begins like one and is none.

    What the model thinks of calling is no call: it is looked for after the thought.

    Args:
        completion: what the engine gave back.
        request: what it was asked.
        template: the chat template that the tools were given to.
        form: its format of calls.
        tools: the definitions.
    """
    import msgspec

    from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, schemas_of

    written = completion.marked or completion.text
    start = _answer_starts(written, request, template.source)
    if start is None:
        return (), ()
    # A reply that a schema made JSON is a call as a whole, or none: markers in it stand inside of its texts.
    whole = request.constraint is not None and request.constraint.kind == "schema"
    # The token that ends a reply may be the one that ends its call.
    end = completion.end.text if completion.end is not None else ""
    found = []
    for call in form.parse(written[start:] + end, schemas_of(tools)):
        if whole and written[: call.start].strip():
            continue
        begin, stop = start + call.start, min(start + call.end, len(written))
        place = {"text": written[begin:stop], "start": begin, "end": stop}
        if isinstance(call, BrokenCall):
            place["position"] = min(start + call.position, len(written))
        found.append(msgspec.structs.replace(call, **place))
    return (
        tuple(call for call in found if isinstance(call, ToolCall)),
        tuple(call for call in found if isinstance(call, BrokenCall)),
    )


def _answer_starts(written: str, request: Request, template: str) -> int | None:
    """Where the thought has ended; None where it has not."""
    markers = markers_of(template)
    constraint = request.constraint
    if markers is None or (constraint is not None and constraint.kind == "schema"):
        return 0
    parts = segments(written, markers, request.prompt, begun=constraint is None)
    return next((part.start for part in parts if part.kind == "answer"), None)
