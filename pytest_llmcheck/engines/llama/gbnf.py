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
from dataclasses import dataclass, field

from pytest_llmcheck.errors import ConfigError

MAX_REPETITION = 2000
"""MAX_REPETITION_THRESHOLD of llama-grammar.cpp; a larger upper bound silently counts as none there."""

MAX_TEXT = 1_000_000
MAX_NESTING = 100
MAX_ELEMENTS = 400_000
"""Elements after repetitions have been written out: some tens of MB in llama.cpp."""

MAX_CHAIN = 3_000
"""Rules that begin with each other; llama.cpp recurses along them."""

MAX_STEPS = 1_000_000
"""Calls of llama.cpp's search for left recursion."""

MAX_CHOICES = 5_000
"""Ways to go on at one place; llama.cpp keeps a stack for each and compares each with each."""

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_ESCAPE = re.compile(r'\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"\[\]-])')
_REPETITION = re.compile(r"\{S([0-9]+)S(?:(,)S([0-9]+)?S)?\}".replace("S", r"(?:[ \t\r\n]|#[^\r\n]*)*"))

_TERMINAL = -1
"""An element that is a character or a class of them; other elements are the numbers of rules."""


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
    _check_references(grammar)
    _check_ends(grammar)
    _check_left_recursion(grammar)


@dataclass
class _Grammar:
    """Rules by number: alternatives of elements. Repetitions are written out as llama.cpp does it."""

    names: dict[str, int] = field(default_factory=dict)
    rules: dict[int, list[list[int]]] = field(default_factory=dict)
    size: int = 0

    def name(self, rule: int) -> str:
        return next(name for name, number in self.names.items() if number == rule)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._pos = 0
        self._grammar = _Grammar()
        self._nesting = 0

    def _fail(self, reason: str) -> ConfigError:
        line = self._text.count("\n", 0, self._pos) + 1
        start = self._text.rfind("\n", 0, self._pos) + 1
        rest = self._text[self._pos :].split("\n", 1)[0]
        at = f"at {rest[:40]!r}" if rest else "at the end of the line"
        return ConfigError(f"the grammar, line {line}, column {self._pos - start + 1}: {reason} {at}")

    def parse(self) -> _Grammar:
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
                sequence.append(_TERMINAL)
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
        return [_TERMINAL] * count

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
        return [] if empty else [_TERMINAL]

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


def _check_references(grammar: _Grammar) -> None:
    undefined = [name for name, number in grammar.names.items() if number not in grammar.rules]
    if undefined:
        raise ConfigError(f"the grammar uses rules that it does not define: {', '.join(undefined[:5])}")
    if "root" not in grammar.names:
        raise ConfigError("the grammar has no rule `root`, where a reply begins")


def _check_ends(grammar: _Grammar) -> None:
    """Every rule that can be reached has a finite text."""
    finite = _closure(grammar, {_TERMINAL})
    todo, seen = [grammar.names["root"]], {grammar.names["root"]}
    while todo:
        number = todo.pop()
        if number not in finite:
            raise ConfigError(
                f"the grammar's rule `{grammar.name(number)}` never ends: every alternative contains itself"
            )
        for alternative in grammar.rules[number]:
            for element in alternative:
                if element != _TERMINAL and element not in seen:
                    seen.add(element)
                    todo.append(element)


def _closure(grammar: _Grammar, given: set[int]) -> set[int]:
    """The rules with an alternative all of whose elements are among them or `given`."""
    # Per alternative its rule and how many of its elements are missing: each is looked at once.
    missing: list[list[int]] = []
    users: dict[int, list[int]] = {}
    todo: list[int] = []
    known: set[int] = set()
    for number, alternatives in grammar.rules.items():
        for alternative in alternatives:
            needed = set(alternative) - given
            for element in needed:
                users.setdefault(element, []).append(len(missing))
            missing.append([number, len(needed)])
            if not needed:
                todo.append(number)
    while todo:
        number = todo.pop()
        if number in known:
            continue
        known.add(number)
        for index in users.get(number, ()):
            missing[index][1] -= 1
            if not missing[index][1]:
                todo.append(missing[index][0])
    return known


def _check_left_recursion(grammar: _Grammar) -> None:
    """No rule begins with itself, and neither llama.cpp's check of that nor its stacks explode."""
    empty = _closure(grammar, set())
    heads = {
        number: [_heads(alternative, empty) for alternative in alternatives]
        for number, alternatives in grammar.rules.items()
    }
    # Per rule: the steps of llama.cpp's search, the terminals a text can begin with, the longest chain.
    done: dict[int, tuple[int, int, int]] = {}
    for start in grammar.rules:
        path: list[tuple[int, list[int]]] = []
        on_path: set[int] = set()

        def enter(number: int, path: list[tuple[int, list[int]]] = path, on: set[int] = on_path) -> None:
            on.add(number)
            path.append((number, [e for h in heads[number] for e in h if e != _TERMINAL]))

        if start not in done:
            enter(start)
        while path:
            number, todo = path[-1]
            if todo:
                follow = todo.pop()
                if follow in on_path:
                    raise ConfigError(
                        f"the grammar's rule `{grammar.name(follow)}` begins with itself (left recursion), "
                        "which llama.cpp cannot follow: put the recursion behind something"
                    )
                if follow not in done:
                    enter(follow)
                continue
            path.pop()
            on_path.discard(number)
            done[number] = _weigh(heads[number], done)
            _check_weight(grammar, number, done[number])
    for number, alternatives in grammar.rules.items():
        _check_places(grammar, number, alternatives, empty, done)


def _heads(alternative: list[int], empty: set[int]) -> list[int]:
    """The elements with which a text of this alternative can begin."""
    found = []
    for element in alternative:
        found.append(element)
        if element not in empty:
            break
    return found


def _weigh(heads: list[list[int]], done: dict[int, tuple[int, int, int]]) -> tuple[int, int, int]:
    steps, choices, chain = 1, 0, 0
    for alternative in heads:
        for element in alternative:
            if element == _TERMINAL:
                choices += 1
            else:
                below = done[element]
                steps += below[0]
                choices += below[1]
                chain = max(chain, below[2])
    return steps, choices, chain + 1


def _check_weight(grammar: _Grammar, number: int, weight: tuple[int, int, int]) -> None:
    steps, choices, chain = weight
    if steps > MAX_STEPS or chain > MAX_CHAIN:
        raise ConfigError(
            f"the grammar's rule `{grammar.name(number)}` is too deep: rules that begin with each other "
            f"({chain} in a chain, {steps} ways)"
        )
    if choices > MAX_CHOICES:
        raise ConfigError(
            f"the grammar's rule `{grammar.name(number)}` is too ambiguous: {choices} ways to begin, "
            f"at most {MAX_CHOICES}"
        )


def _check_places(
    grammar: _Grammar,
    number: int,
    alternatives: list[list[int]],
    empty: set[int],
    done: dict[int, tuple[int, int, int]],
) -> None:
    """The same bound in the middle of a rule."""
    for alternative in alternatives:
        choices = 0
        for element in reversed(alternative):
            own = 1 if element == _TERMINAL else done[element][1]
            choices = own + (choices if element in empty else 0)
            if choices > MAX_CHOICES:
                _check_weight(grammar, number, (0, choices, 0))
