"""Which format of tool calls a chat template has."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.errors import ConfigError, PromptError
from pytest_llmcheck.prompts.tool_calls.call import ToolCall
from pytest_llmcheck.prompts.tool_calls.catalogue import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_llmcheck.prompts.template import ChatTemplate
    from pytest_llmcheck.prompts.tool_calls.call import ToolFormat

_NAME = "look_up_q7"
_ARGUMENTS = {"place": "Oslo q7", "days": 7}
_SCHEMA = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "description": "Where"},
        "days": {"type": "integer", "description": "How many"},
    },
    "required": ["place", "days"],
}
_TOOL = {
    "type": "function",
    "function": {"name": _NAME, "description": "Looks it up.", "parameters": _SCHEMA},
}
_ASKED = [{"role": "user", "content": "Tell me."}]
_UNFINISHED = re.compile(r"[<\[][^<>\[\]\s]*\Z")
_TURN_END = re.compile(r"(?:<[^<>\s]{1,40}>|\s)*\Z")


class ToolFormats:
    """The formats of the templates of a run, each looked up once.

    Args:
        given: what plugins returned from the hook: lists of formats, which are asked first and taken at their
            word.

    Raises:
        ConfigError: a plugin returned something else.
    """

    def __init__(self, given: Sequence[object] = ()) -> None:
        self._added = tuple(known for one in given for known in _formats(one))
        self._found: dict[str, ToolFormat | None] = {}

    def of(self, template: ChatTemplate) -> ToolFormat | None:
        """The format of a template; None where it is not known."""
        key = template.sha256
        if key not in self._found:
            added = (known for known in self._added if known.recognises(template.source))
            self._found[key] = next(added, None) or recognise(template)
        return self._found[key]


def recognise(template: ChatTemplate) -> ToolFormat | None:
    """The format in which a template has its model write calls; None where none is sure.

    First, the source has to contain the format's markers. Second, the template is asked to render a call
    that is made up here, and the format has to read just that call out of it. A template that renders no
    calls (some drop them, some refuse them) is judged by its source alone. Costs a few renderings, some
    milliseconds.

    Args:
        template: the chat template that the tools go to.
    """
    candidates = [known for known in FORMATS if known.recognises(template.source)]
    if not candidates:
        return None
    shown = list(_renderings(template))
    if not shown:
        return candidates[0]
    return next((known for known in candidates if any(_reads(known, text) for text in shown)), None)


def _formats(given: object) -> tuple[ToolFormat, ...]:
    """What one plugin returned, if it is formats."""
    for known in given if isinstance(given, list | tuple) else (given,):
        texts = all(isinstance(getattr(known, part, None), str) for part in ("name", "example"))
        methods = all(callable(getattr(known, part, None)) for part in ("recognises", "parse"))
        if not isinstance(given, list | tuple) or not texts or not methods or isinstance(known, type):
            raise ConfigError(
                f"pytest_llmcheck_tool_formats returned {known!r}: it must return a list of formats, objects "
                "with name, example, recognises(template) and parse(text, tools)"
            )
    return tuple(given) if isinstance(given, list | tuple) else ()


def _reads(known: ToolFormat, text: str) -> bool:
    found = list(known.parse(text, {_NAME: _SCHEMA}))
    return [(call.name, call.arguments) if isinstance(call, ToolCall) else None for call in found] == [
        (_NAME, _ARGUMENTS)
    ]


def _renderings(template: ChatTemplate) -> Iterator[str]:
    """What the template prints of a made-up call, in the ways in which templates take one."""
    try:
        before = template.render(_ASKED, tools=[_TOOL])
    except PromptError:
        return
    for arguments in (_ARGUMENTS, json.dumps(_ARGUMENTS)):
        for content in ("", None):
            call = {
                "id": "callq7Zk1",  # Mistral's templates want 9 letters and digits
                "type": "function",
                "function": {"name": _NAME, "arguments": arguments},
            }
            said: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": [call]}
            try:
                text = template.render([*_ASKED, said], tools=[_TOOL], add_generation_prompt=False)
            except PromptError:
                continue
            shared = text[: _shared(before, text)]
            # A token of the generation prompt may begin as that of the call does.
            written = text[len(_UNFINISHED.sub("", shared)) :]
            if _NAME in written:
                # As a reply has it: the prompt before it, and no end of the turn after it.
                yield _TURN_END.sub("", written, count=1) if written.lstrip()[:1] == "{" else written
                return


def _shared(one: str, other: str) -> int:
    """How many characters at the beginnings are the same."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)
