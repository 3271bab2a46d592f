"""Models that do not fit together take turns, and nobody waits for ever.

Memory is not really short: hosts are told that there is none while another one of the project has weights.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.gguf_files import tiny_llama
from tests.support.sabotage import DECODING, errors_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sabotage import Scene

ONE_AT_A_TIME = """
import pathlib
from pytest_llmcheck.engines.llama import room
from pytest_llmcheck.engines.llama.weights import Model

LOADED = pathlib.Path(FOLDER, "loaded")
LOADED.mkdir(exist_ok=True)

def others():
    found = []
    for path in LOADED.iterdir():
        try:
            state = pathlib.Path("/proc", path.name, "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z" and path.name != str(os.getpid()):
            found.append(path.name)
    return found

def load(self, progress, real=Model._load):
    note(f"together {len(others())}")
    note(f"turn {pathlib.Path(self._settings.path).stem}")
    LOADED.joinpath(str(os.getpid())).touch()
    return real(self, progress)

def close(self, real=Model.close):
    real(self)
    LOADED.joinpath(str(os.getpid())).unlink()

Model._load, Model.close = load, close
room.available_memory = lambda: 1000 if others() else 1 << 40
"""


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    return {name: tiny_llama(tmp_path / f"{name}.gguf", seed=i) for i, name in enumerate(("one", "two"))}


def test_models_take_turns(scene: Scene, models: dict[str, Path]) -> None:
    scene.declare(models, n_ctx=512)
    scene.sabotage(ONE_AT_A_TIME)
    scene.tests(
        """
        import pathlib
        import time

        import pytest

        DONE = pathlib.Path("done")

        @pytest.fixture(scope="session", autouse=True)
        def leave_together(_llmcheck_run):
            # A worker that has nothing left to do ends, and a host with its last client: that is no turn.
            DONE.mkdir(exist_ok=True)
            yield
            deadline = time.monotonic() + 30
            while len([*DONE.iterdir()]) < 8 and time.monotonic() < deadline:
                time.sleep(0.01)

        @pytest.mark.parametrize("number", range(4))
        @pytest.mark.parametrize("name", ["one", "two"])
        def test_it(llms, name, number):
            assert llms[name].chat(f"Tell me about the number {number}", max_tokens=5).tokens
            assert llms[name].fingerprint.model == name
            DONE.joinpath(f"{name}-{number}").touch()
        """
    )
    result = scene.run("-n2")
    result.assert_outcomes(passed=8)
    assert result.ret == pytest.ExitCode.OK
    turns = scene.notes("turn")
    assert set(turns) == {"one", "two"}
    # Never the same twice in a row: nobody gave way for nothing.
    assert all(first != second for first, second in itertools.pairwise(turns))
    assert set(scene.notes("together")) == {"0"}
    assert not scene.processes


def test_one_test_with_both_models(scene: Scene, models: dict[str, Path]) -> None:
    """Without workers: the handle of the first goes on to work after the second has taken its room."""
    scene.declare(models, n_ctx=512)
    scene.sabotage(ONE_AT_A_TIME)
    scene.tests(
        """
        def test_both(llms):
            first = llms["one"].chat("Hello", max_tokens=5)
            assert llms["two"].chat("Hello", max_tokens=5).tokens
            assert llms["one"].chat("Hello", max_tokens=5).tokens == first.tokens
        """
    )
    result = scene.run()
    result.assert_outcomes(passed=1)
    assert scene.notes("turn") == ["one", "two", "one"]
    assert scene.notes("together") == ["0"] * 3
    assert not scene.processes


def test_a_worker_does_not_wait_for_ever(scene: Scene, models: dict[str, Path]) -> None:
    """The other model has been asked for more than can be answered within the time limit."""
    scene.declare(models, top="timeout = 3", n_ctx=512)
    slowly = "def before_decoding(scheduler, prompts):\n    time.sleep(0.1)\n"
    scene.sabotage(ONE_AT_A_TIME, slowly, DECODING)
    scene.tests(
        """
        import os, threading, time

        def test_keeps_busy(llms, _llmcheck_run):
            prompts = [f"Tell me about the number {i}" for i in range(60)]
            llms["one"].chat("Hello", max_tokens=1)
            threading.Timer(0.3, lambda: open("busy", "w").close()).start()
            assert len(llms["one"].chat_many(prompts, max_tokens=12, temperature=1.0)) == 60

        def test_waits(llms):
            while not os.path.exists("busy"):
                time.sleep(0.02)
            llms["two"].chat("Hello", max_tokens=3)
        """
    )
    result = scene.run("-n2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_waits*"])
    message = errors_of(result)
    assert "model 'two': waited 3 s (the time limit) for other models of this run to make room" in message
    assert re.search(r"weights .*KV cache", message)
    assert scene.notes("turn") == ["one"]


def test_what_never_fits_is_refused_at_once(scene: Scene, models: dict[str, Path]) -> None:
    scene.declare(models, n_ctx=512)
    scene.sabotage("from pytest_llmcheck.engines.llama import room\nroom.available_memory = lambda: 1000\n")
    scene.tests(
        """
        def test_first(llm):
            llm.chat("Hello", max_tokens=3)

        def test_second(llm):
            llm.chat("Hello", max_tokens=3)
        """
    )
    began = time.monotonic()
    result = scene.run()
    assert time.monotonic() - began < 60
    result.assert_outcomes(failed=2)
    message = errors_of(result)
    assert message.startswith("pytest_llmcheck.ModelError: model 'one' does not fit")
    assert re.search(r"weights .*KV cache", message)
    assert "waited" not in message
    # Memory is looked at twice for the first test; the second is told what the first was told.
    assert len(scene.notes("host")) == 2
