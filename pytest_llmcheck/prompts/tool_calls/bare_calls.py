"""Calls without markers, or in the manner of Python: Llama 3, LFM2, Gemma 4."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.call import Found, ToolCall
from pytest_llmcheck.prompts.tool_calls.json_calls import named
from pytest_llmcheck.prompts.tool_calls.literals import GEMMA, PYTHON, LiteralError, read_literal
from pytest_llmcheck.prompts.tool_calls.reading import (
    Keys,
    broken,
    call_of,
    framed,
    place_of_next,
    read_json,
    skip_space,
)
from pytest_llmcheck.strict_json import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_NAME = re.compile(r"[A-Za-z_][\w.-]{0,200}")
_OBJECT = re.compile(r'\{\s*"(?:type|name)"\s*:')
_END = re.compile(r"\s*(?:<[^<>\s]{1,40}>\s*)?\Z")
"""The token that ended the reply, and the white space around it."""
_BETWEEN = re.compile(r"\s*;?\s*")
_BUILTIN = re.compile(r"(?P<name>[A-Za-z_]\w{0,100})\.call(?=\()")
_KEYS = Keys(arguments="parameters")
_INTERPRETERS = ("python", "ipython", "code_interpreter")


@dataclass(frozen=True)
class LlamaCalls:
    """Llama 3.1 to 3.3: the whole reply is the call, as its model card and template have it.

    An object counts as a call where it has ``parameters`` beside its ``name``; other JSON is an answer.
    After ``<|python_tag|>`` comes such an object, a builtin tool ``name.call(key="value")``, or code for the
    tool ``python``, ``ipython`` or ``code_interpreter``, if one was given. Several objects may be separated
    by ``;``.
    """

    name: str = "llama3"
    example: str = '{"name": "...", "parameters": {...}}'

    def recognises(self, template: str) -> bool:
        """Whether the template writes such objects."""
        return '{"name": "' in template and '"parameters": ' in template

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        tag = "<|python_tag|>"
        tagged = text.find(tag)
        start = skip_space(text, 0) if tagged < 0 else tagged
        at = start if tagged < 0 else skip_space(text, tagged + len(tag))
        if tagged >= 0 and not text.startswith("{", at):
            yield self._tagged(text, start, at, tools)
            return
        while _OBJECT.match(text, at) or tagged >= 0:
            try:
                read = read_json(text, at)
            except NotJSONError as error:
                name = named(text[at:])
                if tagged >= 0 or '"parameters"' in text or name in tools:
                    yield broken(str(error), name, text, start, len(text), error.position)
                return
            if tagged < 0 and not (isinstance(read.value, dict) and "parameters" in read.value):
                if isinstance(read.value, dict) and read.value.get("name") in tools:
                    yield framed(call_of(read, _KEYS, text), text, start, read.end)
                return
            end = _BETWEEN.match(text, read.end)
            following = read.end if end is None else end.end()
            if not _END.match(text, read.end) and not _OBJECT.match(text, following):
                problem = "more text after the call"
                yield broken(problem, named(text[at:]), text, start, len(text), following)
                return
            yield framed(call_of(read, _KEYS, text), text, start, read.end)
            if not _OBJECT.match(text, following):
                return
            start = at = following

    def _tagged(self, text: str, start: int, at: int, tools: Mapping[str, Mapping[str, Any]]) -> Found:
        """What stands after the tag and is no object."""
        end = len(text)
        if found := _END.search(text, max(at, end - 40)):
            end = max(at, found.start())
        if builtin := _BUILTIN.match(text, at):
            name = builtin["name"]
            try:
                arguments, after = read_arguments(text, builtin.end())
                if not _END.match(text, after):
                    raise LiteralError("more text after the call", after)
            except LiteralError as error:
                return broken(str(error), name, text, start, end, error.position)
            return ToolCall(name, arguments, "", text[start:after], start, after)
        interpreter = next((name for name in _INTERPRETERS if name in tools), None)
        if interpreter is None:
            problem = "after <|python_tag|> comes neither an object nor a builtin tool, and no tool runs code"
            return broken(problem, "", text, start, end, at)
        return ToolCall(interpreter, {"code": text[at:end]}, "", text[start:end], start, end)


@dataclass(frozen=True)
class PythonCalls:
    """LFM2: a list of calls as Python has them, keyword arguments only, between two control tokens."""

    name: str = "lfm2"
    example: str = '<|tool_call_start|>[name(key="value")]<|tool_call_end|>'
    opening: str = "<|tool_call_start|>"
    closing: str = "<|tool_call_end|>"

    def recognises(self, template: str) -> bool:
        """Whether the template lists tools as those of LFM2 do, or writes its calls."""
        return any(text in template for text in (self.opening, "<|tool_list_start|>", "List of tools: ["))

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        start = text.find(self.opening)
        while start >= 0:
            at = skip_space(text, start + len(self.opening))
            begun, name = start, ""
            try:
                if not text.startswith("[", at):
                    raise LiteralError("expected '['", at)
                while True:
                    at = skip_space(text, at + 1)
                    found = _NAME.match(text, at)
                    if found is None:
                        raise LiteralError("expected the name of a tool", at)
                    name = found[0]
                    arguments, at = read_arguments(text, found.end())
                    at = skip_space(text, at)
                    last = text.startswith("]", at)
                    if not last and not text.startswith(",", at):
                        raise LiteralError("expected ',' or ']' after a call", at)
                    end = at + 1
                    if last:
                        end = skip_space(text, end)
                        if not text.startswith(self.closing, end):
                            raise LiteralError(f"expected {self.closing} here", end)
                        end += len(self.closing)
                    yield ToolCall(name, arguments, "", text[begun:end], begun, end)
                    begun, name = end, ""
                    if last:
                        break
            except LiteralError as error:
                end = place_of_next(text, self.opening, max(start + len(self.opening), error.position))
                yield broken(str(error), name, text, begun, end, error.position)
            start = text.find(self.opening, end)


@dataclass(frozen=True)
class GemmaCalls:
    """Gemma 4: ``call:name{key:value}`` between two control tokens, texts between ``<|"|>``."""

    name: str = "gemma4"
    example: str = '<|tool_call>call:name{key:<|"|>value<|"|>}<tool_call|>'
    opening: str = "<|tool_call>"
    closing: str = "<tool_call|>"

    def recognises(self, template: str) -> bool:
        """Whether the template writes such calls."""
        return "<|tool_call>call:" in template

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[Found]:
        """See `ToolFormat`."""
        start = text.find(self.opening)
        while start >= 0:
            at, name = start + len(self.opening), ""
            try:
                if not text.startswith("call:", at):
                    raise LiteralError("expected 'call:' and the name of a tool", at)
                found = _NAME.match(text, at + 5)
                if found is None or not text.startswith("{", found.end()):
                    raise LiteralError("expected the name of a tool, and '{'", at + 5)
                name = found[0]
                read = read_literal(text, found.end(), GEMMA)
                end = skip_space(text, read.end)
                if not text.startswith(self.closing, end):
                    raise LiteralError(f"expected {self.closing} here", end)
                end += len(self.closing)
                yield ToolCall(name, read.value, "", text[start:end], start, end)
            except LiteralError as error:
                end = place_of_next(text, self.opening, max(start + len(self.opening), error.position))
                yield broken(str(error), name, text, start, end, error.position)
            start = text.find(self.opening, end)


_KEYWORD = re.compile(r"\s*([A-Za-z_]\w{0,200})\s*=")


def read_arguments(text: str, at: int) -> tuple[dict[str, Any], int]:
    """Keyword arguments in brackets, as Python has them, and where they end.

    Raises:
        LiteralError: there are none.
    """
    if not text.startswith("(", at):
        raise LiteralError("expected '('", at)
    arguments: dict[str, Any] = {}
    at = skip_space(text, at + 1)
    while not text.startswith(")", at):
        key = _KEYWORD.match(text, at)
        if key is None:
            raise LiteralError("expected the name of an argument, and '='", at)
        if key[1] in arguments:
            raise LiteralError(f"the argument {key[1]!r} occurs twice", at)
        read = read_literal(text, key.end(), PYTHON)
        arguments[key[1]] = read.value
        at = skip_space(text, read.end)
        if text.startswith(",", at):
            at = skip_space(text, at + 1)
        elif not text.startswith(")", at):
            raise LiteralError("expected ',' or ')'", at)
    return arguments, at + 1
