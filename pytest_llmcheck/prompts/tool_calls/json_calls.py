"""Calls that are JSON objects between markers, alone or in a list: Hermes, Qwen, Granite, Command-R, ..."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.reading import (
    Keys,
    Marked,
    broken,
    call_of,
    framed,
    read_json,
    skip_space,
)
from pytest_llmcheck.strict_json import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pytest_llmcheck.prompts.tool_calls.call import Found

_KEYS = Keys()


@dataclass(frozen=True, kw_only=True)
class JsonCalls(Marked):
    """A format of which each call is a JSON object, after an opening marker.

    Attributes, beside those of `Marked`:
        opening: the marker.
        closing: what stands after the objects; empty where nothing does.
        keys: of the parts of a call; None for objects of one key, the name.
        begun: how many characters at the end of the marker are the beginning of the JSON already.
        others: names that are no tools, such as that for "no tool, I answer".
    """

    opening: str
    closing: str = ""
    keys: Keys | None = _KEYS
    begun: int = 0
    others: frozenset[str] = frozenset()

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        at = text.find(self.opening)
        while at >= 0:
            found, end = self.section(text, at, at + len(self.opening) - self.begun)
            yield from (call for call in found if call.name not in self.others)
            at = text.find(self.opening, end)

    def section(self, text: str, start: int, at: int) -> tuple[list[Found], int]:
        """The calls of one section, and where it ends.

        Args:
            text: of the reply.
            start: where the opening marker begins.
            at: where it ends.
        """
        found: list[Found] = []
        try:
            end = self._read(text, start, at, found)
        except NotJSONError as error:
            # What is no call goes on from the last one that was.
            begun = found[-1].end if found else start
            end = self._end(text, max(begun, start + len(self.opening), error.position))
            found.append(broken(str(error), named(text[begun:end]), text, begun, end, error.position))
        return found, end

    def _read(self, text: str, start: int, at: int, found: list[Found]) -> int:
        """Add what a section holds; returns where it ends."""
        while True:
            at = skip_space(text, at)
            if text.startswith("[", at):
                at = self._list(text, start, at, found)
                call = None
            else:
                read = read_json(text, at)
                call, at = call_of(read, self.keys, text), read.end
            after = skip_space(text, at)
            closed = bool(self.closing) and text.startswith(self.closing, after)
            end = after + len(self.closing) if closed else at
            if self.closing and not closed and (call is None or not text.startswith("{", after)):
                raise NotJSONError(f"expected {self.closing} here", after)
            if call is not None:
                found.append(framed(call, text, start, end))
            if closed or not self.closing:
                return end
            start = at

    def _list(self, text: str, start: int, at: int, found: list[Found]) -> int:
        """Add the calls of a list that begins at a place; returns where it ends."""
        at = skip_space(text, at + 1)
        while not text.startswith("]", at):
            read = read_json(text, at)
            at = skip_space(text, read.end)
            if text[at : at + 1] not in (",", "]"):
                raise NotJSONError("expected ',' or ']' after a call of the list", at)
            found.append(framed(call_of(read, self.keys, text), text, start, read.end))
            if text[at] == ",":
                start = at = at + 1
        return at + 1

    def _end(self, text: str, at: int) -> int:
        """Where what is no call ends: with its section, or where the next begins."""
        border = self._border.search(text, at)
        if border is None:
            return len(text)
        return border.end() if border[0] == self.closing else border.start()

    @cached_property
    def _border(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(mark) for mark in (self.closing, self.opening) if mark))


_NAMED = re.compile(r'"(?:tool_)?name"\s*:\s*"([^"\\]{1,200})"')


def named(written: str) -> str:
    """The name in what may have become a call; empty where there is none."""
    found = _NAMED.search(written[:1000])
    return "" if found is None else found[1]
