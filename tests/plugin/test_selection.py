"""Which models are active, and what a test is then called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.projects import order

if TYPE_CHECKING:
    from tests.support.projects import Project

TWO_TESTS = """
import pytest

def test_x(llm):
    assert llm.chat("one").text

@pytest.mark.parametrize("case", ["case1", "case2"])
def test_y(case, llm):
    assert llm.chat("no").fingerprint.model == llm.spec.name
"""


def collected(result: pytest.RunResult) -> list[str]:
    return [line.strip()[10:-1] for line in result.outlines if line.strip().startswith("<Function ")]


@pytest.mark.parametrize(
    ("top", "options", "shown"),
    [
        ("", [], "f16 (reference, f16.gguf)"),
        ('default = ["q4"]', [], "q4 (q4.gguf)"),
        ('default = ["q4"]', ["--llm-model", "f16"], "f16 (reference, f16.gguf)"),
        ("", ["--llm-model", "q4"], "q4 (q4.gguf)"),
    ],
)
def test_one_active_model_adds_nothing_to_the_id(
    project: Project, top: str, options: list[str], shown: str
) -> None:
    project.declare("f16", "q4", top=top)
    project.tests(TWO_TESTS)
    result = project.run("--collect-only", *options)
    result.stdout.fnmatch_lines([f"llmcheck: {shown}; llama-cpp-python 0.*, CPU"])
    assert collected(result) == ["test_x", "test_y[case1]", "test_y[case2]"]


@pytest.mark.parametrize(
    ("options", "active"),
    [
        (["--llm-model", "q4,f16"], ["f16", "q4"]),
        (["--llm-model", "q4", "--llm-model", "f16"], ["f16", "q4"]),
        (["--llm-model", "q2,q4"], ["q2", "q4"]),
        (["--llm-model", "all"], ["f16", "q2", "q4"]),
    ],
)
def test_several_are_the_last_part_of_the_id_grouped_with_the_reference_first(
    project: Project, options: list[str], active: list[str]
) -> None:
    project.declare("q2", "f16", "q4")
    project.tests(TWO_TESTS)
    expected = [
        f"{name}{model}]" for model in active for name in ("test_x[", "test_y[case1-", "test_y[case2-")
    ]
    assert collected(project.run("--collect-only", *options)) == expected


def test_default_may_name_several(project: Project) -> None:
    project.declare("f16", "q4", "q2", top='default = ["q4", "q2"]')
    project.tests("def test_x(llm): pass")
    assert collected(project.run("--collect-only")) == ["test_x[q4]", "test_x[q2]"]


def test_each_model_is_loaded_once(project: Project, hosts: list[str]) -> None:
    project.declare("f16", "q4")
    project.tests(TWO_TESTS)
    project.write("test_other.py", "def test_z(llm):\n    assert llm.chat('x').text\n")
    result = project.run("-v", "--llm-model", "all")
    result.assert_outcomes(passed=8)
    assert order(result) == [
        f"{name}{model}]"
        for model in ("f16", "q4")
        for name in ("test_x[", "test_y[case1-", "test_y[case2-", "test_z[")
    ]
    assert len(hosts) == 2


def test_tests_see_the_selected_model(project: Project, hosts: list[str]) -> None:
    project.declare("f16", "q4", top='default = ["q4"]')
    project.tests("def test_x(llm):\n    assert llm.chat('one').fingerprint.model == 'q4'\n")
    project.run().assert_outcomes(passed=1)
    assert len(hosts) == 1


def test_a_file_named_on_the_command_line(project: Project) -> None:
    project.declare("f16")
    folder = project.pytester.mkdir("some")
    (folder / "my file.gguf").write_bytes((project.models / "q4.gguf").read_bytes())
    project.tests("def test_x(llm):\n    assert llm.chat('one').fingerprint.model == 'my-file'\n")
    result = project.run("--llm-model", "some/my file.gguf", "-v")
    result.stdout.fnmatch_lines(["llmcheck: my-file (my file.gguf); *"])
    result.assert_outcomes(passed=1)
    assert order(result) == ["test_x"]


def test_a_model_that_is_not_active_may_be_missing(project: Project) -> None:
    project.declare("q4", f16=project.path / "not here.gguf")
    project.tests("def test_x(llm):\n    assert llm.chat('one').text\n")
    project.run("--llm-model", "q4").assert_outcomes(passed=1)
    result = project.run("-rE")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*model 'f16'*not here.gguf*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_llmcheck/*")


def test_a_quantisation_made_from_the_reference(project: Project) -> None:
    more = '[tool.llmcheck.models.q8]\nfrom = "f16"\nquant = "Q8_0"\n'
    project.declare("f16", top=more)
    project.tests("def test_x(llm):\n    assert llm.chat('one').fingerprint.quant.startswith('Q8_0')\n")
    result = project.run("--llm-model", "q8")
    result.stdout.fnmatch_lines(["llmcheck: q8 (Q8_0 of f16); *"])
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("using", [(), ("xdist",)])
def test_an_unknown_model_is_one_message_with_the_nearest_name(
    project: Project, using: tuple[str, ...]
) -> None:
    project.declare("f16", "q4")
    project.tests(TWO_TESTS)
    workers = ["-n", "2"] if using else []
    result = project.run("--llm-model", "q44", *workers, using=using, apart=bool(using))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = [line for line in (*result.outlines, *result.errlines) if "unknown model" in line]
    origin = project.path / "pyproject.toml"
    assert said == [
        f"ERROR: unknown model 'q44': did you mean 'q4'? declared in {origin}: f16, q4, 'all', "
        "or a path that ends in .gguf"
    ]
    assert project.records == []


class TestWrongConfiguration:
    SAYS = "pyproject.toml: tool.llmcheck.defualt: unknown key; did you mean 'default'?"
    MIXED = "def test_plain(): pass\ndef test_x(llm): pass\n"

    @pytest.fixture(autouse=True)
    def _wrong(self, project: Project) -> None:
        project.declare("f16", "q4", top='defualt = "q4"')

    @pytest.mark.parametrize(
        "test",
        ["def test_x(llm): pass", "def test_x(llms): pass", "def test_plain(): pass\ndef test_x(llm): pass"],
    )
    def test_it_stops_the_run_once_if_a_test_needs_a_model(self, project: Project, test: str) -> None:
        project.tests(test)
        result = project.run()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert result.errlines == [f"ERROR: {project.path}/{self.SAYS}", ""]
        assert result.parseoutcomes() == {} or "passed" not in result.parseoutcomes()

    @pytest.mark.parametrize("options", [["-m", "not llm"], ["-k", "plain"], ["test_it.py::test_plain"]])
    def test_it_is_a_note_if_no_selected_test_does(self, project: Project, options: list[str]) -> None:
        project.tests(self.MIXED)
        result = project.run(*options)
        assert result.ret == 0
        assert result.parseoutcomes()["passed"] == 1
        said = [line for line in result.outlines if "defualt" in line]
        assert said == [f"llmcheck: {project.path}/{self.SAYS}"]
        assert result.errlines == []

    def test_off_is_off(self, project: Project) -> None:
        project.tests(self.MIXED)
        result = project.run("--llm-off")
        result.assert_outcomes(passed=1, skipped=1)
        assert result.ret == 0

    @pytest.mark.parametrize("quiet", [(), ("-q",)])
    def test_workers(self, project: Project, quiet: tuple[str, ...]) -> None:
        project.tests(self.MIXED)
        result = project.run("-n", "2", *quiet, using=("xdist",), apart=True)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        said = [line for line in (*result.outlines, *result.errlines) if "defualt" in line]
        assert said == [f"ERROR: {project.path}/{self.SAYS}"]


class TestNothingConfigured:
    def test_the_demo_model_answers(self, project: Project) -> None:
        project.tests(
            "def test_x(llm):\n"
            "    reply = llm.chat('Write one sentence about rain.', max_tokens=12)\n"
            "    assert len(reply.tokens) == 12\n"
            "    assert reply.fingerprint.quant.startswith('Q4_1')\n"
        )
        result = project.run("-v")
        result.assert_outcomes(passed=1)
        assert order(result) == ["test_x"]
        result.stdout.fnmatch_lines(["demo (Q4_1*, CPU): reference, passes 1 of 1 test"])

    def test_it_can_be_run_beside_a_file(self, project: Project) -> None:
        project.tests("def test_x(llm): pass")
        file = str(project.models / "q4.gguf")
        result = project.run("--collect-only", "--llm-model", "demo", "--llm-model", file)
        assert collected(result) == ["test_x[demo]", "test_x[q4]"]
