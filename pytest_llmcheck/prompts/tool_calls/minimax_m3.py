"""MiniMax M3: arguments as nested tags, each after a token of its own; lists have ``<item>`` tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.call import Found, ToolCall
from pytest_llmcheck.prompts.tool_calls.literals import LiteralError
from pytest_llmcheck.prompts.tool_calls.reading import DEEPEST, broken, place_of_next, skip_space
from pytest_llmcheck.prompts.tool_calls.typed import part_of, typed, types_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_MARK = "]<]minimax[>["
_BEGINS = f"{_MARK}<invoke name="
_INVOKE = re.compile(re.escape(_BEGINS) + r'"([^"\n]{1,200})">')
_END = f"{_MARK}</invoke>"
_TAG = re.compile(re.escape(_MARK) + r"<([^<>/\s]{1,200})>")
_CLOSING = re.compile(re.escape(_MARK) + r"</([^<>/\s]{1,200})>")


@dataclass(frozen=True)
class MinimaxM3Calls:
    """See the module."""

    name: str = "minimax-m3"
    example: str = f'{_MARK}<invoke name="...">{_MARK}<key>value{_MARK}</key>{_MARK}</invoke>'

    def recognises(self, template: str) -> bool:
        """Whether the template has the token before its tags."""
        return _MARK in template and "<invoke name=" in template

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        reader = _Reader(text)
        start = text.find(_BEGINS)
        while start >= 0:
            name = ""
            try:
                opening = _INVOKE.match(text, start)
                if opening is None:
                    raise LiteralError(f"expected {self.example}", start + len(_BEGINS))
                name = opening[1]
                schema = tools.get(name, {})
                arguments, at = reader.tags(opening.end(), schema, schema, 0)
                if not text.startswith(_END, at):
                    raise LiteralError("expected an argument, or the end of the call", at)
                end = at + len(_END)
                yield ToolCall(name, dict(arguments), "", text[start:end], start, end)
            except LiteralError as error:
                end = place_of_next(text, _BEGINS, max(start + len(_BEGINS), error.position))
                yield broken(str(error), name, text, start, end, error.position)
            start = text.find(_BEGINS, end)


class _Reader:
    """Reads tags of one text. It knows where closing tags stand last, so that none is looked for in vain."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._last = {tag[1]: tag.start() for tag in _CLOSING.finditer(text)}

    def tags(
        self, at: int, schema: object, root: Mapping[str, Any], level: int
    ) -> tuple[list[tuple[str, Any]], int]:
        """The tags from a place on, one after the other, and where they end."""
        found: list[tuple[str, Any]] = []
        seen: set[str] = set()
        at = skip_space(self.text, at)
        while tag := _TAG.match(self.text, at):
            key = tag[1]
            if key in seen:
                raise LiteralError(f"the argument {key!r} occurs twice", at)
            seen |= {key} - {"item"}
            value, at = self._value(tag.end(), key, part_of(schema, key, root), root, level)
            found.append((key, value))
            at = skip_space(self.text, at)
        return found, at

    def _value(
        self, at: int, key: str, schema: object, root: Mapping[str, Any], level: int
    ) -> tuple[Any, int]:
        """The value within a tag, and where the tag that closes it ends."""
        if level > DEEPEST // 2:
            raise LiteralError(f"nested more than {DEEPEST // 2} levels deep", at)
        closing = f"{_MARK}</{key}>"
        types = types_of(schema, root)
        if "string" not in types and _TAG.match(self.text, at):
            found, end = self.tags(at, schema, root, level + 1)
            if not self.text.startswith(closing, end):
                raise LiteralError(f"expected {closing} here", end)
            listed = all(inner == "item" for inner, _ in found) and ("array" in types or not types)
            value = [item for _, item in found] if listed else dict(found)
            return value, end + len(closing)
        if self._last.get(key, -1) < at:
            raise LiteralError(f"the argument {key!r} has no end", at)
        end = self.text.find(closing, at)
        written = self.text[at:end]
        empty: dict[str, Any] = {"array": [], "object": {}, "null": None}
        if not written and "string" not in types and (kind := next((k for k in empty if k in types), None)):
            return empty[kind], end + len(closing)
        return typed(written, schema, root), end + len(closing)
