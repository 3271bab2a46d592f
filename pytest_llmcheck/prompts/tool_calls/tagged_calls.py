"""Calls whose arguments stand in tags: Qwen3-Coder, GLM, MiniMax, DeepSeek's DSML, Kimi K3, ..."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.call import Found, ToolCall
from pytest_llmcheck.prompts.tool_calls.reading import Marked, broken, read_json, skip_space
from pytest_llmcheck.prompts.tool_calls.typed import value_of
from pytest_llmcheck.strict_json import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_QUOTED = r'"(?P<{}>[^"\n]{{1,200}})"'
NAMED, KEYED = _QUOTED.format("name"), _QUOTED.format("key")
"""The name of a tool, and of an argument, as attributes of tags have them."""

_TEXT, _JSON = ("true", "string"), ("false", "number", "boolean", "object", "array", "null")
"""What a tag says of its value, in the formats that do."""

_CDATA = ("<![CDATA[", "]]>")


class _BrokenError(Exception):
    """What was read is no call."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


@dataclass(frozen=True, kw_only=True)
class TaggedCalls(Marked):
    """A format of which each argument has a tag.

    Attributes, beside those of `Marked`:
        begins: a regular expression of what only a call begins with; ``opening`` matches there.
        opening: one of the tag that opens a call, with the group ``name``.
        argument: one of the tag that opens an argument, with the group ``key``, and ``kind`` where the tag
            says what the value is.
        value_end: one of the tag that closes an argument.
        closing: one of the tag that closes a call.
        after: one of what may stand after it and belongs to it.
    """

    begins: str
    opening: str
    argument: str
    value_end: str
    closing: str
    after: str = ""

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        # Past the last closing tag of an argument, none is looked for: a hostile text has many beginnings.
        last = max((found.end() for found in self._value_end.finditer(text)), default=0)
        at = 0
        while begins := self._begins.search(text, at):
            start, name = begins.start(), ""
            try:
                opening = self._opening.match(text, start)
                if opening is None:
                    raise _BrokenError(f"expected {self.example}", begins.end())
                name = opening["name"].strip()
                arguments, at = self._arguments(text, opening.end(), last, tools.get(name, {}))
            except _BrokenError as error:
                following = self._begins.search(text, max(begins.end(), error.position))
                at = len(text) if following is None else following.start()
                yield broken(str(error), name, text, start, at, error.position)
            else:
                yield ToolCall(name, arguments, "", text[start:at], start, at)

    def _arguments(
        self, text: str, at: int, last: int, schema: Mapping[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """The arguments of a call, and where it ends."""
        arguments: dict[str, Any] = {}
        while True:
            at = skip_space(text, at)
            if closing := self._closing.match(text, at):
                return arguments, closing.end()
            argument = self._argument.match(text, at)
            if argument is None:
                raise _BrokenError("expected an argument, or the end of the call", at)
            key = argument["key"].strip()
            if key in arguments:
                raise _BrokenError(f"the argument {key!r} occurs twice", at)
            begun = argument.end()
            # What stands in a CDATA section may look like the end of the argument.
            quoted = text.find(_CDATA[1], begun, last) if text.startswith(_CDATA[0], begun) else begun
            end = self._value_end.search(text, max(begun, quoted)) if begun < last else None
            if end is None:
                raise _BrokenError(f"the argument {key!r} has no end", at)
            written = text[begun : end.start()]
            kind = argument.groupdict().get("kind")
            arguments[key] = self._value(written, key, kind, schema, begun)
            at = end.end()

    def _value(self, written: str, key: str, kind: str | None, schema: Mapping[str, Any], at: int) -> Any:
        if kind in _TEXT:
            return written
        if kind in _JSON:
            try:
                read = read_json(written, 0)
                if skip_space(written, read.end) < len(written):
                    raise NotJSONError("more text after the JSON value", read.end)
            except NotJSONError as error:
                raise _BrokenError(f"the argument {key!r}: {error}", at + error.position) from None
            return read.value
        if written.startswith(_CDATA[0]) and written.endswith(_CDATA[1]):
            written = written[len(_CDATA[0]) : -len(_CDATA[1])]
        return value_of(written, key, schema)

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        return re.compile(self.begins)

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return re.compile(self.opening)

    @cached_property
    def _argument(self) -> re.Pattern[str]:
        return re.compile(self.argument)

    @cached_property
    def _value_end(self) -> re.Pattern[str]:
        return re.compile(self.value_end)

    @cached_property
    def _closing(self) -> re.Pattern[str]:
        return re.compile(self.closing + (f"(?:{self.after})?" if self.after else ""))
