"""A user's project in which the model host does not behave: the tests' own `sitecustomize` sees to that.

The product has no hooks for it. Python imports `sitecustomize` from PYTHONPATH in every process, `-P` or
not; ours does something in model hosts alone.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

QUIET = (
    "-pno:cacheprovider",
    "-pno:asyncio",
    "-pno:benchmark",
    "-pno:hypothesispytest",
    "-pno:randomly",
)

HEAD = """
import os, sys

FOLDER = {folder!r}

def note(text):
    with open(FOLDER + "/notes", "a") as file:
        file.write(text + "\\n")

def noted(word):
    try:
        with open(FOLDER + "/notes") as file:
            return sum(line.split()[0] == word for line in file)
    except FileNotFoundError:
        return 0

if "pytest_llmcheck.engines.llama.host" in sys.orig_argv:
    note(f"host {{os.getpid()}}")
"""

DECODING = """
import os, signal, time
from pytest_llmcheck.engines.llama.scheduler import Scheduler

def decode(self, real=Scheduler._decode):
    prompts = [task._request.prompt for task in self._decoding.values()]
    if before_decoding(self, prompts) is None:
        real(self)

Scheduler._decode = decode
"""
"""Calls `before_decoding(scheduler, prompts)`, which returns None where decoding is to go on."""

DIES_ONCE = """
def before_decoding(scheduler, prompts):
    if noted("killed"):
        return None
    if len(prompts) < {together}:
        time.sleep(0.01)
        return "later"
    note("killed {signal}")
    os.kill(os.getpid(), signal.{signal})
"""
"""The host dies as soon as so many requests are being decoded; until then none of them goes on."""

POISON = """
def before_decoding(scheduler, prompts):
    poisonous = any("POISON" in prompt for prompt in prompts)
    if not noted("killed") and len(prompts) < {together}:
        time.sleep(0.01)
        return "later"
    if poisonous:
        note("killed {signal}")
        {deed}
"""
"""What is done to the host whenever it works on a prompt with this word; the first time in company."""


class Scene:
    """A project whose hosts are sabotaged, and all processes that belong to its runs."""

    def __init__(self, pytester: pytest.Pytester, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.temporary = temporary
        self._mark = str(self.path)
        folder = self.path / "sabotage"
        folder.mkdir()
        self._custom = folder / "sitecustomize.py"
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("TMPDIR", str(temporary))
        monkeypatch.setenv("LLMCHECK_SCENE", self._mark)
        self.sabotage("")

    def sabotage(self, *sources: str) -> None:
        """What hosts do when they start; it may use `note` and `noted`."""
        body = "\n".join(textwrap.dedent(source) for source in sources)
        head = HEAD.format(folder=str(self.path))
        self._custom.write_text(head + textwrap.indent(body, "    "), encoding="utf-8")

    def declare(self, files: dict[str, Path], *, top: str = "", n_ctx: int = 1024) -> None:
        """Write the settings, with these files under these names; the first is the reference."""
        tables = "".join(
            f'[tool.llmcheck.models.{name}]\ngguf = "{file}"\nn_ctx = {n_ctx}\n'
            for name, file in files.items()
        )
        self.pytester.makepyprojecttoml(
            f'[tool.llmcheck]\nreference = "{next(iter(files))}"\n{top}\n{tables}'
        )

    def tests(self, source: str) -> None:
        """Write the only test module."""
        (self.path / "test_it.py").write_text(textwrap.dedent(source), encoding="utf-8")

    def run(self, *options: str, cache: str = "off", seconds: float = 240) -> pytest.RunResult:
        """Run pytest to its end."""
        return self.pytester.runpytest_subprocess(*QUIET, f"--llm-cache={cache}", *options, timeout=seconds)

    def start(self, *options: str, cache: str = "off", **variables: str) -> subprocess.Popen[str]:
        """Start pytest; what it prints can be read."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *QUIET, f"--llm-cache={cache}", *options],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **variables},
            preexec_fn=interruptible,
        )

    def notes(self, word: str) -> list[str]:
        """What hosts and tests have noted under a word, in order."""
        path = self.path / "notes"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.split(" ")[0] == word]

    @property
    def processes(self) -> list[psutil.Process]:
        """All living processes of the runs in this project."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (
                    process.environ().get("LLMCHECK_SCENE") == self._mark
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                pass
        # This process has the variable too, where the system lets it be seen.
        return [process for process in found if process.pid != os.getpid()]

    @property
    def hosts(self) -> list[psutil.Process]:
        """Those of them that are model hosts."""
        return [process for process in self.processes if is_host(process)]

    @property
    def private(self) -> list[Path]:
        """The private folders of runs that are there now."""
        return sorted(self.temporary.glob("llmcheck-*"))


def is_host(process: psutil.Process) -> bool:
    """Whether it is a model host."""
    try:
        return "pytest_llmcheck.engines.llama.host" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def interruptible() -> None:
    """In the child: a suite that a shell has started in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them lives."""
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def wait_until(happens: Callable[[], Any], seconds: float = 90.0) -> None:
    """Wait; it must happen in time."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def errors_of(result: pytest.RunResult) -> str:
    """All lines of errors, joined by spaces."""
    said = [line[1:].strip() for line in result.outlines if re.match("E( |$)", line)]
    return " ".join(" ".join(said).split())
