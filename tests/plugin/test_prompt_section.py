"""The section of a failed test's report that shows what the model saw."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import UNSURE

if TYPE_CHECKING:
    from tests.support.projects import Project

ONE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant"


def section(result: pytest.RunResult) -> str:
    """The text of the only such section, without its trailing blanks."""
    lines = result.outlines
    (start,) = (at for at, line in enumerate(lines) if re.fullmatch("-+ llmcheck prompt -+", line))
    end = next(at for at in range(start + 1, len(lines)) if re.match("[-=_]{4,}", lines[at]))
    return "\n".join(lines[start + 1 : end]).rstrip()


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_failed_test_shows_its_prompt(project: Project, workers: tuple[str, ...]) -> None:
    project.tests(
        "def test_good(llm):\n    llm.chat('good', max_tokens=4)\n"
        "def test_bad(llm):\n    assert llm.chat('bad', max_tokens=4).text == 'never'\n"
    )
    result = project.run(*workers, using=("xdist",) if workers else (), apart=bool(workers))
    result.assert_outcomes(passed=1, failed=1)
    text = ONE.format("bad")
    # The tiny model's tokens are bytes, and three control tokens.
    tokens = len(text) + 1 - 2 * len("<|im_start|>") - len("<|im_end|>") + 3
    head = f"[f16: {tokens} tokens, {len(text) + 1} characters, ends with a line break]"
    assert section(result) == f"{head}\n{text}"


def test_each_prompt_once_and_only_the_last_ones(project: Project) -> None:
    project.tests(
        "def test_bad(llm, llms):\n"
        "    for n in range(4):\n"
        "        llm.chat(f'number {n}', max_tokens=2)\n"
        "    llms['q4'].sample('number 3', n=5, temperature=1.0, max_tokens=2).texts\n"
        "    assert False\n"
    )
    said = section(project.run())
    assert re.findall(r"^[\[(].*", said, re.MULTILINE) == [
        "(the last 3 of 5 prompts)",
        "[f16: 27 tokens, 58 characters, ends with a line break]",
        "[f16: 27 tokens, 58 characters, ends with a line break]",
        "[q4: 27 tokens, 58 characters, ends with a line break, asked 5 times]",
    ]
    assert re.findall(r"number \d", said) == ["number 2", "number 3", "number 3"]


def test_the_same_text_with_other_tokens_is_another_prompt(project: Project) -> None:
    project.tests(
        "from pytest_llmcheck import resists_forged_turns\n"
        "def test_bad(llm):\n"
        "    reply = llm.chat('a<|im_end|>b', max_tokens=8)\n"
        "    reply.expect(resists_forged_turns(), without=['finished'])\n"
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    assert re.findall(r"^\[.*", section(result), re.MULTILINE) == [
        "[f16: 22 tokens, 62 characters, ends with a line break]",
        "[f16: 31 tokens, 62 characters, ends with a line break, control tokens of users and tools are "
        "letters]",
    ]


def test_a_long_one_is_cut_in_its_middle(project: Project) -> None:
    project.tests(
        "def test_bad(llm):\n"
        "    llm.chat('a' * 150 + 'b' * 100 + 'c' * 150, max_tokens=2)\n"
        "    assert False\n"
    )
    project.write("conftest.py", "import pytest_llmcheck.reports.prompts as room\nroom.CHARACTERS = 300\n")
    said = section(project.run(apart=True))
    whole = ONE.format("a" * 150 + "b" * 100 + "c" * 150) + "\n"
    left_out = len(whole) - 300
    head, *rest = said.split("\n", 1)
    assert head.startswith("[f16: ")
    assert rest == [f"{whole[:150]}\n[... {left_out} characters left out ...]\n{whole[-150:]}".rstrip()]


def test_control_characters_are_escaped(project: Project) -> None:
    project.tests("def test_bad(llm):\n    llm.chat('a\\x1b[31mb\\r\\tc', max_tokens=2)\n    assert False\n")
    assert "\na\\x1b[31mb\\r\tc<|im_end|>\n".expandtabs() in section(project.run()).expandtabs()


def test_what_a_fixture_asked_is_shown_with_the_test(project: Project) -> None:
    project.tests(
        "import pytest\n"
        "@pytest.fixture\n"
        "def story(llm):\n    return llm.chat('story', max_tokens=2)\n"
        "def test_bad(story):\n    assert False\n"
    )
    assert "\nstory<|im_end|>" in section(project.run())


def test_a_fixture_that_fails_shows_it_too(project: Project) -> None:
    project.tests(
        "import pytest\n"
        "@pytest.fixture\n"
        "def story(llm):\n    assert llm.chat('story', max_tokens=2).text == 'never'\n"
        "def test_bad(story):\n    pass\n"
    )
    result = project.run()
    result.assert_outcomes(errors=1)
    assert "\nstory<|im_end|>" in section(result)


def test_nothing_is_shown_where_nothing_was_asked_or_nothing_failed(project: Project) -> None:
    project.tests(
        "def test_silent(llm):\n    assert False\ndef test_good(llm):\n    llm.chat('good', max_tokens=2)\n"
    )
    result = project.run("-rA")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*llmcheck prompt*")


def test_a_test_that_only_strict_fails(project: Project) -> None:
    project.write("unsure.py", UNSURE)
    project.tests(
        "from unsure import Unsure\n"
        "def test_open(llm):\n    llm.chat('open', max_tokens=60).expect(Unsure(), without=['finished'])\n"
    )
    assert "\nopen<|im_end|>" in section(project.run("--llm-strict"))
    project.run().stdout.no_fnmatch_line("*llmcheck prompt*")
