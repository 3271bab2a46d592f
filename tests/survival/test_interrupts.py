"""Ctrl-C, and pytest itself killed: nothing of ours is left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.sabotage import DECODING, POISON, all_gone, interruptible, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sabotage import Scene

QUIET = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:benchmark", "-p", "no:hypothesispytest")


@pytest.fixture
def project(pytester: pytest.Pytester, smollm: Path) -> pytest.Pytester:
    pytester.makepyprojecttoml(
        "[tool.llmcheck]\nmax_tokens = 8000\n"
        f'[tool.llmcheck.models.smollm]\ngguf = "{smollm}"\nn_ctx = 8192\n'
    )
    return pytester


def hosts(run: subprocess.Popen[Any]) -> list[psutil.Process]:
    """The model hosts that this pytest has started."""
    children = psutil.Process(run.pid).children(recursive=True)
    return [child for child in children if "pytest_llmcheck.engines.llama.host" in child.cmdline()]


def test_ctrl_c_during_generation(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_long(llm):
            print("started", file=open("started", "w"))
            llm.chat("Write a very long story", temperature=2.0, top_k=0)

        def test_never(llm):
            pass
        """
    )
    command = [sys.executable, "-m", "pytest", *QUIET]
    run = subprocess.Popen(
        command,
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=interruptible,
    )
    wait_until(lambda: (project.path / "started").exists() and hosts(run))
    started = hosts(run)
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=30)
    assert run.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert "Traceback (most recent call last)" not in output.partition("KeyboardInterrupt")[2]
    wait_until(lambda: all_gone(started), seconds=15)


SLOW_LOADING = """
import time
from pytest_llmcheck.engines.llama.weights import Model

def load(self, progress, real=Model._load):
    def slowly(fraction):
        note("loading")
        time.sleep(1)
        return progress(fraction)
    return real(self, slowly)

Model._load = load
"""


def test_ctrl_c_while_a_model_is_loading(scene: Scene, tiny: Path) -> None:
    """llama.cpp tells its progress before each tensor: it would take 20 s."""
    scene.declare({"tiny": tiny})
    scene.sabotage(SLOW_LOADING)
    scene.tests("def test_it(llm):\n    llm.chat('Hello', max_tokens=3)\n\ndef test_never(llm):\n    pass\n")
    run = scene.start()
    wait_until(lambda: len(scene.notes("loading")) >= 2)
    (host,) = scene.hosts
    assert host.is_running()
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=30)
    assert time.monotonic() - began < 8
    assert run.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert "Traceback (most recent call last)" not in output.partition("KeyboardInterrupt")[2]
    wait_until(lambda: not scene.processes, seconds=15)
    assert not scene.private
    assert len(scene.notes("loading")) < 12


def test_ctrl_c_leaves_the_terminal_usable(project: pytest.Pytester) -> None:
    """On a real pseudo-terminal: its settings afterwards are those from before."""
    import pty
    import termios

    project.makepyfile(
        """
        def test_long(llm):
            llm.chat("Write a very long story", temperature=2.0, top_k=0)
        """
    )
    control, terminal = pty.openpty()
    settings = termios.tcgetattr(terminal)
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *QUIET],
        cwd=project.path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    os.set_blocking(control, False)
    output = b""

    def ended() -> bool:
        nonlocal output
        with contextlib.suppress(BlockingIOError):
            output += os.read(control, 65536)
        return run.poll() is not None

    wait_until(lambda: not ended() and bool(hosts(run)))
    started = hosts(run)
    since = time.monotonic()
    wait_until(lambda: not ended() and time.monotonic() - since > 3.0)
    os.killpg(run.pid, signal.SIGINT)
    wait_until(ended, seconds=30)
    ended()
    assert termios.tcgetattr(terminal) == settings
    os.close(control)
    os.close(terminal)
    shown = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", output).decode()
    assert "KeyboardInterrupt" in shown
    assert not re.search(rb"\x1b\[\?(?:25l|1049h)(?!.*\x1b\[\?(?:25h|1049l))", output, re.DOTALL)
    wait_until(lambda: all_gone(started), seconds=15)


def test_pytest_killed(project: pytest.Pytester) -> None:
    """The host outlives nobody, and the run record keeps what was finished."""
    project.makepyfile(
        """
        def test_short(llm):
            llm.chat("Hello", max_tokens=3)

        def test_long(llm):
            print("started", file=open("started", "w"))
            llm.chat("Write a very long story", temperature=2.0, top_k=0)
        """
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *QUIET], cwd=project.path, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: (project.path / "started").exists() and hosts(run))
    started = hosts(run)
    run.kill()
    run.wait()
    wait_until(lambda: all_gone(started), seconds=15)
    (record,) = (project.path / ".llmcheck" / "runs").iterdir()
    lines = record.read_text(encoding="utf-8").splitlines()
    assert '"line":"run"' in lines[0]
    assert "test_short" in lines[1]


ASK = "def test_it(llm):\n    llm.chat('POISON', max_tokens=3)\n"
HANGS = "note('hangs')\n        while True:\n            time.sleep(0.1)"


@pytest.mark.parametrize(
    ("sabotage", "word"),
    [
        (("import time\ntime.sleep(1)\n",), "host"),
        ((SLOW_LOADING,), "loading"),
        ((POISON.format(together=1, signal="hangs", deed=HANGS), DECODING), "hangs"),
    ],
    ids=["before the host listens", "while it loads", "in a call that never returns"],
)
def test_pytest_killed_at_a_bad_moment(
    scene: Scene, tiny: Path, sabotage: tuple[str, ...], word: str
) -> None:
    scene.declare({"tiny": tiny})
    scene.sabotage(*sabotage)
    scene.tests(ASK)
    run = scene.start()
    wait_until(lambda: scene.notes(word))
    run.kill()
    run.communicate()
    assert len(scene.hosts) == 1
    wait_until(lambda: not scene.processes, seconds=15)
