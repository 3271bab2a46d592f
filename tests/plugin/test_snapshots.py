"""`llm_snapshot` end to end: real models answer, baselines are recorded and compared."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import errors, order, table

if TYPE_CHECKING:
    from tests.support.projects import Project

SNAPSHOT = "def test_a(llm, llm_snapshot):\n    assert llm.chat('one') == llm_snapshot\n"
AS_TEXT = SNAPSHOT.replace("== llm_snapshot", "== llm_snapshot(compare='text')")


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4", "q2")
    project.tests(SNAPSHOT)


def commands(result: pytest.RunResult) -> list[str]:
    """The commands that failed tests print, each once, in order."""
    return list(dict.fromkeys(line for line in errors(result) if line.startswith("pytest ")))


class TestRecording:
    def test_a_missing_baseline_fails_with_the_command_that_records_it(self, project: Project) -> None:
        result = project.run()
        result.assert_outcomes(failed=1)
        assert errors(result) == [
            "assert no baseline: __llmcheck__/test_it/test_a.md",
            "nothing was written; the reference 'f16' records it with:",
            "pytest test_it.py::test_a --llm-model f16 --llm-update",
        ]
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
        assert project.baselines == []
        project.run_command(commands(result)[0]).assert_outcomes(passed=1)
        assert project.baselines == ["test_it/test_a.md"]
        project.run().assert_outcomes(passed=1)

    def test_the_command_records_classes_and_parameters(self, project: Project) -> None:
        project.tests(
            "import pytest\n"
            "class TestA:\n"
            "    @pytest.mark.parametrize('case', ['two words'])\n"
            "    def test_x(self, case, llm, llm_snapshot):\n"
            "        assert llm.chat(case) == llm_snapshot\n"
            "@pytest.mark.parametrize('model', ['f16'])\n"
            "def test_own(model, llm, llm_snapshot):\n"
            "    assert llm.chat(model) == llm_snapshot(compare='text')\n"
        )
        result = project.run("--llm-model", "f16,q4")
        told = commands(result)
        assert sorted(told) == [
            "pytest 'test_it.py::TestA::test_x[two words]' --llm-model f16 --llm-update",
            "pytest 'test_it.py::test_own[f16]' --llm-model f16 --llm-update",
        ]
        for command in told:
            project.run_command(command).assert_outcomes(passed=1)
        assert project.baselines == [
            "test_it/TestA.test_x[two_words]~4d479978.md",
            "test_it/test_own[f16].md",
        ]
        project.run().assert_outcomes(passed=2)

    def test_from_another_folder(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(project.pytester.mkdir("below"))
        result = project.run("..")
        assert commands(result) == ["pytest ../test_it.py::test_a --llm-model f16 --llm-update"]
        project.run_command(commands(result)[0]).assert_outcomes(passed=1)
        assert project.baselines == ["test_it/test_a.md"]

    def test_a_test_of_unittest(self, project: Project) -> None:
        project.tests(
            "import pytest, unittest\n"
            "class TestA(unittest.TestCase):\n"
            "    @pytest.fixture(autouse=True)\n"
            "    def _given(self, llm, llm_snapshot): self.llm, self.snapshot = llm, llm_snapshot\n"
            "    def test_x(self):\n"
            "        assert self.llm.chat('one') == self.snapshot\n"
        )
        result = project.run()
        result.assert_outcomes(failed=1)
        assert commands(result) == ["pytest test_it.py::TestA::test_x --llm-model f16 --llm-update"]
        project.run_command(commands(result)[0]).assert_outcomes(passed=1)
        project.run().assert_outcomes(passed=1)

    def test_all_models_share_the_baseline_that_the_reference_writes(self, project: Project) -> None:
        result = project.run("-v", "-rs", "--llm-update", "--llm-model", "all")
        result.assert_outcomes(passed=1, skipped=2)
        result.stdout.fnmatch_lines(
            [
                "test_it.py::test_a[[]f16] PASSED *",
                "SKIPPED [[]2] test_it.py:1: not applicable: snapshot: baselines are being rewritten in this "
                "run; run again without --llm-update",
            ]
        )
        assert project.baselines == ["test_it/test_a.md"]
        assert "model: f16" in (project.path / "__llmcheck__/test_it/test_a.md").read_text()

    @pytest.mark.parametrize("top", ["", 'default = ["q4"]'])
    def test_without_the_reference_nothing_is_recorded(
        self, project: Project, hosts: list[str], top: str
    ) -> None:
        project.declare("f16", "q4", top=top)
        result = project.run("--llm-update", *([] if top else ["--llm-model", "q4"]))
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert [line for line in result.errlines if line] == [
            "ERROR: --llm-update lets the reference write the baselines, and 'f16' is not active: "
            "add --llm-model f16"
        ]
        assert (hosts, project.baselines) == ([], [])


class TestComparing:
    @pytest.fixture(autouse=True)
    def _recorded(self, project: Project, _declared: None) -> None:
        project.run("--llm-update").assert_outcomes(passed=1)
        shutil.rmtree(project.path / ".llmcheck")

    def test_the_same_model_twice(self, project: Project) -> None:
        project.run().assert_outcomes(passed=1)
        (line,) = project.test_lines
        (verdict,) = line.verdicts
        assert (verdict.check, verdict.status, verdict.reason) == (
            "snapshot(text)",
            "passed",
            "same as __llmcheck__/test_it/test_a.md",
        )

    def test_equal_weights_under_another_name_are_the_same_model(self, project: Project) -> None:
        project.declare("f16", twin=project.models / "f16.gguf")
        project.run("--llm-model", "all").assert_outcomes(passed=2)

    def test_a_candidate_is_undecided_unless_the_comparison_is_named(self, project: Project) -> None:
        result = project.run("-rs", "--llm-model", "f16,q4")
        result.assert_outcomes(passed=1, skipped=1)
        result.stdout.fnmatch_lines(
            [
                "test_it.py::test_a  passed  undecided",
                "SKIPPED [[]1] test_it.py:1: not applicable: snapshot: reply of q4 not compared with the "
                "baseline of f16: weights differ; name the comparison that is meant, "
                'llm_snapshot(compare="text") or llm_snapshot(compare="json")',
            ]
        )
        project.run("--llm-model", "q4", "--llm-strict").assert_outcomes(failed=1)

    def test_named_it_fails_with_the_cause_first_and_the_way_to_accept(self, project: Project) -> None:
        project.tests(AS_TEXT)
        result = project.run("--llm-model", "q4")
        result.assert_outcomes(failed=1)
        said = errors(result)
        assert said[0] == (
            "assert reply of q4 differs from the baseline of f16: __llmcheck__/test_it/test_a.md"
        )
        assert re.fullmatch(r"cause: the weights changed \(f16 F16 \w{6} -> q4 F16 \w{6}\)", said[1])
        assert said[2] == "first difference in line 1, column 1:"
        assert said[-1] == ('to make q4 the reference: set reference = "q4" and record all with --llm-update')
        result.stdout.fnmatch_lines(["*- llmcheck snapshot -*", "--- expected", "+++ received"])
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")

    def test_a_candidate_becomes_the_reference_as_the_failure_says(self, project: Project) -> None:
        project.tests(AS_TEXT)
        assert errors(project.run("--llm-model", "q4"))[-1] == (
            'to make q4 the reference: set reference = "q4" and record all with --llm-update'
        )
        settings = project.path / "pyproject.toml"
        settings.write_text(settings.read_text().replace('reference = "f16"', 'reference = "q4"'))
        project.run("--llm-update").assert_outcomes(passed=1)
        project.run("--llm-model", "q4").assert_outcomes(passed=1)

    def test_other_weights_in_the_file_of_the_reference(self, project: Project) -> None:
        project.declare(f16=project.models / "q4.gguf")
        result = project.run("-rs")
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED *: not applicable: snapshot: * of f16: weights differ; name *"])
        project.tests(AS_TEXT)
        result = project.run()
        result.assert_outcomes(failed=1)
        said = errors(result)
        assert re.fullmatch(r"cause: the file of model 'f16' changed \(F16 \w{6} -> F16 \w{6}\)", said[1])
        assert said[-1] == "accept: pytest test_it.py::test_a --llm-model f16 --llm-update"

    def test_other_settings_are_named_too(self, project: Project) -> None:
        project.tests("import pytest\npytestmark = pytest.mark.llm(n_ctx=256)\n" + AS_TEXT)
        project.run().assert_outcomes(passed=1)  # the same text, whatever made it
        project.tests(
            "import pytest\npytestmark = pytest.mark.llm(system='Be brief.', max_tokens=3)\n" + AS_TEXT
        )
        result = project.run()
        result.assert_outcomes(failed=1)
        assert errors(result)[1].startswith("not separated: max_tokens and prompt differ; ")

    def test_update_leaves_what_has_not_changed(self, project: Project) -> None:
        file = project.path / "__llmcheck__/test_it/test_a.md"
        before = file.stat().st_mtime_ns, file.read_bytes()
        project.run("--llm-update").assert_outcomes(passed=1)
        assert (file.stat().st_mtime_ns, file.read_bytes()) == before

    def test_a_damaged_baseline_is_one_plain_line(self, project: Project) -> None:
        file = project.path / "__llmcheck__/test_it/test_a.md"
        file.write_bytes(file.read_bytes().replace(b"kind: reply", b"kind: poem"))
        result = project.run()
        result.assert_outcomes(failed=1)
        (said,) = errors(result)
        assert "__llmcheck__/test_it/test_a.md is damaged: its kind is 'poem'" in said
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")


class TestBesideSyrupy:
    BOTH = (
        "def test_a(snapshot, llm_snapshot):\n"
        "    assert 'ours' == llm_snapshot\n"
        "    assert 'theirs' == snapshot\n"
    )

    @pytest.fixture(autouse=True)
    def _both(self, project: Project, _declared: None) -> None:
        project.tests(self.BOTH)

    def test_each_update_writes_its_own(self, project: Project) -> None:
        theirs = project.path / "__snapshots__" / "test_it.ambr"
        result = project.run("--snapshot-update")
        result.assert_outcomes(failed=1)
        assert (project.baselines, theirs.exists()) == ([], False)
        project.run("--llm-update").assert_outcomes(failed=1)
        assert (project.baselines, theirs.exists()) == (["test_it/test_a.md"], False)
        result = project.run("--snapshot-update")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["1 snapshot generated."])
        assert (project.baselines, theirs.exists()) == (["test_it/test_a.md"], True)
        result = project.run()
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["1 snapshot passed."])
        # Neither counts, reports or deletes what the other does not use any more.
        project.tests("def test_b(): pass\n")
        result = project.run("--snapshot-update")
        assert (project.baselines, theirs.exists()) == (["test_it/test_a.md"], False)
        result.stdout.no_fnmatch_line("*__llmcheck__*")

    def test_without_syrupys_plugin(self, project: Project) -> None:
        project.tests(SNAPSHOT)
        project.run("-p", "no:syrupy", "--llm-update").assert_outcomes(passed=1)
        project.run("-p", "no:syrupy").assert_outcomes(passed=1)
        project.tests(AS_TEXT)
        result = project.run("-p", "no:syrupy", "--llm-model", "q2")
        result.assert_outcomes(failed=1)
        assert "cause: the weights changed" in errors(result)[1]


def test_a_value_of_the_test_needs_no_model(project: Project, hosts: list[str]) -> None:
    project.tests("def test_a(llm_snapshot):\n    assert {'a': 1} == llm_snapshot\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    project.run_command(commands(result)[0]).assert_outcomes(passed=1)
    project.run("--llm-off").assert_outcomes(passed=1)
    assert hosts == []


def test_several_snapshots_and_models_in_one_table(project: Project) -> None:
    project.tests(
        AS_TEXT + "def test_named(llm, llm_snapshot):\n"
        "    assert llm.chat('no') == llm_snapshot(name='first', compare='text')\n"
        "    assert llm.chat('x') == llm_snapshot(name='second', compare='text')\n"
    )
    project.run("--llm-update").assert_outcomes(passed=2)
    assert project.baselines == [
        "test_it/test_a.md",
        "test_it/test_named.first.md",
        "test_it/test_named.second.md",
    ]
    result = project.run("-v", "--llm-model", "q4,f16")
    result.assert_outcomes(passed=2, failed=2)
    assert order(result) == ["test_a[f16]", "test_named[f16]", "test_a[q4]", "test_named[q4]"]
    assert [line.rstrip() for line in table(result)[:3]] == [
        "                        f16     q4",
        "test_it.py::test_a      passed  FAILED",
        "test_it.py::test_named  passed  FAILED",
    ]
