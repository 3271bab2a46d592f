"""Where the parts of a JSON value stand in the text that it was read from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import JSONDecoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llmcheck.json_values import Step

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = JSONDecoder()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, in characters from 0.

    Attributes:
        begin: of the value.
        end: behind its last character.
        key: where its key begins; None for what is no member of an object.
    """

    begin: int
    end: int
    key: int | None = None


def place_of(text: str, steps: Iterable[Step], start: int = 0) -> Place | None:
    """Where the part of a value stands to which the steps lead.

    Args:
        text: holds JSON, as `strict_json.parse` takes it, from `start` on.
        steps: keys and indices.
        start: where the value begins, or blanks before it.

    Returns:
        None where the value has no such part, or is nested too deeply to be read from here.
    """
    try:
        begin, key = _skip(text, start), None
        for step in steps:
            found = next((part for part in _parts(text, begin) if part[0] == step), None)
            if found is None or type(found[0]) is not type(step):
                return None
            _, begin, key = found
        return Place(begin, _behind(text, begin), key)
    except RecursionError:
        return None


def _parts(text: str, at: int) -> Iterator[tuple[Step, int, int | None]]:
    """Step, begin and key of each member of an object or element of an array; nothing for other values."""
    closing = {"{": "}", "[": "]"}.get(text[at])
    if closing is None:
        return
    at = _skip(text, at + 1)
    index = 0
    while text[at] != closing:
        step: Any = index
        key = None
        if closing == "}":
            key = at
            step, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # behind the colon
        yield step, at, key
        at = _skip(text, _behind(text, at))
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1


def _behind(text: str, at: int) -> int:
    _, end = _DECODER.raw_decode(text, at)
    return end


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None  # it matches the empty text
    return found.end()
