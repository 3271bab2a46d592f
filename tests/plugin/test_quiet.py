"""Runs that ask for no model do not notice that the plugin is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.projects import Project

HEAVY = ("llama_cpp", "numpy", "scipy", "jinja2", "jsonschema", "rich", "click", "msgspec", "syrupy")

WATCH = """
import sys

started = []

def watch(event, args):
    if event == "subprocess.Popen" and any("llama.host" in str(part) for part in args[1]):
        started.append(args[1])

sys.addaudithook(watch)

def pytest_unconfigure():
    names = {name.partition(".")[0] for name in sys.modules}
    rooms = sorted(name for name in sys.modules if name.startswith("pytest_llmcheck."))
    print("HOSTS", len(started), file=sys.__stderr__)
    print("HEAVY", sorted(names & set(%r)), file=sys.__stderr__)
    print("ROOMS", rooms, file=sys.__stderr__)
"""


@pytest.fixture(autouse=True)
def _watched(project: Project) -> None:
    project.write("conftest.py", WATCH % (HEAVY,))


def heavy(result: pytest.RunResult) -> str:
    (line,) = [line for line in result.errlines if line.startswith("HEAVY")]
    return line


# syrupy has a plugin of its own, which imports it.
QUIET = ("-p", "no:syrupy")


@pytest.mark.parametrize("declared", [False, True])
def test_a_project_without_tests_of_models(project: Project, declared: bool) -> None:
    if declared:
        project.write("pyproject.toml", "[tool.pytest]\n[tool.other]\n")
    project.tests("def test_a(tmp_path): pass\n")
    result = project.run(*QUIET, apart=True)
    result.assert_outcomes(passed=1)
    assert heavy(result) == "HEAVY []"
    said = [
        line for line in result.outlines if "llm" in line and not line.startswith(("plugins:", "rootdir:"))
    ]
    assert said == []
    assert "HOSTS 0" in result.errlines
    rooms = next(line for line in result.errlines if line.startswith("ROOMS"))
    for room in ("models", "engines", "snapshots", "checks", "prompts", "reports.run", "session.run"):
        assert f"pytest_llmcheck.{room}" not in rooms
    assert sorted(path.name for path in project.path.iterdir() if "llm" in path.name) == []


@pytest.mark.parametrize("options", [["--collect-only"], ["-m", "not llm"], ["--llm-off"], ["-k", "plain"]])
def test_declared_models_are_not_touched(project: Project, options: list[str]) -> None:
    project.declare("f16", q4=project.path / "not here.gguf")
    project.tests(
        "def test_a(llm): llm.chat('one')\ndef test_b(llm, llm_snapshot): pass\ndef test_plain(): pass\n"
    )
    result = project.run("--llm-model", "all", *QUIET, *options, apart=True)
    assert result.ret == 0
    # The settings are typed with msgspec, which is small.
    assert heavy(result) in ("HEAVY ['msgspec']", "HEAVY []")
    assert "HOSTS 0" in result.errlines
    assert not (project.path / ".llmcheck").exists()


def test_what_the_watch_sees_when_a_model_is_asked(project: Project) -> None:
    project.declare("f16")
    project.tests("def test_a(llm): llm.chat('one')\n")
    result = project.run(*QUIET, apart=True)
    result.assert_outcomes(passed=1)
    assert "HOSTS 1" in result.errlines
    # llama.cpp and numpy live in the host alone, jinja2 in the process that renders.
    assert heavy(result) == "HEAVY ['msgspec']"
