"""A file of cases, read once and as a whole, so that every mistake in it is known before a test runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmcheck.cases.case import BadLine, Case, CaseFile
from pytest_llmcheck.cases.ids import made_of
from pytest_llmcheck.cases.rows import decoded, of_csv, of_json_lines, of_tabs
from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_llmcheck.cases.rows import Row
    from pytest_llmcheck.verdict import Check

SUFFIXES = {".jsonl": of_json_lines, ".ndjson": of_json_lines, ".csv": of_csv, ".tsv": of_tabs}
"""Endings of files of cases, and how each is read."""

ID = "id"
"""The field that is a case's id where a file has it."""

_LONGEST_ID = 100
_TOLD = 5


def read_cases(
    path: Path,
    *,
    id_field: str | None = None,
    shown: str | None = None,
    added: Mapping[str, Callable[..., Check]] | None = None,
) -> CaseFile:
    """The cases of a file.

    Args:
        path: a file in UTF-8 whose name ends in one of `SUFFIXES`.
        id_field: the field that is the id of each case, which every line must have. None takes ``id`` where a
            line has it, and makes an id of the fields where not.
        shown: the path as messages show it.
        added: checks that the cases may name, besides those of this package.

    Raises:
        ConfigError: the file cannot be read as a whole, or holds no case.
    """
    shown = shown or str(path)
    text = _text_of(path, shown)
    found = _Collector(shown, id_field, added or {}, path.parent)
    for row in SUFFIXES[path.suffix.lower()](text, shown):
        found.add(row)
    return found.file()


class _Collector:
    """Gives ids, and sees to it that none is given twice."""

    def __init__(
        self, shown: str, id_field: str | None, added: Mapping[str, Callable[..., Check]], folder: Path
    ) -> None:
        self._added = added
        self._folder = folder
        self._shown = shown
        self._id_field = id_field
        self._lines: list[tuple[int, Case | str]] = []
        self._first: dict[str, int] = {}

    def add(self, row: Row) -> None:
        self._lines.append((row.line, self._case(row)))

    def file(self) -> CaseFile:
        bad = [f"{self._at(line)}: {told}" for line, told in self._lines if isinstance(told, str)]
        if not self._first:
            if not bad:
                raise ConfigError(f"{self._shown} holds no cases; write one to a line")
            more = [f"... and {len(bad) - _TOLD} more lines"] if len(bad) > _TOLD else []
            raise ConfigError("\n".join([*bad[:_TOLD], *more]))
        return CaseFile(
            self._shown,
            tuple(
                BadLine(self._free(f"line_{line}"), f"{self._at(line)}: {told}")
                if isinstance(told, str)
                else told
                for line, told in self._lines
            ),
        )

    def _case(self, row: Row) -> Case | str:
        """The case, or what is wrong with it."""
        if row.fields is None:
            return row.problem
        name = self._id_field or ID
        given = name in row.fields
        if not given and self._id_field is not None:
            return f"has no field {name!r}, which is to be the id: {did_you_mean(name, row.fields)}"
        try:
            id_ = _checked_id(row.fields[name]) if given else made_of(row.fields)
        except RecursionError:
            return "nested too deeply"
        if id_ is None:
            return (
                f"the id (field {name!r}) must be a text of 1 to {_LONGEST_ID} characters or a whole number, "
                f"got {_shortened(row.fields[name])}"
            )
        if (first := self._first.setdefault(id_, row.line)) != row.line:
            if given:
                return f"the id {id_!r} is also that of line {first}; give each case its own"
            return f"says the same as line {first}; take one of them away, or give each an {ID!r}"
        return Case(id_, self._at(row.line), row.fields, self._added, self._folder)

    def _at(self, line: int) -> str:
        return f"{self._shown}:{line}"

    def _free(self, id_: str) -> str:
        while id_ in self._first:
            id_ += "_"
        return id_


def _text_of(path: Path, shown: str) -> str:
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ConfigError(f"{shown}: cases are read from files that end in {known}, not {path.suffix!r}")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{shown} does not exist{_near(path)}") from None
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}") from None
    return decoded(raw, shown)


def _near(path: Path) -> str:
    """A hint at a file of cases that is there."""
    try:
        there = [file.name for file in path.parent.iterdir() if file.suffix.lower() in SUFFIXES]
    except OSError:
        return f", nor does its folder {path.parent.name!r}"
    return f": {did_you_mean(path.name, there)}" if there else "; its folder has no file of cases"


def _checked_id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= len(value) <= _LONGEST_ID:
        return None
    return value


def _shortened(value: object) -> str:
    shown = visible(repr(value))
    return shown if len(shown) <= _LONGEST_ID else f"{shown[: _LONGEST_ID - 3]}..."
