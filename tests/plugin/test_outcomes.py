"""Failed, undecided and skipped tests, as pytest reports them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import UNSURE, errors, table

if TYPE_CHECKING:
    from tests.support.projects import Project

HEAD = "import pytest\nfrom pytest_llmcheck import Status, contains, matches\nfrom unsure import Unsure\n"


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")
    project.write("unsure.py", UNSURE)


class TestFailed:
    def test_every_failed_check_is_told_at_once_at_the_tests_own_line(self, project: Project) -> None:
        project.tests(
            "from pytest_llmcheck import contains, matches\n"
            "def test_a(llm):\n"
            "    reply = llm.chat('one')\n"
            "    reply.expect(contains('never'), matches('.'), contains('either', 'or'))\n"
        )
        result = project.run()
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        said = errors(result)
        assert re.fullmatch("reply: '.+'", said.pop())
        assert said == [
            "pytest_llmcheck.CheckFailed: 2 of 3 checks failed on f16, F16",
            "contains('never'): expected the text in the reply; missing: 'never'",
            "contains('either', 'or'): expected all 2 texts in the reply; missing: 'either', 'or'",
        ]
        result.stdout.fnmatch_lines(
            [
                "    def test_a(llm):",
                "        reply = llm.chat('one')",
                ">       reply.expect(contains('never'), matches('.'), contains('either', 'or'))",
                "E       pytest_llmcheck.CheckFailed: *",
            ],
            consecutive=True,
        )
        result.stdout.fnmatch_lines(["test_it.py:4: CheckFailed"])
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")

    @pytest.mark.parametrize(
        "made",
        [
            "contains('')",
            "matches('(')",
            "matches_schema({'type': 'objekt'})",
            "matches_schema('nowhere.json')",
            "matches_schema({'$ref': '#/nowhere'})",
            "matches_schema({'$schema': 'nowhere'})",
            "thought()",
            "fits_context(reserve=0)",
            "prompt_share(system=80)",
        ],
    )
    def test_a_check_that_is_made_wrongly_points_at_the_test(self, project: Project, made: str) -> None:
        project.tests(f"from pytest_llmcheck import *\ndef test_a(): {made}\n")
        result = project.run()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([f">   def test_a(): {made}", "E   ValueError: *"])
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")

    def test_the_short_summary_says_which_check_of_which_model(self, project: Project) -> None:
        project.tests(
            HEAD + "def test_a(llm): llm.chat('one').expect(contains('never'))\n"
            "def test_b(llm): assert llm.spec.name == 'f16'\n"
        )
        result = project.run("--llm-model", "all")
        result.assert_outcomes(passed=1, failed=3)
        result.stdout.fnmatch_lines(
            [
                "FAILED test_it.py::test_a[[]f16] - *CheckFailed: 1 check failed on f16, *",
                "FAILED test_it.py::test_a[[]q4] - *CheckFailed: 1 check failed on q4, *",
                "FAILED test_it.py::test_b[[]q4] - *",
            ]
        )

    def test_a_reply_that_was_cut_is_named_first(self, project: Project) -> None:
        project.tests(
            HEAD + "def test_a(llm): llm.chat('one', max_tokens=2).expect(contains('never'))\n"
            "def test_b(llm): llm.chat('one', max_tokens=2).expect(without=['finished'])\n"
        )
        result = project.run()
        result.assert_outcomes(passed=1, failed=1)
        assert errors(result)[1:3] == [
            "finished(): expected the model to end its reply, but it was cut at max_tokens: raise max_tokens "
            "(in the call, the llm mark or [tool.llmcheck]), or ask for a shorter reply",
            "contains('never'): expected the text in the reply; missing: 'never'",
        ]

    def test_a_failure_in_a_fixture_is_an_error_of_every_test_that_needs_it(self, project: Project) -> None:
        project.tests(
            HEAD + "@pytest.fixture(scope='module')\n"
            "def reply(llm): return llm.chat('one').expect(contains('never'))\n"
            "def test_a(reply): pass\n"
            "def test_b(reply): pass\n"
        )
        result = project.run()
        result.assert_outcomes(errors=2)
        assert table(result)[1:3] == ["test_it.py::test_a  ERROR", "test_it.py::test_b  ERROR"]


class TestUndecided:
    SOURCE = (
        HEAD + "def test_inconclusive(llm): llm.chat('one').expect(Unsure())\n"
        "def test_inapplicable(llm):\n"
        "    reply = llm.chat('one')\n"
        "    reply.expect(Unsure(Status.NOT_APPLICABLE, 'no clock'), matches('.'))\n"
        "    reply.expect(Unsure())\n"
        "def test_failed(llm): llm.chat('one').expect(Unsure(), contains('never'))\n"
        "def test_passed(llm): llm.chat('one').expect(matches('.'))\n"
    )

    def test_it_is_skipped_with_category_and_reason(self, project: Project) -> None:
        project.tests(self.SOURCE)
        result = project.run("-rs")
        result.assert_outcomes(passed=1, skipped=2, failed=1)
        result.stdout.fnmatch_lines(
            [
                "SKIPPED [[]1] test_it.py:4: inconclusive: unsure(): 5 samples cannot tell",
                "SKIPPED [[]1] test_it.py:5: not applicable: unsure(): no clock (and 1 more)",
            ]
        )
        assert [line.rstrip() for line in table(result)[1:5]] == [
            "test_it.py::test_inconclusive  undecided",
            "test_it.py::test_inapplicable  undecided",
            "test_it.py::test_failed        FAILED",
            "test_it.py::test_passed        passed",
        ]

    def test_the_reason_is_told_without_asking(self, project: Project) -> None:
        project.tests(self.SOURCE)
        assert table(project.run())[-6:] == [
            "",
            "undecided, which is neither passed nor failed:",
            "  test_it.py::test_inconclusive",
            "    inconclusive: unsure(): 5 samples cannot tell",
            "  test_it.py::test_inapplicable",
            "    not applicable: unsure(): no clock",
        ]

    def test_the_reasons_of_many_on_two_models(self, project: Project) -> None:
        project.tests(
            HEAD + "@pytest.mark.parametrize('case', [1, 2, 3, 4])\n"
            "def test_a(llm, case): llm.chat('one').expect(Unsure(reason=f'case {case // 2}\\nmore'))\n"
        )
        assert table(project.run("--llm-model", "all"))[8:] == [
            "",
            "undecided, which is neither passed nor failed:",
            "  test_it.py::test_a[1-f16]",
            "  test_it.py::test_a[1-q4]",
            "    inconclusive: unsure(): case 0",
            "  test_it.py::test_a[2-f16]",
            "  test_it.py::test_a[3-f16]",
            "    inconclusive: unsure(): case 1",
            "  test_it.py::test_a[4-f16]",
            "    inconclusive: unsure(): case 2",
            "  and 3 more; -rs lists all",
        ]

    def test_strict_fails_it(self, project: Project) -> None:
        project.tests(self.SOURCE)
        result = project.run("--llm-strict")
        assert not [line for line in table(result) if "undecided" in line]
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=1, failed=3)
        prompt = [
            "*- llmcheck prompt -*",
            "[[]f16: 22 tokens, 53 characters, ends with a line break]",
            "<|im_start|>user",
            "one<|im_end|>",
            "<|im_start|>assistant",
        ]
        result.stdout.fnmatch_lines(
            [
                "*_ test_inconclusive _*",
                "inconclusive: unsure(): 5 samples cannot tell",
                "(failed by --llm-strict)",
                *prompt,
                "*_ test_inapplicable _*",
                "not applicable: unsure(): no clock (and 1 more)",
                "(failed by --llm-strict)",
                *prompt,
                "*_ test_failed _*",
            ],
            consecutive=True,
        )

    @pytest.mark.parametrize("scope", ["function", "class", "module", "session"])
    def test_what_a_fixture_left_open_leaves_every_test_open_that_uses_it(
        self, project: Project, scope: str
    ) -> None:
        project.tests(
            f"{HEAD}@pytest.fixture(scope={scope!r})\n"
            "def reply(llm): return llm.chat('one').expect(Unsure())\n"
            "@pytest.fixture\n"
            "def text(reply): return reply.text\n"
            "class TestA:\n"
            "    def test_a(self, reply): pass\n"
            "    def test_b(self, text): pass\n"
            "    def test_other(self, llm): pass\n"
        )
        result = project.run("-rs")
        result.assert_outcomes(passed=1, skipped=2)
        reason = "inconclusive: unsure(): 5 samples cannot tell"
        result.stdout.fnmatch_lines([f"SKIPPED [[]1] test_it.py:{line}: {reason}" for line in (9, 10)])
        assert [line.split()[-1] for line in table(result)[1:4]] == ["undecided", "undecided", "passed"]
        project.run("--llm-strict").assert_outcomes(passed=1, failed=2)

    def test_a_fixture_that_is_made_again_and_decides_leaves_nothing_open(self, project: Project) -> None:
        project.tests(
            HEAD + "@pytest.fixture(scope='module')\n"
            "def reply(llm): return llm.chat('one').expect(*[Unsure()] * (llm.spec.name == 'f16'))\n"
            "def test_a(reply): pass\n"
            "def test_b(reply): pass\n"
        )
        result = project.run("--llm-model", "all")
        assert [line.split()[-2:] for line in table(result)[1:3]] == [["undecided", "passed"]] * 2

    def test_what_is_left_open_after_the_yield_of_a_fixture(self, project: Project) -> None:
        project.tests(
            HEAD + "@pytest.fixture\n"
            "def reply(llm):\n"
            "    yield\n"
            "    llm.chat('one').expect(Unsure())\n"
            "def test_a(reply): pass\n"
        )
        result = project.run()
        assert result.parseoutcomes() == {"passed": 1, "skipped": 1}
        assert table(result)[1].split()[-1] == "undecided"
        project.run("--llm-strict").assert_outcomes(passed=1, errors=1)

    @pytest.mark.parametrize("strict_xfail", ["True", "False"])
    def test_xfail(self, project: Project, strict_xfail: str) -> None:
        mark = f"@pytest.mark.xfail(reason='weak', strict={strict_xfail})\n"
        project.tests(
            f"{HEAD}{mark}def test_failed(llm): llm.chat('one').expect(contains('never'))\n"
            f"{mark}def test_undecided(llm): llm.chat('one').expect(Unsure())\n"
            f"{mark}def test_passed(llm): llm.chat('one').expect(matches('.'))\n"
        )
        result = project.run("-rs")
        passed = "failed" if strict_xfail == "True" else "xpassed"
        assert result.parseoutcomes() == {"xfailed": 1, "skipped": 1, passed: 1}
        result.stdout.fnmatch_lines(["SKIPPED *: inconclusive: unsure(): 5 samples cannot tell"])
        result = project.run("--llm-strict")
        assert result.parseoutcomes()["failed"] == (2 if strict_xfail == "True" else 1)

    def test_subtests(self, project: Project) -> None:
        project.tests(
            HEAD + "def test_a(llm, subtests):\n"
            "    for case in ('one', 'no', 'x'):\n"
            "        with subtests.test(case):\n"
            "            llm.chat(case).expect(contains('never') if case == 'no' else matches('.'))\n"
        )
        result = project.run()
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert table(result)[1] == "test_it.py::test_a  FAILED"
        assert project.tests_asked() == {"test_a": 3}


class TestOff:
    def test_what_needs_a_model_is_skipped_and_nothing_is_written(
        self, project: Project, hosts: list[str]
    ) -> None:
        project.tests(
            HEAD + "@pytest.fixture(scope='module')\n"
            "def reply(llm): return llm.chat('one')\n"
            "def test_a(reply): pass\n"
            "def test_b(llms): pass\n"
            "@pytest.mark.llm(models=['q4'])\n"
            "def test_c(llm): pass\n"
            "def test_d(request): request.getfixturevalue('llm')\n"
            "def test_plain(): pass\n"
        )
        result = project.run("--llm-off", "--llm-model", "all", "-rs")
        result.assert_outcomes(passed=1, skipped=4)
        result.stdout.fnmatch_lines(
            [
                "llmcheck: off",
                *(f"SKIPPED [[]1] test_it.py:{line}: needs a model (--llm-off)" for line in (6, 7, 8, 10)),
            ]
        )
        result.stdout.no_fnmatch_line("=* llmcheck =*")
        assert (hosts, project.records) == ([], [])
