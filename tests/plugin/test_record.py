"""What a run leaves behind: the run record and the table at the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.session.record import EndLine, RunLine, TestLine
from tests.support.projects import UNSURE, table

if TYPE_CHECKING:
    from tests.support.projects import Project

SOURCE = (
    "import pytest\n"
    "from pytest_llmcheck import contains, matches\n"
    "from unsure import Unsure\n"
    "def test_good(llm):\n"
    "    llm.chat('one').expect(matches('.'))\n"
    "    llm.chat('no', temperature=0.5, seed=7)\n"
    "def test_bad(llm): llm.chat('one').expect(contains('never'), matches('.'))\n"
    "def test_open(llm): llm.chat('x').expect(Unsure())\n"
    "def test_silent(llm): pass\n"
    "def test_plain(): pass\n"
)


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")
    project.write("unsure.py", UNSURE)
    project.tests(SOURCE)


class TestRecord:
    def test_one_file_with_every_reply_and_verdict(self, project: Project) -> None:
        result = project.run()
        (file,) = project.records
        result.stdout.fnmatch_lines([f"run record: .llmcheck/runs/{file.name}"])
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}\.jsonl", file.name)
        assert (project.path / ".llmcheck" / ".gitignore").read_text() == "*\n"

        first, *tests, last = project.record
        assert isinstance(first, RunLine)
        assert (first.version, first.reference) == (1, "f16")
        assert isinstance(last, EndLine)
        assert last.exit_status == pytest.ExitCode.TESTS_FAILED
        lines = [line for line in tests if isinstance(line, TestLine)]
        assert len(lines) == len(tests)
        assert [(line.nodeid, line.test, line.model, line.outcome) for line in lines] == [
            ("test_it.py::test_good", "test_it.py::test_good", "f16", "passed"),
            ("test_it.py::test_bad", "test_it.py::test_bad", "f16", "failed"),
            ("test_it.py::test_open", "test_it.py::test_open", "f16", "skipped"),
            ("test_it.py::test_silent", "test_it.py::test_silent", "f16", "passed"),
        ]
        good, bad, undecided, silent = lines
        greedy, sampled = good.replies
        assert greedy.prompt == "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n"
        assert (greedy.finish_reason, greedy.fingerprint.sampling.temperature) == ("stop", 0.0)
        assert (sampled.fingerprint.sampling.temperature, sampled.fingerprint.sampling.seed) == (0.5, 7)
        assert len(greedy.tokens) == len(greedy.text) + 1  # a token each, and the end
        assert greedy.text in bad.reason
        assert [(v.check, v.status) for v in bad.verdicts] == [
            ("contains('never')", "failed"),
            ("matches('.')", "passed"),
        ]
        assert (undecided.reason, undecided.verdicts[0].status) == (
            "inconclusive: unsure(): 5 samples cannot tell",
            "inconclusive",
        )
        assert (silent.replies, silent.verdicts, silent.reason) == ((), (), "")

    def test_several_models_share_the_name_of_the_test(self, project: Project) -> None:
        project.run("--llm-model", "all", "-k", "good or bad")
        assert [(line.nodeid, line.test, line.model) for line in project.test_lines] == [
            (f"test_it.py::{name}[{model}]", f"test_it.py::{name}", model)
            for model in ("f16", "q4")
            for name in ("test_good", "test_bad")
        ]

    def test_tests_that_are_not_multiplied_have_no_model(self, project: Project) -> None:
        project.tests("def test_a(llms): assert llms['f16'].chat('one') != llms['q4'].chat('one')\n")
        result = project.run("--llm-model", "all")
        result.assert_outcomes(passed=1)
        (line,) = project.test_lines
        assert (line.model, [reply.fingerprint.model for reply in line.replies]) == (None, ["f16", "q4"])
        assert table(result) == ["not run per model: 1 test, none fails"]

    def test_what_ends_early_keeps_what_it_had(self, project: Project) -> None:
        project.tests(
            "def test_a(llm): llm.chat('one')\n"
            "def test_b(llm):\n    llm.chat('one')\n    raise KeyboardInterrupt\n"
            "def test_c(llm): pass\n"
        )
        result = project.run(apart=True)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert [line.nodeid for line in project.test_lines] == ["test_it.py::test_a"]
        last = project.record[-1]
        assert isinstance(last, EndLine)
        assert last.exit_status == pytest.ExitCode.INTERRUPTED

    def test_where_none_can_be_written_the_tests_run_all_the_same(self, project: Project) -> None:
        (project.path / ".llmcheck").write_text("a file is in the way")
        result = project.run("-k", "good")
        result.assert_outcomes(passed=1, deselected=4)
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            ["f16 (F16, CPU): reference, passes 1 of 1 test", "no run record: * '*.llmcheck*'"]
        )

    @pytest.mark.parametrize("options", [["-k", "plain"], ["--collect-only"]])
    def test_no_test_asked_a_model(self, project: Project, options: list[str]) -> None:
        result = project.run(*options)
        assert result.ret == 0
        assert not (project.path / ".llmcheck").exists()
        result.stdout.no_fnmatch_line("=* llmcheck =*")


class TestTable:
    def test_of_one_model(self, project: Project) -> None:
        result = project.run()
        result.assert_outcomes(passed=3, failed=1, skipped=1)
        lines = [line.rstrip() for line in table(result)]
        reply = next(line.replies[0].text for line in project.test_lines)
        assert lines == [
            "                         f16",
            "test_it.py::test_good    passed",
            "test_it.py::test_bad     FAILED",
            "test_it.py::test_open    undecided",
            "test_it.py::test_silent  passed",
            "",
            "f16 (F16, CPU): the reference itself fails 1 of 4 tests",
            "",
            "why f16 fails test_it.py::test_bad:",
            "  1 of 2 checks failed on f16, F16",
            "    contains('never'): expected the text in the reply; missing: 'never'",
            f"    reply: {reply!r}",
            "",
            "undecided, which is neither passed nor failed:",
            "  test_it.py::test_open",
            "    inconclusive: unsure(): 5 samples cannot tell",
        ]

    def test_of_several_tells_what_the_reference_passes_and_the_candidate_does_not(
        self, project: Project
    ) -> None:
        project.tests(
            "import pytest\n"
            "from pytest_llmcheck import contains, matches\n"
            "def test_good(llm): llm.chat('one').expect(matches('.'))\n"
            "def test_both(llm): llm.chat('one').expect(contains('never'))\n"
            "def test_flip(llm): assert llm.spec.name == 'f16', 'the candidate breaks it'\n"
            "@pytest.mark.llm(models=['q4'])\n"
            "def test_only(llm): llm.chat('one')\n"
        )
        result = project.run("--llm-model", "q4,f16")
        result.assert_outcomes(passed=4, failed=3)
        assert [line.rstrip() for line in table(result)[:10]] == [
            "                       f16     q4",
            "test_it.py::test_good  passed  passed",
            "test_it.py::test_both  FAILED  FAILED",
            "test_it.py::test_flip  passed  FAILED",
            "test_it.py::test_only  -       passed",
            "",
            "f16 (F16, CPU): the reference itself fails 1 of 3 tests",
            "q4 (F16, CPU): BROKEN, fails 2 of 4 tests; 1 of them fail on f16 too",
            "",
            "why q4 fails test_it.py::test_flip:",
        ]
        assert table(result)[10] == "  the candidate breaks it"

    def test_a_safe_candidate(self, project: Project) -> None:
        result = project.run("--llm-model", "all", "-k", "good or silent or plain")
        result.assert_outcomes(passed=5, deselected=4)
        assert [line.rstrip() for line in table(result)] == [
            "                         f16     q4",
            "test_it.py::test_good    passed  passed",
            "test_it.py::test_silent  passed  passed",
            "",
            "f16 (F16, CPU): reference, passes 2 of 2 tests",
            "q4 (F16, CPU): safe, passes all 2 tests",
        ]
