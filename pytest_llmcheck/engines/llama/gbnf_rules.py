"""The rules of a GBNF grammar, and whether llama.cpp would come to an end with them; see `gbnf`."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_llmcheck.errors import ConfigError

MAX_CHAIN = 3_000
"""Rules that begin with each other; llama.cpp recurses along them."""

MAX_STEPS = 1_000_000
"""Calls of llama.cpp's search for left recursion."""

MAX_CHOICES = 5_000
"""Ways to go on at one place; llama.cpp keeps a stack for each and compares each with each."""

TERMINAL = -1
"""An element that is a character or a class of them; other elements are the numbers of rules."""


@dataclass
class Rules:
    """Rules by number: alternatives of elements. Repetitions are written out as llama.cpp does it."""

    names: dict[str, int] = field(default_factory=dict)
    rules: dict[int, list[list[int]]] = field(default_factory=dict)
    size: int = 0

    def name(self, rule: int) -> str:
        """That of a rule that has one in the text."""
        return next(name for name, number in self.names.items() if number == rule)


def check_references(grammar: Rules) -> None:
    """Every rule that is used is defined, and there is a root.

    Raises:
        ConfigError: names what is missing.
    """
    undefined = [name for name, number in grammar.names.items() if number not in grammar.rules]
    if undefined:
        raise ConfigError(f"the grammar uses rules that it does not define: {', '.join(undefined[:5])}")
    if "root" not in grammar.names:
        raise ConfigError("the grammar has no rule `root`, where a reply begins")


def check_ends(grammar: Rules) -> None:
    """Every rule that can be reached has a finite text."""
    finite = _closure(grammar, {TERMINAL})
    todo, seen = [grammar.names["root"]], {grammar.names["root"]}
    while todo:
        number = todo.pop()
        if number not in finite:
            raise ConfigError(
                f"the grammar's rule `{grammar.name(number)}` never ends: every alternative contains itself"
            )
        for alternative in grammar.rules[number]:
            for element in alternative:
                if element != TERMINAL and element not in seen:
                    seen.add(element)
                    todo.append(element)


def _closure(grammar: Rules, given: set[int]) -> set[int]:
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


def check_left_recursion(grammar: Rules) -> None:
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
            path.append((number, [e for h in heads[number] for e in h if e != TERMINAL]))

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
            if element == TERMINAL:
                choices += 1
            else:
                below = done[element]
                steps += below[0]
                choices += below[1]
                chain = max(chain, below[2])
    return steps, choices, chain + 1


def _check_weight(grammar: Rules, number: int, weight: tuple[int, int, int]) -> None:
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
    grammar: Rules,
    number: int,
    alternatives: list[list[int]],
    empty: set[int],
    done: dict[int, tuple[int, int, int]],
) -> None:
    """The same bound in the middle of a rule."""
    for alternative in alternatives:
        choices = 0
        for element in reversed(alternative):
            own = 1 if element == TERMINAL else done[element][1]
            choices = own + (choices if element in empty else 0)
            if choices > MAX_CHOICES:
                _check_weight(grammar, number, (0, choices, 0))
