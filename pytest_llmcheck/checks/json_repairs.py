"""What would have made a text JSON: a hint for a message, never a verdict.

Our own exact repairs rather than a library that guesses: each mends one fault that models are known for,
says where, and the result counts only if it is JSON then. A library such as json-repair makes something of
any text, does not say what it changed where, and another release of it would give other messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.strict_json import NotJSONError, line_and_column, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 20
"""Repairs beyond which a text is not called nearly JSON."""

_SINGLE = re.compile(r"'((?:[^'\\\n]|\\.)*)'")
_WORD = re.compile(r"[^\W\d]\w*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ELSEWHERE = {"True": "true", "False": "false", "None": "null", "undefined": "null", "NaN": "null"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_BLANKS = " \t\n\r"


@dataclass(frozen=True, slots=True)
class Repaired:
    """A text that was made JSON.

    Attributes:
        value: what it is then.
        told: the faults and where they are, for a message.
    """

    value: Any
    told: str


@dataclass(frozen=True, slots=True)
class _Edit:
    fault: str
    begin: int
    end: int
    put: str


def repaired(text: str) -> Repaired | None:
    """The text with its faults mended one by one, if it is JSON then and not before."""
    now, longer, faults = text, 0, []
    for _ in range(MOST + 1):
        try:
            value = parse(now)
        except NotJSONError as error:
            edit = next(_edits(now, error), None)
            if edit is None:
                return None
            # Where it is in the reply: what was put before it is not there.
            place = min(max(edit.begin - longer, 0), len(text))
            faults.append(f"{edit.fault} ({line_and_column(text, place)})")
            now = now[: edit.begin] + edit.put + now[edit.end :]
            longer += len(edit.put) - (edit.end - edit.begin)
        else:
            return Repaired(value, ", ".join(faults)) if faults else None
    return None


def _edits(text: str, error: NotJSONError) -> Iterator[_Edit]:
    """What could mend the first fault; the likeliest first."""
    at, problem = error.position, str(error)
    before = len(text[:at].rstrip(_BLANKS))
    if found := _COMMENT.match(text, at):
        yield _Edit("a comment", at, found.end(), "")
    if problem == "a byte order mark":
        yield _Edit(problem, at, at + 1, "")
    elif problem == "a control character inside a string":
        yield _Edit("a line break inside a string", at, at + 1, f"\\u{ord(text[at]):04x}")
    elif problem == "a comma before the closing bracket":
        yield _Edit(problem, before - 1, before, "")
    elif problem == "a string that is never closed":
        yield _Edit(problem, len(text), len(text), '"' + _closers(text))
    elif at == len(text):
        if closers := _closers(text):
            yield _Edit(f"a missing {closers}", at, at, closers)
    elif text[at - 1 : at] == '"' and text[at].isalnum():
        return  # Quotes inside a text: where it was meant to end is anybody's guess.
    elif problem.startswith("expected ','"):
        yield _Edit("a missing comma", error.wrong_from, error.wrong_from, ",")
    elif problem.startswith("expected ':'"):
        yield _Edit("a missing colon", error.wrong_from, error.wrong_from, ":")
    elif found := _SINGLE.match(text, at):
        yield _Edit("single quotes", at, found.end(), _requoted(found[1]))
    elif (found := _WORD.match(text, at)) and problem.startswith("expected a key"):
        yield _Edit("a key without quotes", at, found.end(), f'"{found[0]}"')
    elif found and found[0] in _ELSEWHERE:
        yield _Edit(f"{found[0]} instead of {_ELSEWHERE[found[0]]}", at, found.end(), _ELSEWHERE[found[0]])


def _requoted(inner: str) -> str:
    told = re.sub(r"\\.|\"", lambda found: {r"\'": "'", '"': r"\""}.get(found[0], found[0]), inner)
    return f'"{told}"'


def _closers(text: str) -> str:
    """The brackets that are open at the end of a text, closed."""
    open_: list[str] = []
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            open_.append("]" if token[0] == "[" else "}")
        elif token[0] in ("]", "}") and open_:
            open_.pop()
    return "".join(reversed(open_))
