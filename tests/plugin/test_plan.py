"""Planning ahead: what the last run asked is handed to the host before the tests ask it."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.session.record import TestLine, read_record

if TYPE_CHECKING:
    from tests.support.projects import Project

TESTS = dedent("""
    import pytest

    @pytest.mark.parametrize("i", range(12))
    def test_one(llm, i):
        assert llm.chat(f"Number {i}", max_tokens=12) is not None
""")
OFF = ("--llm-cache", "off")


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")
    project.tests(TESTS)


def newest(project: Project) -> list[TestLine]:
    path = max(project.records, key=lambda path: path.stat().st_mtime_ns)
    return [line for line in read_record(path) if isinstance(line, TestLine)]


def company(lines: list[TestLine]) -> list[int]:
    return [reply.timings.company for line in lines for reply in line.replies]


def bits(lines: list[TestLine]) -> list[object]:
    return [(reply.text, reply.tokens) for line in lines for reply in line.replies]


def test_the_second_run_asks_in_company_and_gets_the_same(project: Project) -> None:
    assert project.run(*OFF).ret == 0
    first = newest(project)
    assert set(company(first)) == {0}
    assert project.run(*OFF).ret == 0
    second = newest(project)
    assert max(company(second)) >= 1
    assert bits(second) == bits(first)
    assert [line.nodeid for line in second] == [line.nodeid for line in first]


def test_another_model_is_asked_what_the_reference_was_asked(project: Project) -> None:
    project.run(*OFF)
    project.run(*OFF, "--llm-model", "q4")
    planned = newest(project)
    assert {line.model for line in planned} == {"q4"}
    assert max(company(planned)) >= 1
    for record in project.records:
        record.unlink()
    project.run(*OFF, "--llm-model", "q4")
    assert set(company(newest(project))) == {0}
    assert bits(newest(project)) == bits(planned)


def test_only_the_selected_tests_are_planned(project: Project) -> None:
    project.run(*OFF)
    project.run(*OFF, "-k", "3 or 5")
    assert len(newest(project)) == 2
    assert max(company(newest(project))) <= 1


def test_prompts_that_have_changed_are_not_planned(project: Project) -> None:
    project.run(*OFF)
    project.tests(TESTS.replace("Number", "Figure"))
    project.run(*OFF)
    assert set(company(newest(project))) == {0}


def test_what_is_known_already_is_not_asked_again(project: Project) -> None:
    project.run("-k", "not 7", "--llm-cache", "refresh")
    project.run("--llm-cache", "on")
    lines = newest(project)
    assert [line.nodeid for line in lines if not all(reply.cached for reply in line.replies)] == [
        "test_it.py::test_one[7]"
    ]


def test_a_run_that_stops_gives_up_what_it_planned(project: Project) -> None:
    project.run(*OFF)
    project.tests(TESTS + "        assert i < 2\n".replace("        ", "    ", 1))
    result = project.run(*OFF, "-x")
    result.assert_outcomes(passed=2, failed=1)
    assert len(newest(project)) == 3


@pytest.mark.parametrize("text", ["", "{", '{"line":"run","version":1}\n'])
def test_records_that_cannot_be_read_plan_nothing(project: Project, text: str) -> None:
    folder = project.path / ".llmcheck" / "runs"
    folder.mkdir(parents=True)
    (folder / "20200101T000000Z-aaaaaa.jsonl").write_text(text, encoding="utf-8")
    assert project.run(*OFF).ret == 0
