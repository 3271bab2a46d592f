"""The rules of a grammar that is made of a JSON Schema, and what it leaves out."""

from __future__ import annotations

import re

from pytest_llmcheck.engines.llama.gbnf import MAX_REPETITION
from pytest_llmcheck.engines.llama.schema_primitives import PRIMITIVES
from pytest_llmcheck.errors import ConfigError

MAX_CHARACTERS = 600_000
MAX_REPEATED = 100_000
MAX_NOTES = 100


class Rules:
    """Collects rules by name and notes on keywords that are not enforced; keeps both within limits."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._by_body: dict[str, str] = {}
        self._notes: list[tuple[str, str, str]] = []
        self._characters = 0
        self._repeated = 0

    def text(self, root: str) -> str:
        """The grammar: `root` first, then the rules that it uses."""
        lines, seen, todo = [f"root ::= {root}"], {root}, [root]
        while todo:
            name = todo.pop()
            body = self._rules.get(name) or PRIMITIVES[name]
            lines.append(f"{name} ::= {body}")
            for used in _references(body):
                if used not in seen:
                    seen.add(used)
                    todo.append(used)
        return "\n".join(lines) + "\n"

    def ignored(self) -> tuple[str, ...]:
        """As `Compiled.ignored` has it."""
        notes = dict.fromkeys(
            f"{keyword} at {path}" + (f" ({why})" if why else "") for keyword, path, why in self._notes
        )
        shown = list(notes)[:MAX_NOTES]
        return (*shown, f"and {len(notes) - MAX_NOTES} more") if len(notes) > MAX_NOTES else tuple(shown)

    def _note(self, keyword: str, path: str, why: str = "") -> None:
        self._notes.append((keyword, path, why))

    def _add(self, body: str, path: str) -> str:
        """A rule of its own for `body`; equal bodies share one."""
        if body in self._by_body:
            return self._by_body[body]
        return self._define(self._name(path), body, path)

    def _name(self, path: str) -> str:
        slug = re.sub(r"[^a-zA-Z0-9]+", "-", path).strip("-")[-30:].strip("-") or "schema"
        name = f"{slug}-{len(self._rules)}"
        self._rules[name] = ""
        return name

    def _define(self, name: str, body: str, path: str) -> str:
        self._rules[name] = body
        self._by_body.setdefault(body, name)
        self._characters += len(body)
        if self._characters > MAX_CHARACTERS:
            raise ConfigError(f"the schema is too large for a grammar, at {path}")
        return name

    def _repetitions(self, keyword: tuple[str, str], path: str, low: int, high: int | None) -> int | None:
        """The upper bound as far as llama.cpp keeps it."""
        if low > MAX_REPETITION:
            raise ConfigError(f"{keyword[0]} at {path}: {low} is more than llama.cpp's {MAX_REPETITION}")
        if high is not None and high > MAX_REPETITION:
            self._note(keyword[1], path, f"more than {MAX_REPETITION}")
            high = None
        self._repeated += max(low, high or 0)
        if self._repeated > MAX_REPEATED:
            raise ConfigError(
                f"{keyword[high is not None]} at {path}: repetitions of more than {MAX_REPEATED} altogether"
            )
        return high


def _references(body: str) -> list[str]:
    """Names of rules in a right-hand side."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|\{[^}]*\}', " ", body)
    return re.findall(r"[a-zA-Z0-9-]+", bare)
