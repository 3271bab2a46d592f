"""`@pytest.mark.llm_cases(...)`: a test runs once for each case of a file.

Imported by the first test that carries the mark.
"""

from __future__ import annotations

import inspect
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_llmcheck.cases import CHECKS, BadLine, Case, CaseFile, read_cases
from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.items import CASES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pytest_llmcheck.verdict import Check

CASE = "case"
"""The argument that is given the whole case."""


class _Given(NamedTuple):
    """What stands for an argument until its test is set up."""

    case: Case | BadLine
    name: str


class CaseTests:
    """The tests with cases of one pytest process."""

    _KEY = pytest.StashKey["CaseTests"]()
    _GIVEN = pytest.StashKey[tuple[_Given, ...]]()

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._root = config.rootpath
        self._files: dict[tuple[Path, str | None], CaseFile] = {}
        self._arguments: dict[str, list[str]] = {}
        self._wrong: dict[str, str] = {}

    @classmethod
    def of(cls, config: pytest.Config) -> CaseTests:
        """Those of this process."""
        return config.stash.setdefault(cls._KEY, cls(config))

    # -- collection -----------------------------------------------------------------------------

    def multiply(self, metafunc: pytest.Metafunc) -> None:
        """Run the test once for each case. A mistake stays with the test, and is told when it is set up."""
        test = metafunc.definition
        try:
            file = self._file_of(test)
            names = _arguments(metafunc, file)
        except ConfigError as error:
            self._wrong[test.nodeid] = str(error)
            return
        self._arguments[test.nodeid] = names
        lines = [_for_test(line, names) for line in file.lines]
        metafunc.parametrize(
            names, [pytest.param(*(_Given(line, name) for name in names), id=line.id) for line in lines]
        )

    def _file_of(self, test: pytest.Function) -> CaseFile:
        path, id_field = _said(test)
        path = Path(os.path.normpath(test.path.parent / path))
        if (path, id_field) not in self._files:
            shown = os.path.relpath(path, self._root)
            self._files[path, id_field] = read_cases(path, id_field=id_field, shown=shown, added=self._added)
        return self._files[path, id_field]

    @cached_property
    def _added(self) -> Mapping[str, Callable[..., Check]]:
        from pytest_llmcheck.added_checks import added_checks

        return added_checks(self._config)

    # -- the running test -----------------------------------------------------------------------

    def prepare(self, item: pytest.Item) -> None:
        """Before a test with the mark: its arguments, or why there are none."""
        function = f"{item.parent.nodeid if item.parent else ''}::{getattr(item, 'originalname', item.name)}"
        if function in self._wrong:
            pytest.fail(self._wrong[function], pytrace=False)
        if function not in self._arguments:
            pytest.fail(
                f"@pytest.mark.{CASES} of {item.nodeid}: only test functions and methods of plain classes "
                "can be run once for each case; unittest classes cannot",
                pytrace=False,
            )
        params: dict[str, Any] = item.callspec.params  # type: ignore[attr-defined]  # of a multiplied item
        if self._GIVEN not in item.stash:
            item.stash[self._GIVEN] = tuple(params[name] for name in self._arguments[function])
        for case, name in item.stash[self._GIVEN]:
            if isinstance(case, BadLine):
                pytest.fail(case.problem, pytrace=False)
            # The same lists and dicts are given to this test on other models.
            own = case.copied()
            params[name] = own if name == CASE else own.checks if name == CHECKS else own[name]

    def locate(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Say of a failed test where its case stands."""
        for case, _ in item.stash.get(self._GIVEN, ())[:1]:
            if isinstance(case, Case):
                report.sections.append(("llmcheck case", f"{case.id}, {case.source}"))


def _said(test: pytest.Function) -> tuple[Path, str | None]:
    """The file and the field of ids that the mark names; the closest mark counts.

    Raises:
        ConfigError: the mark is wrong, or there are two on one test.
    """
    (node, mark), *others = test.iter_markers_with_node(CASES)
    here = f"@pytest.mark.{CASES} of {test.nodeid}"
    if any(other is node for other, _ in others):
        raise ConfigError(f"{here}: given twice; a test takes its cases from one file")
    if unknown := sorted({*mark.kwargs} - {"id"}):
        raise ConfigError(f"{here} has an unknown keyword {unknown[0]!r}: {did_you_mean(unknown[0], ['id'])}")
    if len(mark.args) != 1 or not isinstance(mark.args[0], str | Path):
        given = ", ".join(map(repr, mark.args)) or "nothing"
        raise ConfigError(f'{here} takes the path of one file, such as "cases.jsonl", got {given}')
    id_field = mark.kwargs.get("id")
    if id_field is not None and (not isinstance(id_field, str) or not id_field):
        raise ConfigError(f"{here}: id takes the name of a field, got {id_field!r}")
    return Path(mark.args[0]), id_field


def _arguments(metafunc: pytest.Metafunc, file: CaseFile) -> list[str]:
    """Which of the names that a test and its fixtures ask for are to come from the file.

    Raises:
        ConfigError: none, or a name that is unknown, or one that something else gives too.
    """
    offered = file.fields | {CASE}
    # pytest has no public name for it: the fixtures that the test sees, and what other marks parametrise.
    # `request` has no definition.
    taken = {*metafunc._arg2fixturedefs, "request"}
    for argument in inspect.signature(metafunc.function).parameters.values():
        if problem := _problem_of(argument, metafunc.fixturenames, offered, taken):
            raise ConfigError(f"{metafunc.definition.nodeid} takes cases from {file.shown}, {problem}")
    # Those of the test's fixtures too: a fixture may ask for a field, as it may for what a mark parametrises.
    names = [name for name in metafunc.fixturenames if name in offered - taken]
    if not names:
        raise ConfigError(
            f"{metafunc.definition.nodeid} takes cases from {file.shown}, and uses nothing of them; give it "
            f"the argument `{CASE}`, or one of the fields: {', '.join(sorted(file.fields))}"
        )
    return names


def _problem_of(
    argument: inspect.Parameter, asked: Collection[str], offered: Collection[str], taken: Collection[str]
) -> str | None:
    """Why an argument of a test cannot be given; None if it can, or if that is not for us to do."""
    name = argument.name
    instead = f"take `{CASE}` and use {CASE}[{name!r}]"
    if name not in asked:
        # pytest gives nothing to an argument with a default value.
        if name in offered and argument.default is not argument.empty:
            return f"and its argument {name!r} has a default value, which would always win; {instead}"
        return None
    if name in offered and name in taken:
        remedy = "rename that" if name == CASE else f"rename the one or the other, or {instead}"
        return f"and there is a fixture or parameter {name!r} besides; {remedy}"
    if name not in offered and name not in taken:
        return f"which has no field {name!r}: {did_you_mean(name, offered)}"
    return None


def _for_test(line: Case | BadLine, names: Collection[str]) -> Case | BadLine:
    """The same, if it has all that the test takes of it."""
    if isinstance(line, BadLine):
        return line
    if lacking := [name for name in names if name != CASE and name not in line]:
        return BadLine(
            line.id,
            f"{line.source}: has no field {lacking[0]!r}, which the test takes; it has {', '.join(line)}",
        )
    if CHECKS in names:
        # Told now, not after the model was asked.
        try:
            _ = line.checks
        except ConfigError as error:
            return BadLine(line.id, str(error))
    return line
