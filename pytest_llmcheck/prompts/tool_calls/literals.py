"""Values as Python and Gemma write them: ``{'a': [1, None]}``, ``{a:[1,<|"|>b<|"|>]}``."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pytest_llmcheck.prompts.tool_calls.reading import DEEPEST, Value, skip_space


class LiteralError(ValueError):
    """A text is no such value.

    Attributes:
        position: where in the text, in characters from 0.
    """

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


class Dialect(NamedTuple):
    """How values are written.

    Attributes:
        quotes: what stands before and after a text.
        escapes: whether a backslash means something in it.
        bare_keys: whether keys of objects stand without quotes.
    """

    quotes: tuple[str, ...]
    escapes: bool
    bare_keys: bool


PYTHON = Dialect(quotes=("'", '"'), escapes=True, bare_keys=False)
"""The words of JSON are taken too: models mix them up, and llama.cpp's parser takes both."""

GEMMA = Dialect(quotes=('<|"|>',), escapes=False, bare_keys=True)

_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_WORD = re.compile(r"[A-Za-z]{1,8}")
_KEY = re.compile(r"[^\s:{}\[\],<>\"']{1,200}")
# Neither 007 nor +49: where a text may stand, these are texts.
_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": ""}


def read_literal(text: str, at: int, dialect: Dialect, level: int = 0) -> Value:
    """The value that begins at a place, white space before it aside.

    Args:
        text: any text.
        at: where to begin.
        dialect: how values are written.
        level: of nesting so far.

    Raises:
        LiteralError: there is none.
    """
    start = skip_space(text, at)
    if level > DEEPEST:
        raise LiteralError(f"nested more than {DEEPEST} levels deep", start)
    if text.startswith("[", start) or text.startswith("(", start):
        return _list(text, start, dialect, level)
    if text.startswith("{", start):
        return _object(text, start, dialect, level)
    if read := _text(text, start, dialect):
        return read
    if number := _NUMBER.match(text, start):
        return Value(_number(number[0], start), start, number.end())
    word = _WORD.match(text, start)
    if word is None or word[0] not in _WORDS:
        raise LiteralError("expected a value", start)
    return Value(_WORDS[word[0]], start, word.end())


def _list(text: str, start: int, dialect: Dialect, level: int) -> Value:
    closing = {"[": "]", "(": ")"}[text[start]]
    items: list[Any] = []
    at = skip_space(text, start + 1)
    while not text.startswith(closing, at):
        item = read_literal(text, at, dialect, level + 1)
        items.append(item.value)
        at = _after(text, item.end, closing)
    return Value(items, start, at + 1)


def _object(text: str, start: int, dialect: Dialect, level: int) -> Value:
    entries: dict[str, Any] = {}
    at = skip_space(text, start + 1)
    while not text.startswith("}", at):
        bare = _KEY.match(text, at) if dialect.bare_keys else None
        key = Value(bare[0], at, bare.end()) if bare else _text(text, at, dialect)
        if key is None:
            raise LiteralError("expected a key", at)
        if key.value in entries:
            raise LiteralError(f"the key {key.value!r} occurs twice in one object", at)
        at = skip_space(text, key.end)
        if not text.startswith(":", at):
            raise LiteralError("expected ':'", at)
        item = read_literal(text, at + 1, dialect, level + 1)
        entries[key.value] = item.value
        at = _after(text, item.end, "}")
    return Value(entries, start, at + 1)


def _after(text: str, at: int, closing: str) -> int:
    """Where the next item begins, or the closing bracket stands."""
    at = skip_space(text, at)
    if text.startswith(",", at):
        return skip_space(text, at + 1)
    if not text.startswith(closing, at):
        raise LiteralError(f"expected ',' or {closing!r}", at)
    return at


def _text(text: str, start: int, dialect: Dialect) -> Value | None:
    """The text in quotes that begins at a place, if one does."""
    quote = next((quote for quote in dialect.quotes if text.startswith(quote, start)), None)
    if quote is None:
        return None
    at = start + len(quote)
    end = text.find(quote, at)
    if dialect.escapes:
        while end >= 0 and _escaped(text, at, end):
            end = text.find(quote, end + 1)
    if end < 0:
        raise LiteralError("a text without an end", start)
    inner = text[at:end]
    if dialect.escapes and "\\" in inner:
        inner = _ESCAPE.sub(_unescape, inner)
        try:
            # Halves of surrogate pairs, each written on its own.
            inner = inner.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise LiteralError("half of a surrogate pair, which no text can hold", start) from None
    return Value(inner, start, end + len(quote))


def _escaped(text: str, start: int, at: int) -> bool:
    """Whether an odd number of backslashes stands before a place."""
    before = at
    while before > start and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code:
        return chr(int(code, 16))
    return _ESCAPES.get(match[3], match[3] if match[3] in "\\'\"/" else match[0])


def _number(written: str, at: int) -> int | float:
    try:
        return int(written)
    except ValueError:
        pass
    if written.lstrip("-").isdigit():
        raise LiteralError("a number that is too long to be read", at)
    value = float(written)
    if value in (float("inf"), float("-inf")):
        raise LiteralError(f"the number {written[:40]} is beyond what a double can hold", at)
    return value
