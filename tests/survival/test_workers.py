"""Workers and whole runs that die or meet: what they held is freed, and nothing of ours is left."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_llmcheck.session.record import TestLine, read_record
from tests.support.sabotage import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sabotage import Scene


def test_a_worker_that_dies_frees_its_slots(scene: Scene, smollm: Path) -> None:
    """It holds all slots for minutes; the other worker is served as soon as it is dead."""
    scene.declare({"smollm": smollm}, n_ctx=8192)
    scene.tests(
        """
        import os, threading, time

        def test_dies(llm, _llmcheck_run):
            _wait_for(lambda: os.path.exists("joined"))
            endless = dict(max_tokens=8000, temperature=2.0, top_k=0)
            stories = [f"Write a very long story about {i}" for i in range(8)]
            threading.Thread(target=lambda: llm.chat_many(stories, **endless), daemon=True).start()
            (settings,) = _wait_for(lambda: [*_llmcheck_run.pool._engines])
            engine, _ = _llmcheck_run.pool.engine(settings)
            line = _wait_for(lambda: engine._line)
            _wait_for(lambda: len(line._pending) >= 8)
            time.sleep(1)
            open("dead", "w").close()
            os._exit(3)

        def test_waits(llm):
            llm.chat("Hello", max_tokens=1)
            open("joined", "w").close()
            _wait_for(lambda: os.path.exists("dead"))
            began = time.monotonic()
            replies = llm.chat_many(["One", "Two", "Three", "Four"], max_tokens=10)
            assert time.monotonic() - began < 20
            assert [reply.timings.company for reply in replies] == [3] * 4

        def test_last(llm):
            assert llm.chat("Hello", max_tokens=3).tokens

        def _wait_for(found):
            deadline = time.monotonic() + 60
            while not (result := found()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            return result
        """
    )
    result = scene.run("-n2")
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines([r".*worker 'gw\d' crashed while running 'test_it\.py::test_dies'"])
    assert len(scene.notes("host")) == 1
    assert not scene.processes
    assert not scene.private


SLOW = """
    import os, pytest

    @pytest.mark.parametrize("number", range(2))
    def test_long(llm, number):
        open(f"started-{os.getpid()}-{number}", "w").close()
        llm.chat("Write a very long story", max_tokens=8000, temperature=2.0, top_k=0)
"""


def test_pytest_killed_with_workers(scene: Scene, smollm: Path) -> None:
    scene.declare({"smollm": smollm}, n_ctx=8192)
    scene.tests(SLOW)
    run = scene.start("-n2")
    wait_until(lambda: len([*scene.path.glob("started-*")]) == 2 and scene.hosts)
    time.sleep(1)
    assert len(scene.processes) == 4
    run.kill()
    run.communicate()
    # execnet gives the workers 5 s to end by themselves, then interrupts them.
    wait_until(lambda: not scene.processes, seconds=15)


def test_a_worker_killed(scene: Scene, smollm: Path) -> None:
    """Its test fails, the others are run by a new one, the host stays."""
    scene.declare({"smollm": smollm}, n_ctx=8192)
    scene.tests(
        """
        import os, time

        def test_long(llm):
            with open("pid", "w") as file:
                file.write(str(os.getpid()))
            os.rename("pid", "worker")
            llm.chat("Write a very long story", max_tokens=8000, temperature=2.0, top_k=0)

        def test_others(llm):
            assert llm.chat("Hello", max_tokens=3).tokens
            open("joined", "w").close()
            # The worker that takes the place of the dead one runs the next test.
            while not os.path.exists("replaced"):
                time.sleep(0.02)
            assert llm.chat("And now?", max_tokens=3).tokens

        def test_more(llm):
            assert llm.chat("Hello", max_tokens=3).tokens
            open("replaced", "w").close()
        """
    )
    run = scene.start("-n2")
    wait_until(lambda: (scene.path / "worker").exists() and (scene.path / "joined").exists())
    time.sleep(1)
    psutil.Process(int((scene.path / "worker").read_text())).kill()
    output, _ = run.communicate(timeout=90)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"worker 'gw\d' crashed while running 'test_it\.py::test_long'", output)
    assert "1 failed, 2 passed" in output
    assert len(scene.notes("host")) == 1
    wait_until(lambda: not scene.processes, seconds=15)


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["plain", "workers"])
def test_two_runs_at_once(
    scene: Scene, tiny: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one project, with one cache: each has a host of its own, and both say the same."""
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(scene.path / "cache"))
    scene.declare({"tiny": tiny})
    scene.tests(
        """
        import os, time
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_one(llm, _llmcheck_run, number):
            llm.chat("Hello", max_tokens=3, seed=1, temperature=1.0 + number + len(os.environ["RUN"]) / 10)
            (engine,) = _llmcheck_run.pool._engines.values()
            with open("notes", "a") as file:
                file.write(f"{os.environ['RUN']} {engine.pid}\\n")
            open("in-" + os.environ["RUN"], "w").close()
            deadline = time.monotonic() + 60
            while not (os.path.exists("in-a") and os.path.exists("in-bb")):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert llm.chat(f"Tell me about the number {number}", max_tokens=20).tokens
        """
    )
    runs = [scene.start(*options, cache="on", RUN=name) for name in ("a", "bb")]
    for run in runs:
        output, _ = run.communicate(timeout=120)
        assert run.returncode == pytest.ExitCode.OK, output
        assert "reply cache" not in output or "came from the reply cache" in output
    first, second = set(scene.notes("a")), set(scene.notes("bb"))
    assert first
    assert second
    assert not first & second
    assert first | second == set(scene.notes("host"))
    records = [read_record(path) for path in (scene.path / ".llmcheck" / "runs").iterdir()]
    said = [
        {line.nodeid: line.replies[1].text for line in record if isinstance(line, TestLine)}
        for record in records
    ]
    assert len(said) == 2
    assert said[0] == said[1]
    assert len(said[0]) == 4
    assert not scene.processes
    assert not scene.private


def test_a_private_folder_left_by_a_killed_run(scene: Scene, tiny: Path) -> None:
    """The next run under the same name finds dead sockets, locks and a secret, and is not disturbed."""
    scene.declare({"tiny": tiny})
    scene.tests(
        """
        import os, pytest, time

        @pytest.mark.parametrize("number", range(4))
        def test_one(llm, number):
            assert llm.chat(f"Tell me about the number {number}", max_tokens=5).tokens
            open(f"started-{os.getpid()}", "w").close()
            if os.environ.get("STAY"):
                time.sleep(60)
        """
    )
    options = ("-n2", "--testrunuid=always-the-same")
    run = scene.start(*options, STAY="1")
    wait_until(lambda: len([*scene.path.glob("started-*")]) == 2)
    for process in scene.processes:
        process.kill()
    run.communicate()
    (folder,) = scene.private
    assert {"secret", "loading.lock"} < {path.name for path in folder.iterdir()}
    (socket,) = folder.glob("*.sock")
    assert socket.is_socket()
    result = scene.run(*options)
    result.assert_outcomes(passed=4)
    assert not scene.private
    assert not scene.processes
