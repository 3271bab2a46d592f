"""The content hash and its cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import cache_dir, content, content_hash
from pytest_llmcheck.models.store import make_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

Calls = list[tuple[str, float]]


def settled(path: Path, data: bytes, age: float = 60.0) -> Path:
    """A file that was last changed `age` seconds ago."""
    path.write_bytes(data)
    moment = time.time_ns() - int(age * 1e9)
    os.utime(path, ns=(moment, moment))
    return path


def recorder() -> tuple[Calls, Callable[[str, float], None]]:
    calls: Calls = []
    return calls, lambda stage, fraction: calls.append((stage, fraction))


def entries() -> list[Path]:
    return sorted((cache_dir() / "hashes").glob("*"))


def test_hash_is_sha256_and_shows_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_CHUNK", 10)
    path = settled(tmp_path / "m.gguf", b"x" * 25)
    calls, progress = recorder()
    assert content_hash(path, progress=progress) == hashlib.sha256(b"x" * 25).hexdigest()
    assert calls == [("hashing m.gguf", 0.4), ("hashing m.gguf", 0.8), ("hashing m.gguf", 1.0)]


def test_second_time_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settled(tmp_path / "m.gguf", b"abc")
    first = content_hash(path)
    monkeypatch.chdir(tmp_path)
    calls, progress = recorder()
    assert content_hash("m.gguf", progress=progress) == first  # a relative path is the same file
    assert calls == []
    assert len(entries()) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=8), st.integers(3, 5)), max_size=8))
def test_law_the_hash_is_that_of_the_present_content(
    tmp_path: Path, changes: list[tuple[str, bytes, int]]
) -> None:
    for name, data, age in changes:
        path = tmp_path / name
        # A change keeps neither the size nor the time: that is what the cache goes by.
        path.unlink(missing_ok=True)
        moment = time.time_ns() - age * 10**9
        path.write_bytes(data)
        os.utime(path, ns=(moment, moment))
        for _ in range(2):
            assert content_hash(path) == hashlib.sha256(data).hexdigest()


def test_file_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"one")
    stat = path.stat()
    content_hash(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # within one tick of the clock
    assert content_hash(path) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"sha256": 5}', b"\xff", b"[" * 100_000, b'{"path":"/else","size":3}'],
    ids=lambda damage: repr(damage[:12]),
)  # fmt: skip
def test_damaged_entry_is_ignored_and_rewritten(tmp_path: Path, damage: bytes) -> None:
    path = settled(tmp_path / "m.gguf", b"abc")
    right = content_hash(path)
    (entry,) = entries()
    entry.write_bytes(damage)
    assert content_hash(path) == right
    assert json.loads(entry.read_bytes())["sha256"] == right


def test_entry_that_is_no_hash_is_ignored(tmp_path: Path) -> None:
    path = settled(tmp_path / "m.gguf", b"abc")
    right = content_hash(path)
    (entry,) = entries()
    entry.write_text(json.dumps({**json.loads(entry.read_bytes()), "sha256": "../../x"}))
    assert content_hash(path) == right


def test_unwritable_cache_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(tmp_path / "blocked" / "cache"))
    path = settled(tmp_path / "m.gguf", b"abc")
    calls, progress = recorder()
    for _ in range(2):
        assert content_hash(path, progress=progress) == hashlib.sha256(b"abc").hexdigest()
    assert len(calls) == 2


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no\.gguf cannot be read: No such file or directory; correct the path"
    ):
        content_hash(tmp_path / "no.gguf")


def test_file_that_changes_meanwhile(tmp_path: Path) -> None:
    path = settled(tmp_path / "m.gguf", b"abc")

    def grow(stage: str, fraction: float) -> None:
        path.write_bytes(b"abcd")

    with pytest.raises(ModelError, match="changed while it was read; wait until it is completely written"):
        content_hash(path, progress=grow)


# --- the folder


def test_cache_folder_is_chosen_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", "~/x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "x"


def test_cache_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMCHECK_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir().name == "llmcheck"
    assert cache_dir().is_relative_to(tmp_path)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ModelError, match="cannot be made: Not a directory; set LLMCHECK_CACHE_DIR to a folder"
    ):
        make_folder(tmp_path / "file" / "sub")


def test_writing_whole_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a", b"1")
    write_whole(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2"

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", b"3")
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["a"]
