"""Calls of a header with the name, and a JSON object of arguments: Mistral, DeepSeek, Kimi, gpt-oss, ..."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.call import Found, ToolCall
from pytest_llmcheck.prompts.tool_calls.reading import Marked, broken, read_json, skip_space
from pytest_llmcheck.strict_json import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

NAME = r"(?P<name>[^\s<>\[\]{}()\"'|`]{1,200})"
"""What a tool may be called: bounded, so that a header is read in constant time."""


@dataclass(frozen=True, kw_only=True)
class HeadedCalls(Marked):
    """A format of which each call is a header and a JSON object.

    Attributes, beside those of `Marked`:
        begins: a regular expression of what begins a header.
        header: one of the whole header, with the groups ``name`` and perhaps ``id``.
        closing: what stands after the arguments, white space before it aside; any of them. Empty where
            nothing does.
        others: names that are no tools, such as the recipient of an answer.
    """

    begins: str
    header: str
    closing: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        at = 0
        while begins := self._begins.search(text, at):
            header = self._header.match(text, begins.start())
            if header is not None and header["name"] in self.others:
                at = header.end()
                continue
            found = self.read(text, begins.start(), begins.end())
            yield found
            at = found.end

    def read(self, text: str, start: int, begun: int) -> Found:
        """The call whose header begins at `start`; what only a header begins with ends at `begun`."""
        header = self._header.match(text, start)
        if header is not None:
            return self._call(text, start, header)
        end = self._end(text, begun)
        return broken(f"expected {self.example}", "", text, start, end, begun)

    def _call(self, text: str, start: int, header: re.Match[str]) -> Found:
        """The call of which a header has been read."""
        name = header["name"]
        number = header.groupdict().get("id") or ""
        try:
            read = read_json(text, header.end())
            if not isinstance(read.value, dict):
                raise NotJSONError("its arguments are no object", read.start)
            end = self._close(text, read.end)
        except NotJSONError as error:
            end = self._end(text, max(error.position, header.end()))
            return broken(str(error), name, text, start, end, error.position)
        return ToolCall(name, read.value, number, text[start:end], start, end)

    def _close(self, text: str, at: int) -> int:
        """The end of a call whose arguments end at a place."""
        if not self.closing:
            return at
        after = skip_space(text, at)
        for closing in self.closing:
            if text.startswith(closing, after):
                return after + len(closing)
        raise NotJSONError(f"expected {self.closing[0]!r} here", after)

    def _end(self, text: str, at: int) -> int:
        """Where what is no call ends: where the next begins."""
        following = self._begins.search(text, at)
        return len(text) if following is None else following.start()

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        return re.compile(self.begins)

    @cached_property
    def _header(self) -> re.Pattern[str]:
        return re.compile(self.header)
