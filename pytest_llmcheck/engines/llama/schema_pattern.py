r"""A regular expression -> GBNF for the inside of a JSON string that it matches.

The dialect is Python's, by which jsonschema validates afterwards: the pattern is searched for, not matched
as a whole, so that without ``^`` anything may come before it. Where exactness would need tables of Unicode
(``\d``, ``\w``) the grammar allows fewer characters, never more.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.llama.gbnf import MAX_REPETITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The standard library's own parser: there is no public name for it, and a second one would differ.
_parser: Any = importlib.import_module("re._parser")

Ranges = list[tuple[int, int]]
"""Code points, ascending, disjoint, both ends included."""

ANY_CHAR = "char"
"""Name of the rule for one character of a JSON string, see `schema_grammar`."""

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_ESCAPED = {0x22: r"\"", 0x5C: r"\\", 0x08: r"\b", 0x0C: r"\f", 0x0A: r"\n", 0x0D: r"\r", 0x09: r"\t"}
_DIGITS: Ranges = [(0x30, 0x39)]
# ASCII and the letters of Latin-1 and Latin Extended.
_WORDS: Ranges = [
    (0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F),
]  # fmt: skip


class Unsupported(Exception):  # noqa: N818 - an answer, not an error of the user
    """The pattern is valid, and no grammar of ours has the same strings."""


def width(pattern: str) -> tuple[int, int]:
    """The least and the largest number of characters that the pattern itself matches."""
    low, high = _parser.parse(pattern).getwidth()
    return low, high


def anchored(pattern: str) -> bool:
    """Whether the whole string must match."""
    return all(begins and ends for _, begins, ends in _alternatives(list(_parser.parse(pattern))))


def pattern_body(pattern: str, add_rule: Callable[[str], str]) -> str:
    """GBNF for what stands between the quotes.

    Args:
        pattern: a valid regular expression.
        add_rule: gives a name to a right-hand side.

    Raises:
        Unsupported: with the reason, such as ``lookahead``.
    """
    parsed = _parser.parse(pattern)
    if parsed.state.flags & ~re.UNICODE:
        raise Unsupported("flags")
    writer = _Writer(add_rule)
    alternatives = []
    for items, begins, ends in _alternatives(list(parsed)):
        parts = ([] if begins else [f"{ANY_CHAR}*"]) + [writer.sequence(items)]
        alternatives.append(" ".join(parts + ([] if ends else [f"{ANY_CHAR}*"])))
    return " | ".join(alternatives)


def _alternatives(
    items: list[Any], *, begins: bool = False, ends: bool = False
) -> list[tuple[list[Any], bool, bool]]:
    """The alternatives of the whole pattern, and whether each is anchored at its begin and end."""
    while items and str(items[0][0]) == "AT" and str(items[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        begins, items = True, items[1:]
    while items and str(items[-1][0]) == "AT" and str(items[-1][1]) in ("AT_END", "AT_END_STRING"):
        ends, items = True, items[:-1]
    if len(items) == 1:
        kind, value = items[0]
        branches = value[1] if str(kind) == "BRANCH" else []
        if str(kind) == "SUBPATTERN" and not value[1] and not value[2]:
            branches = [value[3]]
        if branches:
            return [
                found
                for branch in branches
                for found in _alternatives(list(branch), begins=begins, ends=ends)
            ]
    return [(items, begins, ends)]


class _Writer:
    def __init__(self, add_rule: Callable[[str], str]) -> None:
        self._add_rule = add_rule

    def sequence(self, items: Iterable[Any]) -> str:
        return " ".join(self._item(str(kind), value) for kind, value in items) or '""'

    def _item(self, kind: str, value: Any) -> str:
        match kind:
            case "LITERAL":
                return _class([(value, value)])
            case "NOT_LITERAL":
                return _class(_without([(value, value)]))
            case "ANY":
                return _class(_without([(0x0A, 0x0A)]))
            case "IN":
                return _class(_set(value))
            case "BRANCH":
                return "(" + " | ".join(self.sequence(branch) for branch in value[1]) + ")"
            case "SUBPATTERN":
                if value[1] or value[2]:
                    raise Unsupported("flags")
                return "(" + self.sequence(value[3]) + ")"
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(*value)
            case "ASSERT" | "ASSERT_NOT":
                raise Unsupported("lookahead" if value[0] > 0 else "lookbehind")
            case "AT":
                raise Unsupported(
                    "word boundary" if "BOUNDARY" in str(value) else "an anchor inside the pattern"
                )
            case "GROUPREF" | "GROUPREF_EXISTS":
                raise Unsupported("back reference")
            case _:
                raise Unsupported(kind.lower().replace("_", " "))

    def _repeat(self, low: int, high: int, items: Any) -> str:
        unbounded = high == _parser.MAXREPEAT
        if low > MAX_REPETITION or (not unbounded and high > MAX_REPETITION):
            raise Unsupported(f"more than {MAX_REPETITION} repetitions")
        if high == 0:
            return '""'
        if items.getwidth()[0] == 0 and (unbounded or high > 1):
            # S* with an empty S is left recursion, S{0,n} has n ways to be empty.
            raise Unsupported("a repeated part that may be empty")
        # A name of its own, else llama.cpp multiplies nested repetitions.
        name = self._add_rule(self.sequence(items))
        return name + repetition(low, None if unbounded else high)


def repetition(low: int, high: int | None) -> str:
    """The suffix for `low` to `high` times."""
    if high is None:
        return {0: "*", 1: "+"}.get(low, f"{{{low},}}")
    if low == high:
        return "" if low == 1 else f"{{{low}}}"
    return "?" if (low, high) == (0, 1) else f"{{{low},{high}}}"


def _set(items: list[Any]) -> Ranges:
    negated = bool(items) and str(items[0][0]) == "NEGATE"
    found: Ranges = []
    for kind, value in items[1:] if negated else items:
        match str(kind):
            case "LITERAL":
                found.append((value, value))
            case "RANGE":
                found.append(value)
            case "CATEGORY":
                found += _category(str(value).removeprefix("CATEGORY_"), everything=negated)
            case other:
                raise Unsupported(other.lower())
    return _without(found) if negated else _merged(found)


def _category(name: str, *, everything: bool) -> Ranges:
    """Characters of a class: some of them, or `everything` where they are to be excluded."""
    if name.startswith("NOT_"):
        return _without(_exact(name[4:]))
    if everything or name == "SPACE":
        return _exact(name)
    return {"DIGIT": _DIGITS, "WORD": _WORDS}[name]


@cache
def _exact(name: str) -> Ranges:
    """All characters that Python's re counts as such."""
    tests: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdecimal,
        "SPACE": str.isspace,
        "WORD": lambda char: char.isalnum() or char == "_",
    }
    belongs = tests[name]
    return _merged([(i, i) for i in range(_LAST + 1) if belongs(chr(i))])


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: Ranges = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def _without(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: Ranges = []
    start = 0
    for low, high in _merged(ranges):
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        found.append((start, _LAST))
    return found


def _class(ranges: Ranges) -> str:
    """One character as it stands in JSON: plain, or by its escape."""
    unsafe = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), _SURROGATES]
    plain = _intersection(ranges, _without(unsafe))
    escaped = [
        _ESCAPED.get(code, f"\\u{code:04x}")
        for low, high in _intersection(ranges, [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)])
        for code in range(low, high + 1)
        # Control characters that have no short escape only where they are asked for by name.
        if code in _ESCAPED or len(ranges) == 1
    ]
    parts = [literal(escape) for escape in escaped]
    if plain:
        parts.insert(0, "[" + "".join(_range(low, high) for low, high in plain) + "]")
    if not parts:
        raise Unsupported("a character that a JSON text cannot hold")
    return parts[0] if len(parts) == 1 else "(" + " | ".join(parts) + ")"


def _intersection(left: Ranges, right: Ranges) -> Ranges:
    return [(max(a, c), min(b, d)) for a, b in left for c, d in right if max(a, c) <= min(b, d)]


def _range(low: int, high: int) -> str:
    return _code(low) if low == high else f"{_code(low)}-{_code(high)}"


def _code(code: int) -> str:
    char = chr(code)
    if char.isascii() and char.isalnum():
        return char
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def literal(text: str) -> str:
    """A GBNF literal."""
    safe = (c if c.isascii() and (c.isalnum() or c in " {}:,.-+_$/@") else _code(ord(c)) for c in text)
    return '"' + "".join(safe) + '"'
