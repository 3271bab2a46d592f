"""Mistral: ``[TOOL_CALLS]`` before a list of objects, or before each name with ``[ARGS]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.headed_calls import NAME, HeadedCalls
from pytest_llmcheck.prompts.tool_calls.json_calls import JsonCalls
from pytest_llmcheck.prompts.tool_calls.reading import Marked, skip_space

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pytest_llmcheck.prompts.tool_calls.call import Found

_MARK = "[TOOL_CALLS]"
_LIST = JsonCalls(name="", example="", needs=(), opening=_MARK)
_NAMED = HeadedCalls(
    name="",
    example="[TOOL_CALLS]name[ARGS]{...}",
    needs=(),
    begins=r"\[TOOL_CALLS\]",
    header=rf"\[TOOL_CALLS\]\s{{0,4}}{NAME}(?:\[CALL_ID\](?P<id>[^\[\]]{{0,64}}))?\[ARGS\]",
)


@dataclass(frozen=True, kw_only=True)
class MistralCalls(Marked):
    """One of Mistral's two formats: the list of older models, or the names of newer ones.

    Models of either kind have been seen to write the other, so both are read.
    """

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        start = text.find(_MARK)
        while start >= 0:
            at = skip_space(text, start + len(_MARK))
            if text[at : at + 1] in ("[", "{"):
                found, end = _LIST.section(text, start, at)
            else:
                found = [_NAMED.read(text, start, start + len(_MARK))]
                end = found[0].end
            yield from found
            start = text.find(_MARK, end)
