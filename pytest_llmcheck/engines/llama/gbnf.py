"""Read a GBNF grammar as llama.cpp does, and refuse what llama.cpp would not survive.

llama.cpp (src/llama-grammar.cpp in 0.3.36) answers a mistake in the syntax with NULL and a line on stderr.
It does not survive: ``{5,2}`` (a loop of 2**64 rounds), deep nesting (its parser recurses), left recursion
through a rule that is empty only indirectly (a loop without end), nested optional parts (2**n stacks),
chains of alternatives (its own search for left recursion takes 2**n steps), and token references such as
``<[42]>`` (it may allow in the middle of a token what it then aborts on). An empty text constrains nothing.
All of that is refused here, in time linear in the grammar.
"""

from __future__ import annotations

import re

from pytest_llmcheck.engines.llama.gbnf_rules import (
    TERMINAL,
    Rules,
    check_ends,
    check_left_recursion,
    check_references,
)
from pytest_llmcheck.errors import ConfigError

MAX_REPETITION = 2000
"""MAX_REPETITION_THRESHOLD of llama-grammar.cpp; a larger upper bound silently counts as none there."""

MAX_TEXT = 1_000_000
MAX_NESTING = 100
MAX_ELEMENTS = 400_000
"""Elements after repetitions have been written out: some tens of MB in llama.cpp."""

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_ESCAPE = re.compile(r'\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"\[\]-])')
_REPETITION = re.compile(r"\{S([0-9]+)S(?:(,)S([0-9]+)?S)?\}".replace("S", r"(?:[ \t\r\n]|#[^\r\n]*)*"))


