"""A model's file whose chat template means harm: its test fails, and the run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    import pytest

    from tests.support.projects import Project


def declare(project: Project) -> None:
    tiny_llama(project.path / "bad.gguf", chat_template="{{ 10**(10**8) }}")
    project.declare("f16", bad=project.path / "bad.gguf")
    project.tests(
        "def test_bad(llms): llms['bad'].chat('one')\n"
        "def test_good(llm): assert llm.chat('one').text\n"
        "def test_good_too(llm): assert llm.chat('two').text\n"
    )


def judge(result: pytest.RunResult) -> None:
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*PromptError: the chat template of model 'bad': stopped after 1 s of computing*"]
    )


def test_the_run_goes_on(project: Project) -> None:
    declare(project)
    judge(project.run(apart=True))


def test_with_workers(project: Project) -> None:
    declare(project)
    judge(project.run("-n", "2", using=("xdist",), apart=True))
