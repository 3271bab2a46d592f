"""JSON as RFC 8259 has it, and where a text stops being it.

Python's own reader takes ``NaN``, lets the last of two equal keys win and turns ``1e999`` into infinity.
The program that reads the reply may do otherwise, so none of these counts as JSON here.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

_TOKEN = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|"(?:[^"\\]|\\.)*"|[{}]|(?P<bare>[^\s{}\[\],:"]+)')
# By how Python's message begins: from release to release it says more, or less, behind that.
_PLAINER = {
    "Expecting ',' delimiter": "expected ',' or a closing bracket",
    "Expecting ':' delimiter": "expected ':' after the key",
    "Expecting property name": "expected a key in double quotes",
    "Expecting value": "expected a JSON value",
    "Extra data": "more text after the JSON value",
    "Illegal trailing comma": "a comma before the closing bracket",
    "Invalid control character": "a control character inside a string",
    "Invalid \\escape": "an escape that JSON does not have",
    "Invalid \\u": "an escape that JSON does not have",
    "Unexpected UTF-8 BOM": "a byte order mark",
    "Unterminated string": "a string that is never closed",
}
_BLANKS = " \t\n\r"
_BEFORE, _AFTER = 40, 30


class NotJSONError(ValueError):
    """A text is not JSON.

    Attributes:
        position: where in the text, in characters from 0.
        wrong_from: the first character in whose place another could have made it JSON. It is before
            `position` where blanks stand between: the comma that is missing would come before them.
    """

    def __init__(self, problem: str, position: int, wrong_from: int | None = None) -> None:
        super().__init__(problem)
        self.position = position
        self.wrong_from = position if wrong_from is None else wrong_from


def parse(text: str) -> Any:
    """The value of a text that is JSON and nothing else.

    Raises:
        NotJSONError: it is not.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _in_plain_words(text, error) from None
    except RecursionError:
        problem = "nested too deeply to be read"
        raise NotJSONError(problem, 0) from None
    except ValueError:
        _refuse_python_only(text)  # The interpreter's limit on the digits of a whole number.
        raise
    _refuse_python_only(text)
    return value


def point_at(text: str, position: int) -> str:
    """Two lines: the part of the text around a position, and a caret below it."""
    start = max(text.rfind("\n", 0, position) + 1, position - _BEFORE)
    end = text.find("\n", position)
    stop = min(end if end >= 0 else len(text), position + _AFTER)
    # Tabs and control characters would move the caret away from its place.
    shown = "".join(letter if letter.isprintable() else "·" for letter in text[start:stop])
    return f"{shown}\n{' ' * (position - start)}^"


def line_and_column(text: str, position: int) -> str:
    """A position as editors count, from 1."""
    line = text.count("\n", 0, position) + 1
    return f"line {line}, column {position - text.rfind(chr(10), 0, position)}"


def _in_plain_words(text: str, error: json.JSONDecodeError) -> NotJSONError:
    problem = next((ours for theirs, ours in _PLAINER.items() if error.msg.startswith(theirs)), error.msg)
    at = error.pos
    before = text[:at].rstrip(_BLANKS)
    if error.msg.startswith("Illegal trailing comma"):  # from Python 3.13 on, at the comma
        at = len(text) - len(text[at + 1 :].lstrip(_BLANKS))
    elif before.endswith(",") and text[at : at + 1] in ("}", "]"):
        problem = "a comma before the closing bracket"
    if error.msg.startswith("Unterminated"):
        return NotJSONError(problem, at, len(text))
    blanks_were_fine = not error.msg.startswith(("Expecting ',' delimiter", "Expecting ':'", "Extra data"))
    return NotJSONError(problem, at, at if blanks_were_fine else len(before))


def _refuse_python_only(text: str) -> None:
    """Raise for the first thing that Python reads, or refuses to, unlike the RFC."""
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token[0] == "{":
            objects.append(set())
        elif token[0] == "}":
            objects.pop()
        elif token["key"]:
            key = json.loads(token["key"])
            if key in objects[-1]:
                raise NotJSONError(f"the key {key!r} occurs twice in one object", token.start())
            objects[-1].add(key)
        elif token["bare"] and (problem := _odd_number(token["bare"])):
            raise NotJSONError(problem, token.start())


def _odd_number(bare: str) -> str | None:
    if bare.lstrip("-") in ("NaN", "Infinity"):
        return f"{bare}, which JSON does not have"
    if bare.lstrip("-").isdigit():
        limit = sys.get_int_max_str_digits()
        return f"a number of more than {limit} digits" if 0 < limit < len(bare.lstrip("-")) else None
    if bare[-1].isdigit() and math.isinf(float(bare)):
        return f"the number {bare[:40]} is beyond what a double can hold"
    return None
