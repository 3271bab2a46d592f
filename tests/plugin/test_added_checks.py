"""Checks that a project adds by a hook, and its files of cases name."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.projects import Project

TEST = dedent("""
    import pytest
    from types import SimpleNamespace

    @pytest.mark.llm_cases("cases.jsonl")
    def test_it(said, case):
        for check in case.checks:
            verdict = check(SimpleNamespace(text=said, finish_reason="stop"))
            assert verdict.status == "passed", f"{verdict.check}: {verdict.reason}"
    """)
CONFTEST = dedent("""
    from pytest_llmcheck import check, contains

    @check("shorter")
    def shorter(reply, *, letters=5):
        return len(reply.text) < letters or f"{len(reply.text)} letters"

    def pytest_llmcheck_checks(config):
        return {"shorter": shorter, "greets": lambda name: contains(f"Hello {name}")}
    """)


def write(project: Project, conftest: str, *checks: str) -> None:
    project.write("conftest.py", conftest)
    lines = [f'{{"id": "c{at}", "said": "Hello Eva", "checks": {named}}}' for at, named in enumerate(checks)]
    project.write("cases.jsonl", "\n".join(lines))
    project.tests(TEST)


def test_they_are_named_beside_ours(project: Project) -> None:
    write(
        project,
        CONFTEST,
        '{"greets": "Eva", "contains": "Eva"}',
        '{"not": {"shorter": {"letters": 9}}, "shorter": {"letters": 10}}',
        '"shorter"',
        '{"greet": "Eva"}',
    )
    result = project.run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*AssertionError: shorter(): 9 letters*"])
    result.stdout.fnmatch_lines(
        ["*cases.jsonl:4: checks: no check is called 'greet': did you mean 'greets'?"]
    )


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("['shorter']", "*returned ?'shorter'?; it must return functions that make checks, by name*"),
        ("{'a': 3}", "*pytest_llmcheck_checks returned 'a': 3; expected a name and a function*"),
        (
            "{'contains': print}",
            "*pytest_llmcheck_checks: the name 'contains' is taken by pytest-llmcheck; give the check an*",
        ),
    ],
)
def test_what_cannot_be_added(project: Project, returned: str, message: str) -> None:
    write(project, f"def pytest_llmcheck_checks(config): return {returned}\n", '{"contains": "Eva"}')
    result = project.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines([message])
