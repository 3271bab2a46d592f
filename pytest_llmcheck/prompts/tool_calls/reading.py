"""JSON values inside a longer text, and from such a value to a call."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from pytest_llmcheck.prompts.tool_calls.call import BrokenCall, Found, ToolCall
from pytest_llmcheck.strict_json import NotJSONError, parse

DEEPEST = 100
"""Levels of nesting in arguments: far more than any tool has, far fewer than Python can print and send."""

_SPACE = re.compile(r"\s*")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_DECODER = json.JSONDecoder()
_WINDOW = 1024
_ENOUGH = 12
"""Characters after an error that the reader may have looked at."""


class Value(NamedTuple):
    """A value and where it stands in the text."""

    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Keys:
    """Under which keys an object that is a call has its parts."""

    name: str = "name"
    arguments: str = "arguments"
    id: str = "id"


@dataclass(frozen=True, kw_only=True)
class Marked:
    """What formats share that are told by markers in the source of a template.

    Attributes:
        name: for messages and records.
        example: how a call looks.
        needs: what a template of this format contains, all of it.
        lacks: what it does not contain, any of it.
    """

    name: str
    example: str
    needs: tuple[str, ...]
    lacks: tuple[str, ...] = ()

    def recognises(self, template: str) -> bool:
        """Whether the template contains the markers."""
        return all(text in template for text in self.needs) and not any(
            text in template for text in self.lacks
        )


def skip_space(text: str, at: int) -> int:
    """The next place that is no white space."""
    found = _SPACE.match(text, at)
    assert found is not None  # it matches nothing at all, too
    return found.end()


def read_json(text: str, at: int) -> Value:
    """The JSON value that begins at a place, white space before it aside; whatever follows it.

    Raises:
        NotJSONError: there is none; its position counts from the beginning of the text.
    """
    start = skip_space(text, at)
    try:
        end = _end_of_json(text, start)
    except RecursionError:
        raise NotJSONError(f"nested more than {DEEPEST} levels deep", start) from None
    except ValueError:
        # A whole number with more digits than Python reads.
        raise NotJSONError("a number that is too long to be read", start) from None
    written = text[start:end]
    try:
        value = parse(written)
    except NotJSONError as error:
        raise NotJSONError(str(error), start + error.position) from None
    if _depth(written) > DEEPEST:
        raise NotJSONError(f"nested more than {DEEPEST} levels deep", start)
    if "\\u" in written and not _encodes(value):
        place = start + written.find("\\u")
        raise NotJSONError("half of a surrogate pair, which no text can hold", place)
    return Value(value, start, end)


def _end_of_json(text: str, start: int) -> int:
    """Where the value that begins at a place ends, or a little behind where it goes wrong.

    Python counts the lines before an error from the beginning of the text, which a hostile one makes it do
    for every call. So it sees a window, and a larger one where the value does not end in that.
    """
    size = _WINDOW
    while True:
        window = text[start : start + size]
        whole = start + size >= len(text)
        try:
            _, end = _DECODER.raw_decode(window)
        except json.JSONDecodeError as error:
            end = min(error.pos + _ENOUGH, len(window))
            cut = end == len(window) or error.msg.startswith("Unterminated string")
        else:
            cut = end == len(window)
        if whole or not cut:
            return start + end
        size *= 4


def call_of(read: Value, keys: Keys | None, text: str) -> Found:
    """The call that an object says, or what is wrong with it.

    Args:
        read: any value.
        keys: where its parts are; None for objects of one key, the name, with the arguments under it.
        text: that the value stands in.
    """
    value, start, end = read

    def wrong(problem: str, name: str = "") -> BrokenCall:
        return broken(problem, name, text, start, end, start)

    if not isinstance(value, dict):
        return wrong("expected an object")
    if keys is None:
        if len(value) != 1:
            return wrong("expected an object with one key, the name of the tool")
        ((name, arguments),) = value.items()
        number = None
    else:
        name = value.get(keys.name)
        if not isinstance(name, str) or not name:
            problem = "is no name of a tool" if keys.name in value else "is missing"
            return wrong(f"its {keys.name!r} {problem}")
        if keys.arguments not in value:
            return wrong(f"its {keys.arguments!r} are missing", name)
        arguments = value[keys.arguments]
        number = value.get(keys.id)
    if not isinstance(arguments, dict):
        return wrong("its arguments are no object", name)
    return ToolCall(name, arguments, "" if number is None else str(number), text[start:end], start, end)


def framed(call: Found, text: str, start: int, end: int) -> Found:
    """The same call, with the markers that stand around it."""
    return msgspec.structs.replace(call, text=text[start:end], start=start, end=end)


def broken(problem: str, name: str, text: str, start: int, end: int, position: int) -> BrokenCall:
    """What stands between two places and is no call."""
    return BrokenCall(problem, name, text[start:end], start, end, min(position, end))


def place_of_next(text: str, mark: str, at: int) -> int:
    """Where a marker stands next; else the end of the text."""
    found = text.find(mark, at)
    return len(text) if found < 0 else found


def _depth(written: str) -> int:
    """How deep a JSON text is nested."""
    if written.count("[") + written.count("{") <= DEEPEST:
        return 0
    deepest = depth = 0
    for token in _STRING_OR_BRACKET.finditer(written):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
