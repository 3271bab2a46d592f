"""A disk without room, under the reply cache and under the run record; and a cached run."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.sabotage import errors_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sabotage import Scene

TESTS = """
    import contextlib, os
    import pytest

    @pytest.mark.parametrize("number", range(6))
    def test_one(llm, number):
        if number == 2:
            # From now on there is no room for a single byte.
            with open(os.path.join(os.environ["SMALL_DISK"], "filler"), "wb", buffering=0) as filler:
                for size in (4096, 512, 1):
                    with contextlib.suppress(OSError):
                        while True:
                            filler.write(bytes(size))
        assert llm.chat(f"Tell me about the number {number}", max_tokens=20, temperature=1.0).tokens
"""


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of 512 KB of its own."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "none", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["plain", "workers"])
def test_no_room_for_the_reply_cache(
    scene: Scene, tiny: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    scene.declare({"tiny": tiny})
    scene.tests(TESTS)
    cache = scene.path / "cache"
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(cache))
    monkeypatch.setenv("SMALL_DISK", str(cache))
    with small_disk(cache):
        result = scene.run(*options, cache="on")
        result.assert_outcomes(passed=6)
        assert result.ret == pytest.ExitCode.OK
        said = [line for line in result.outlines if "reply cache" in line]
        # Workers that come too late even to open it say so too.
        assert len(said) == 1 if not options else 1 <= len(said) <= 3
        assert all(
            re.search(r"replies\.sqlite.*: (?:database or disk is full|No space left)", line) for line in said
        )
        if options:
            return
        assert said[0].startswith(f"nothing more is written to the reply cache {cache}/replies.sqlite: ")
        (cache / "filler").unlink()
        result = scene.run("-k", "test_one and 0", cache="on")
        result.assert_outcomes(passed=1, deselected=5)
        assert "1 of 1 reply came from the reply cache" in result.stdout.str()


def test_no_room_for_the_run_record(scene: Scene, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.declare({"tiny": tiny})
    scene.tests(TESTS)
    records = scene.path / ".llmcheck"
    monkeypatch.setenv("SMALL_DISK", str(records))
    with small_disk(records):
        result = scene.run()
    result.assert_outcomes(passed=6)
    assert result.ret == pytest.ExitCode.OK
    assert re.search(r"^no run record: .*No space left on device", result.stdout.str(), re.MULTILINE)
    assert not errors_of(result)


CACHED = """
    import os
    import pytest

    @pytest.mark.parametrize("number", range(3))
    def test_chat(llm, number):
        assert llm.chat(f"Tell me about the number {number}", max_tokens=8).tokens

    def test_sample(llm):
        assert len(llm.sample("Hello", n=3, temperature=1.0, max_tokens=4).texts) == 3

    def test_many(llm):
        assert len(llm.chat_many(["One", "Two"], max_tokens=4)) == 2

    def test_score(llm):
        assert llm.score("Hello", "there").tokens

    @pytest.mark.skipif("NEW" not in os.environ, reason="not yet written")
    def test_new(llm):
        llm.chat("What was never asked", max_tokens=4)
"""


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["plain", "workers"])
def test_a_cached_run_starts_no_host(
    scene: Scene, tiny: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(scene.path / "cache"))
    scene.declare({"tiny": tiny})
    scene.tests(CACHED)
    scene.run(*options, cache="on").assert_outcomes(passed=6, skipped=1)
    assert scene.notes("host")
    os.unlink(scene.path / "notes")
    # No folder for sockets and logs can be made, and none is wanted.
    monkeypatch.setenv("TMPDIR", str(scene.path / "nowhere"))
    for mode in ("on", "only"):
        result = scene.run(*options, cache=mode)
        result.assert_outcomes(passed=6, skipped=1)
        assert "8 of 8 replies came from the reply cache" in result.stdout.str()
    assert not scene.notes("host")
    assert not scene.private


def test_a_reply_that_is_missing(scene: Scene, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(scene.path / "cache"))
    scene.declare({"tiny": tiny})
    scene.tests(CACHED)
    scene.run(cache="on")
    os.unlink(scene.path / "notes")
    monkeypatch.setenv("NEW", "1")
    result = scene.run(cache="only")
    result.assert_outcomes(passed=6, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert re.search(
        r"EngineError: not in the reply cache: the reply of model 'tiny' to the prompt .*What was never asked"
        r".*With --llm-cache only no model is asked; run once with --llm-cache on to fill it",
        errors_of(result),
    )
    assert not scene.notes("host")
