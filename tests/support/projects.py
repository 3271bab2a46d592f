"""A user's project in a temporary folder: declared models, tests, and runs of pytest over them."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.session.record import EndLine, RunLine, TestLine, read_record
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SEEDS = {"f16": 6, "q4": 18, "q2": 11}
"""Random models that end their replies to "one", "no" and "x" by themselves, each differently."""

FOREIGN = ("anyio", "asyncio", "benchmark", "hypothesispytest", "pytest_cov", "randomly", "xdist")
"""Plugins that are left out of a run unless it names them."""

UNSURE = """
from pytest_llmcheck import Status, Verdict

class Unsure:
    name = "unsure"

    def __init__(self, status=Status.INCONCLUSIVE, reason="5 samples cannot tell"):
        self.verdict = Verdict(status, "unsure()", reason)

    def __call__(self, reply):
        return self.verdict
"""
"""A check that decides nothing, for `from unsure import Unsure`."""


def write_models(folder: Path) -> None:
    """The models of `SEEDS`, each a file ``<name>.gguf``."""
    for name, seed in SEEDS.items():
        tiny_llama(folder / f"{name}.gguf", seed=seed)


@dataclass
class Project:
    """A folder in which a user runs pytest; `models` holds the files of `write_models`."""

    pytester: pytest.Pytester
    models: Path

    @property
    def path(self) -> Path:
        return self.pytester.path

    @property
    def baselines(self) -> list[str]:
        """Paths of all recorded baselines, below the folder of baselines."""
        folder = self.path / "__llmcheck__"
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.md"))

    @property
    def record(self) -> list[RunLine | TestLine | EndLine]:
        """The lines of the only run record."""
        (file,) = self.records
        return read_record(file)

    @property
    def records(self) -> list[Path]:
        return sorted((self.path / ".llmcheck" / "runs").glob("*"))

    @property
    def test_lines(self) -> list[TestLine]:
        """The lines of the tests in the only run record."""
        return [line for line in self.record if isinstance(line, TestLine)]

    def tests_asked(self) -> dict[str, int]:
        """How many replies each test asked for, by its id in the module, in the order of the run."""
        return {line.nodeid.partition("::")[2]: len(line.replies) for line in self.test_lines}

    def declare(self, *names: str, top: str = "", **files: Path) -> None:
        """Write the settings: models of `SEEDS` by name, others as name=file; `f16` is the reference."""
        given = {**{name: self.models / f"{name}.gguf" for name in names}, **files}
        tables = "".join(f"[tool.llmcheck.models.{name}]\ngguf = '{file}'\n" for name, file in given.items())
        reference = 'reference = "f16"\n' if "f16" in given else ""
        self.write("pyproject.toml", f"[tool.llmcheck]\nmax_tokens = 60\n{reference}{top}\n{tables}")

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def tests(self, source: str) -> None:
        self.write("test_it.py", source)

    def run(self, *options: str, using: tuple[str, ...] = (), apart: bool = False) -> pytest.RunResult:
        """Run pytest, with the plugins of `FOREIGN` that `using` names; `apart` in a process of its own.

        Without the reply cache, unless an option says otherwise: what one test was told is nothing to others.
        """
        if not any(option.startswith("--llm-cache") for option in options):
            options = (*options, "--llm-cache", "off")
        quiet = [f"-pno:{name}" for name in FOREIGN if name not in using]
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        return run(*quiet, "-Werror", *options)

    def run_command(self, command: str) -> pytest.RunResult:
        """Run a command that we printed."""
        program, *options = shlex.split(command)
        assert program == "pytest"
        return self.run(*options)


def errors(result: pytest.RunResult) -> list[str]:
    """The lines of assertion errors, without pytest's mark and indentation."""
    said = [line[1:].strip() for line in result.outlines if re.match("E( |$)", line)]
    # pytest leaves the class out only where the message holds no single quote.
    return [line.removeprefix("AssertionError: ") for line in said]


def order(result: pytest.RunResult) -> list[str]:
    """Names of the tests that a run with -v reports, in the order in which they ran."""
    pattern = re.compile(r"\S+?::((?:\S| (?! ))+) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b")
    return [found[1] for line in result.outlines if (found := pattern.match(line))]


def table(result: pytest.RunResult) -> list[str]:
    """The section at the end of a run, without its head and its last line, the path of the record."""
    lines = result.outlines
    (start,) = (i for i, line in enumerate(lines) if re.fullmatch("=+ llmcheck =+", line))
    end = next(i for i in range(start, len(lines)) if re.match("run record: |no run record: ", lines[i]))
    return lines[start + 1 : end]


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine that runs this suite shows in what a project's run prints."""
    for variable in [name for name in os.environ if name.startswith(("PYTEST_", "CI", "BUILD_NUMBER"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COLUMNS", "120")