def check(text: str) -> None:
    """Refuse a grammar that llama.cpp refuses, or would hang or die on.

    Raises:
        ConfigError: with the place and the reason.
    """
    if "\0" in text:
        raise ConfigError("the grammar contains a NUL character: llama.cpp would read it up to there only")
    if len(text) > MAX_TEXT:
        raise ConfigError(f"the grammar has {len(text)} characters, more than {MAX_TEXT}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError("the grammar contains lone surrogates, which no model can write") from None
    grammar = _Parser(text).parse()
    check_references(grammar)
    check_ends(grammar)
    check_left_recursion(grammar)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._pos = 0
        self._grammar = Rules()
        self._nesting = 0

    def _fail(self, reason: str) -> ConfigError:
        line = self._text.count("\n", 0, self._pos) + 1
        start = self._text.rfind("\n", 0, self._pos) + 1
        rest = self._text[self._pos :].split("\n", 1)[0]
        at = f"at {rest[:40]!r}" if rest else "at the end of the line"
        return ConfigError(f"the grammar, line {line}, column {self._pos - start + 1}: {reason} {at}")

    def parse(self) -> Rules:
        self._space(lines=True)
        while self._pos < len(self._text):
            self._rule()
        if not self._grammar.rules:
            raise ConfigError("the grammar is empty: it needs a rule `root ::= ...`")
        return self._grammar

    def _space(self, *, lines: bool) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self._text, self._pos)
        assert found is not None
        self._pos = found.end()

    def _peek(self) -> str:
        return self._text[self._pos : self._pos + 1]

    def _number(self, name: str) -> int:
        return self._grammar.names.setdefault(name, len(self._grammar.names))

    def _new(self, base: str) -> int:
        number = len(self._grammar.names)
        self._grammar.names[f"{base}_{number}"] = number
        return number

    def _add(self, number: int, alternatives: list[list[int]]) -> None:
        grammar = self._grammar
        grammar.rules[number] = alternatives
        grammar.size += sum(len(alternative) + 1 for alternative in alternatives)
        if grammar.size > MAX_ELEMENTS:
            raise self._fail(f"too large: more than {MAX_ELEMENTS} elements once repetitions are written out")

    def _rule(self) -> None:
        found = _NAME.match(self._text, self._pos)
        if found is None:
            raise self._fail("expected the name of a rule (letters, digits, -)")
        name = found.group()
        self._pos = found.end()
        self._space(lines=False)
        number = self._number(name)
        if not self._text.startswith("::=", self._pos):
            raise self._fail(f"expected ::= after the name {name!r}")
        self._pos += 3
        self._space(lines=True)
        self._add(number, self._alternatives(name, nested=False))
        if self._peek() not in ("", "\r", "\n"):
            raise self._fail("expected the end of the rule")
        self._space(lines=True)

    def _alternatives(self, name: str, *, nested: bool) -> list[list[int]]:
        alternatives = [self._sequence(name, nested=nested)]
        while self._peek() == "|":
            self._pos += 1
            self._space(lines=True)
            alternatives.append(self._sequence(name, nested=nested))
        return alternatives

    def _sequence(self, name: str, *, nested: bool) -> list[int]:
        sequence: list[int] = []
        last = 0
        # As llama.cpp counts what a repetition multiplies.
        weight = 1
        while (char := self._peek()) and char not in "|)\r\n":
            if char in "*+?{":
                weight = self._repeat(name, sequence, last, weight)
                self._space(lines=nested)
                continue
            last = len(sequence)
            weight = 1
            if char == '"':
                sequence += self._literal()
            elif char == "[":
                sequence += self._class()
            elif char == ".":
                self._pos += 1
                sequence.append(TERMINAL)
            elif char == "(":
                before = len(self._grammar.names)
                sequence.append(self._group(name))
                weight = max(1, len(self._grammar.names) - before)
            elif char in "<!":
                raise self._fail(
                    "token references are not supported, since llama.cpp may abort on them; "
                    "write the text instead,"
                )
            elif found := _NAME.match(self._text, self._pos):
                self._pos = found.end()
                sequence.append(self._number(found.group()))
            else:
                break
            self._space(lines=nested)
        return sequence

    def _group(self, name: str) -> int:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._fail(f"parentheses nested deeper than {MAX_NESTING}")
        self._pos += 1
        self._space(lines=True)
        number = self._new(name)
        self._add(number, self._alternatives(name, nested=True))
        if self._peek() != ")":
            raise self._fail("expected )")
        self._pos += 1
        self._nesting -= 1
        return number

    def _char(self) -> None:
        if self._peek() == "\\":
            found = _ESCAPE.match(self._text, self._pos)
            if found is None:
                raise self._fail("unknown escape")
            self._pos = found.end()
        elif self._peek():
            self._pos += 1
        else:
            raise self._fail("unexpected end of the grammar")

    def _literal(self) -> list[int]:
        self._pos += 1
        count = 0
        while self._peek() != '"':
            self._char()
            count += 1
        self._pos += 1
        return [TERMINAL] * count

    def _class(self) -> list[int]:
        self._pos += 1
        if self._peek() == "^":
            self._pos += 1
        empty = True
        while self._peek() != "]":
            self._char()
            empty = False
            if self._peek() == "-" and self._text[self._pos + 1 : self._pos + 2] != "]":
                self._pos += 1
                self._char()
        self._pos += 1
        return [] if empty else [TERMINAL]

    def _repeat(self, name: str, sequence: list[int], last: int, weight: int) -> int:
        if last == len(sequence):
            raise self._fail("nothing to repeat")
        low, high = self._bounds()
        times = high or low or 1
        if weight * times > MAX_REPETITION:
            raise self._fail(
                f"too many repetitions: {times} times {weight} rules, at most {MAX_REPETITION} altogether; "
                "give the repeated part a name of its own,"
            )
        item = sequence[last:]
        del sequence[last:]
        self._grammar.size += len(item) * low
        if self._grammar.size > MAX_ELEMENTS:
            raise self._fail(f"too large: more than {MAX_ELEMENTS} elements once repetitions are written out")
        sequence += item * low
        rest: int | None = None
        for _ in range(1 if high is None else high - low):
            number = self._new(name)
            follow = number if high is None else rest
            self._add(number, [item if follow is None else [*item, follow], []])
            rest = number
        if rest is not None:
            sequence.append(rest)
        return weight * times

    def _bounds(self) -> tuple[int, int | None]:
        char = self._peek()
        if char != "{":
            self._pos += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        found = _REPETITION.match(self._text, self._pos)
        if found is None:
            raise self._fail("expected {n}, {n,} or {n,m}")
        if max(len(found[1]), len(found[3] or "")) > 9:
            raise self._fail(f"more than {MAX_REPETITION} repetitions")
        low = int(found[1])
        high = low if not found[2] else int(found[3]) if found[3] else None
        if high is not None and high < low:
            raise self._fail("the upper bound is below the lower one")
        if max(low, high or 0) > MAX_REPETITION:
            raise self._fail(f"more than {MAX_REPETITION} repetitions")
        self._pos = found.end()
        return low, high
