"""One case of a file, or the line that should have been one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_llmcheck.verdict import Check

CHECKS = "checks"
"""The field that names checks."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Case(Mapping[str, Any]):
    """One line of a file of cases: a read-only mapping of its fields.

    Two cases are equal if their fields are.

    Attributes:
        id: the case in the test's id, unique in its file.
        source: where it stands, such as ``tests/cases.jsonl:3``; the line is the first of the record.
    """

    id: str
    source: str
    _fields: Mapping[str, Any]
    _added: Mapping[str, Callable[..., Check]] = field(default_factory=dict)
    _folder: Path | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that the field ``checks`` names, for ``reply.expect(*case.checks)``.

        In CSV the field is JSON, or the name of one check that needs no argument; an empty one names none.
        The path of a schema is relative to the folder of the file.

        Raises:
            ConfigError: the case has no such field, or it names no checks.
        """
        __tracebackhide__ = True
        from pytest_llmcheck.checks.by_name import checks_from

        if CHECKS not in self:
            raise ConfigError(f"{self.source}: has no field {CHECKS!r}; it has {', '.join(self)}")
        asked = self[CHECKS]
        try:
            if isinstance(asked, str) and not asked.strip():
                return ()
            if isinstance(asked, str) and asked.lstrip().startswith(("{", "[")):
                asked = parse(asked)
            return checks_from(asked, self._added, self._folder)
        except ValueError as error:
            raise ConfigError(f"{self.source}: {CHECKS}: {error}") from None

    def copied(self) -> Case:
        """The same with lists and dicts of its own."""
        return replace(self, _fields=copy.deepcopy(self._fields))

    def __getitem__(self, name: str) -> Any:
        __tracebackhide__ = True
        try:
            return self._fields[name]
        except KeyError:
            hint = did_you_mean(str(name), self._fields)
            raise KeyError(f"the case at {self.source} has no field {name!r}: {hint}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"<case {self.id!r} of {self.source}>"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no case, or none for the test that asks.

    Attributes:
        id: stands for the case in the test's id.
        problem: what is wrong, where, and the remedy.
    """

    id: str
    problem: str


@dataclass(frozen=True, slots=True)
class CaseFile:
    """What a file holds.

    Attributes:
        shown: the file's path, for messages.
        lines: its cases in their order, and among them the lines that are none; at least one is a case.
    """

    shown: str
    lines: tuple[Case | BadLine, ...]

    @property
    def fields(self) -> frozenset[str]:
        """The names of fields that at least one case has."""
        return frozenset(name for case in self.lines if isinstance(case, Case) for name in case)
