"""`llm.count`, the checks on it, and a prompt that does not fit."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.engines.llama import words
from tests.support.projects import errors

if TYPE_CHECKING:
    from tests.support.projects import Project


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16")


COUNTS = dedent("""
    from pytest_llmcheck import fits_context, prompt_share

    TALK = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]

    def test_it(llm):
        count = llm.count(TALK, system="Be brief.")
        # Every byte is a token here, and so is every control token.
        assert dict(count.parts) == {
            "system": len("system\\nBe brief.\\n") + 2,
            "history": len("user\\none\\n") + len("assistant\\ntwo\\n") + 4,
            "user": len("user\\nthree\\n") + 2,
            "generation": len("assistant\\n") + 1,
        }
        assert count.n_ctx == 512 == count.total + count.left
        count.expect(fits_context(reserve=400), prompt_share(system=0.5))
""")


def test_it_starts_no_host(project: Project, hosts: list[str]) -> None:
    project.tests(COUNTS)
    project.run().assert_outcomes(passed=1)
    assert hosts == []


def test_it_equals_what_the_engine_counts(project: Project) -> None:
    project.tests(
        COUNTS
        + dedent("""
        def test_engine(llm):
            alone = llm.count(TALK, system="Be brief.")
            reply = llm.chat(TALK, system="Be brief.", max_tokens=2)
            assert alone.total == reply.timings.prompt_tokens
            # The host runs now, and says the same.
            assert reply.origin.count() == alone
            assert llm.count("Another.").total == len(llm.render("Another.").token_ids)
            reply.expect(fits_context(reserve=300), prompt_share(history=0.9), without=["finished"])
        """)
    )
    project.run().assert_outcomes(passed=2)


def test_what_was_counted_is_remembered(
    project: Project, hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.tests(COUNTS)
    project.run("--llm-cache", "on").assert_outcomes(passed=1)
    monkeypatch.setattr(words, "SECONDS", 0.0)
    project.run("--llm-cache", "only").assert_outcomes(passed=1)
    assert hosts == []
    # Without the cache the tokenizer is asked, which has no time.
    project.run("--llm-cache", "off").assert_outcomes(failed=1)


def test_checks_of_a_count_are_recorded(project: Project) -> None:
    project.tests(
        "from pytest_llmcheck import fits_context\n"
        "def test_it(llm):\n"
        "    llm.count('one').expect(fits_context(reserve=500))\n"
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    told = errors(result)
    assert told[0].endswith("1 check failed on the prompt for f16")
    assert any(line.startswith("generation ") for line in told)
    (line,) = project.test_lines
    assert [(v.check, v.status) for v in line.verdicts] == [("fits_context(reserve=500)", "failed")]


@pytest.mark.parametrize("ask", ["chat(LONG)", "score(LONG, 'x')"])
def test_a_prompt_that_does_not_fit(project: Project, ask: str) -> None:
    project.tests(f"LONG = 'word ' * 200\ndef test_it(llm):\n    llm.{ask}\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    told = "\n".join(result.outlines)
    assert "tokens and the context holds 512, the reply included" in told
    rows = [line.removeprefix("E").split() for line in result.outlines if line.startswith("E ")]
    assert ["user", "1,008", "99%"] in rows
    assert ["prompt", "1,019"] in rows
    assert ["left", "-507"] in rows


def test_of_several_prompts_the_one_that_does_not_fit(project: Project) -> None:
    project.tests("def test_it(llm):\n    llm.chat_many(['one', 'word ' * 200, 'two'], max_tokens=2)\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert any(line.startswith("E ") and "1,008" in line for line in result.outlines)


def test_a_prompt_too_long_to_be_asked_can_be_counted(project: Project, hosts: list[str]) -> None:
    project.tests("def test_it(llm):\n    assert llm.count('word ' * 200).left == -507\n")
    project.run().assert_outcomes(passed=1)
    assert hosts == []
