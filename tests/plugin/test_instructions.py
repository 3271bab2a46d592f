"""Instruction checks, as a user sees them in a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import errors
from tests.support.steered import steered_llama

if TYPE_CHECKING:
    from tests.support.projects import Project

HEAD = "from pytest_llmcheck import *\n"


@pytest.fixture(autouse=True)
def _says_yes(project: Project) -> None:
    steered_llama(project.path / "says.gguf", "Oh, yes\nMA")
    project.write("pyproject.toml", "[tool.llmcheck.models.says]\ngguf = 'says.gguf'\nn_ctx = 256\n")


def test_strict_and_loose(project: Project) -> None:
    project.tests(
        HEAD + "def test_a(llm): llm.chat('x').expect(follows(no_commas(), words(at_most=4), uppercase()))\n"
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    said = errors(result)
    assert [line for line in said if not line.startswith("the token there")] == [
        "pytest_llmcheck.CheckFailed: 1 check failed on says, F16",
        "follows(no_commas(), words(at_most=4), uppercase()): 1 of 3 instructions followed, loosely 3",
        "no_commas(): expected no comma, got 1 comma:",
        "Oh, yes",
        "^",
        "loosely it is followed",
        "uppercase(): expected only capital letters, got 4 lower-case ones; the first:",
        "Oh, yes",
        "^",
        "loosely it is followed",
        r"reply: 'Oh, yes\nMA'",
    ]
    assert sum(line.startswith("the token there: ',' ") for line in said) == 1


def test_an_undecided_language_is_no_pass(project: Project) -> None:
    project.tests(HEAD + "def test_a(llm): llm.chat('x').expect(language('de'), words(at_most=9))\n")
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED * inconclusive: language('de'): expected German (de); no language can be told *"]
    )
    project.run("--llm-strict").assert_outcomes(failed=1)


def test_checks_that_are_made_wrongly_point_at_the_test(project: Project) -> None:
    wrong = [
        "words()",
        "words(at_least=0)",
        "keywords('')",
        "forbidden()",
        "language('german')",
        "uppercase(language='xx')",
        "follows()",
        "nth_paragraph_starts_with(2, 'So', paragraphs=1)",
        "instruction('no:such')",
        "instruction('length_constraints:number_words', num_words=0, relation='at least')",
        "instruction('keywords:existence', keywords=[''])",
    ]
    project.tests(HEAD + "".join(f"def test_{number}(): {made}\n" for number, made in enumerate(wrong)))
    result = project.run()
    result.assert_outcomes(failed=len(wrong))
    said = result.stdout.str().replace("\n\n", "\n").splitlines()
    for number, made in enumerate(wrong):
        at = said.index(f">   def test_{number}(): {made}")
        assert re.match(r"E +ValueError: \w", said[at + 1]) or re.match(r"E +ValueError: \w", said[at + 2])
    result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
