"""Made models: once, whole, and with the disk's limits in mind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from filelock import FileLock

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import MAKEABLE, cache_dir, read_gguf
from pytest_llmcheck.models.quantise import estimated_bytes, quantised
from tests.support.gguf_files import header, tensor, tiny_llama

if TYPE_CHECKING:
    from pytest_llmcheck.models import Progress


class _Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


class Copier:
    """A quantiser that copies, and counts."""

    def __init__(self) -> None:
        self.calls: list[tuple[Path, str]] = []

    def __call__(self, source: Path, target: Path, quant: str, progress: Progress) -> None:
        self.calls.append((source, quant))
        progress(f"quantising {source.name}", 1.0)
        shutil.copyfile(source, target)


class Failing(Copier):
    """A quantiser that writes half of its file and then fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __call__(self, source: Path, target: Path, quant: str, progress: Progress) -> None:
        target.write_bytes(source.read_bytes()[:1000])
        raise self.error


def make(source: Path, quant: str, quantiser: Copier, version: str = "1") -> Path:
    return quantised(read_gguf(source), quant, quantise=quantiser, version=version)


def left() -> list[str]:
    """What is in the cache of models, locks aside."""
    return sorted(path.name for path in (cache_dir() / "models").iterdir() if path.suffix != ".lock")


def test_made_once_and_named_readably(tiny: Path) -> None:
    quantiser = Copier()
    first = make(tiny, "Q8_0", quantiser)
    assert make(tiny, "Q8_0", quantiser) == first
    assert quantiser.calls == [(tiny, "Q8_0")]
    assert first.parent == cache_dir() / "models"
    # The source's own quantisation is no longer true and leaves the name.
    assert first.name.startswith("tiny-Q8_0-")
    assert len(first.stem) == len("tiny-Q8_0-") + 12
    assert left() == [first.name]


def test_content_quant_and_version_make_another_file(tiny: Path, tmp_path: Path) -> None:
    quantiser = Copier()
    renamed = shutil.copy(tiny, tmp_path / "tiny-F16.gguf")
    other = tiny_llama(tmp_path / "other.gguf", seed=1)
    same = {make(tiny, "Q8_0", quantiser), make(Path(renamed), "Q8_0", quantiser)}
    assert len(same) == 1
    same |= {
        make(tiny, "Q4_0", quantiser),
        make(tiny, "Q8_0", quantiser, "2"),
        make(other, "Q8_0", quantiser),
    }
    assert len(same) == 4


@pytest.mark.parametrize(
    "error", [ModelError("broken"), KeyboardInterrupt(), OSError(5, "Input/output error")]
)
def test_nothing_is_left_of_a_failure(tiny: Path, error: BaseException) -> None:
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ModelError
    with pytest.raises(expected):
        make(tiny, "Q8_0", Failing(error))
    assert left() == []
    make(tiny, "Q8_0", Copier())  # and the lock is free again


def test_success_that_is_none(tiny: Path) -> None:
    class Half(Copier):
        def __call__(self, source: Path, target: Path, quant: str, progress: Progress) -> None:
            target.write_bytes(source.read_bytes()[:1000])

    with pytest.raises(
        ModelError, match=r"reported success, but what it made of .*tiny-F16.gguf as Q8_0 cannot be read"
    ):
        make(tiny, "Q8_0", Half())
    assert left() == []


def test_success_with_other_tensors(tiny: Path) -> None:
    class Other(Copier):
        def __call__(self, source: Path, target: Path, quant: str, progress: Progress) -> None:
            target.write_bytes(header(tensors=[tensor("t", [8])], data=bytes(32)))

    with pytest.raises(ModelError, match="made 1 of the 21 tensors"):
        make(tiny, "Q8_0", Other())


def test_source_that_changes_meanwhile(tmp_path: Path) -> None:
    class Rude(Copier):
        def __call__(self, source: Path, target: Path, quant: str, progress: Progress) -> None:
            super().__call__(source, target, quant, progress)
            os.utime(source, ns=(1, 1))

    with pytest.raises(
        ModelError, match="changed while Q8_0 was made from it; wait until it is completely written"
    ):
        make(tiny_llama(tmp_path / "t.gguf"), "Q8_0", Rude())
    assert left() == []


def test_spoilt_file_in_the_cache_is_made_again(tiny: Path) -> None:
    quantiser = Copier()
    path = make(tiny, "Q8_0", quantiser)
    os.truncate(path, 5000)
    assert make(tiny, "Q8_0", quantiser) == path
    assert len(quantiser.calls) == 2
    read_gguf(path)


def test_remains_of_killed_processes_are_removed(tiny: Path) -> None:
    folder = cache_dir() / "models"
    folder.mkdir(parents=True)
    mine = make(tiny, "Q8_0", Copier())
    mine.unlink()
    for name in (
        f".{mine.name}.00c0ffee.tmp",
        ".other-Q4_0-0123456789ab.gguf.00c0ffee.tmp",
        ".busy.gguf.00c0ffee.tmp",
    ):
        (folder / name).touch()
    with FileLock(folder / "busy.gguf.lock"):  # somebody is at this one
        make(tiny, "Q8_0", Copier())
    assert left() == [".busy.gguf.00c0ffee.tmp", mine.name]


# --- refusals


def quantised_file(tmp_path: Path) -> Path:
    path = tmp_path / "q8.gguf"
    path.write_bytes(header(tensors=[tensor("blk.0.w.weight", [32, 2], kind=8)], data=bytes(96)))
    return path


def test_no_second_quantisation(tmp_path: Path) -> None:
    quantiser = Copier()
    with pytest.raises(ModelError) as caught:
        make(quantised_file(tmp_path), "Q4_K_M", quantiser)
    said = str(caught.value)
    assert "is quantised already (" in said
    assert "add the second error to the first" in said
    assert "Declare the original weights" in said
    assert 'with quant = "F16"' in said
    assert quantiser.calls == []


@pytest.mark.parametrize("quant", ["F16", "BF16", "F32"])
def test_unpacking_is_no_second_quantisation(tmp_path: Path, quant: str) -> None:
    assert make(quantised_file(tmp_path), quant, Copier()).exists()


def test_disk_too_small(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(10**6, 10**6 - 1000, 1000))
    quantiser = Copier()
    with pytest.raises(
        ModelError,
        match=r"as F16 needs about 0 MB, but .*models has 0 MB free; free some space, or",
    ):
        make(tiny, "F16", quantiser)
    assert (quantiser.calls, left()) == ([], [])


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ModelError("llama.cpp: ENOSPC while writing")]
)
def test_disk_that_fills_up(tiny: Path, error: Exception) -> None:
    with pytest.raises(
        ModelError, match=r"as Q8_0 needs about .* MB free; free some space, or set LLMCHECK_CACHE_DIR"
    ):
        make(tiny, "Q8_0", Failing(error))
    assert left() == []


def test_failure_without_a_word_on_a_full_disk(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([10**9, 10])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(10**9, 0, next(free)))
    with pytest.raises(ModelError, match="free some space"):
        make(tiny, "Q8_0", Failing(ModelError("basic_ios::clear: iostream error")))


def test_cache_that_cannot_be_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"the cache folder .* cannot be made: .*; set LLMCHECK_CACHE_DIR"):
        make(tiny, "Q8_0", Copier())


def test_lock_that_cannot_be_taken(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileLock, timeout: float | None = None, **others: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(ModelError, match="cannot be written: Permission denied; set LLMCHECK_CACHE_DIR"):
        make(tiny, "Q8_0", Copier())


# --- estimate


@pytest.mark.parametrize("quant", sorted(MAKEABLE))
def test_estimate_is_between_nothing_and_f32(tiny: Path, quant: str) -> None:
    source = read_gguf(tiny)
    assert source.n_params // 8 < estimated_bytes(source, quant) <= 4 * source.n_params + source.size


@pytest.mark.parametrize(
    ("quant", "bytes_made"),
    [
        ("F16", 270_885_952),
        ("Q8_0", 144_811_072),
        ("Q6_K", 138_382_912),
        ("Q4_K_M", 105_454_144),
        ("Q2_K", 88_201_792),
    ],
)
def test_estimate_against_what_llama_cpp_made_of_smollm2(smollm2: Path, quant: str, bytes_made: int) -> None:
    estimate = estimated_bytes(read_gguf(smollm2), quant)
    assert 0.99 * bytes_made <= estimate <= 1.25 * bytes_made


# --- company

_ASKER = """
import shutil, sys, time
from pathlib import Path
from pytest_llmcheck.models import read_gguf
from pytest_llmcheck.models.quantise import quantised

def slow(source, target, quant, progress):
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    time.sleep(1.5)
    shutil.copyfile(source, target)

said = []
def show(stage, fraction):
    said.append(stage)

path = quantised(read_gguf(sys.argv[1]), "Q8_0", quantise=slow, version="1", progress=show)
print(path)
print(any(stage == f"waiting for {path.name}, which another process makes" for stage in said))
"""


def test_two_processes_that_ask_at_once_make_it_once(tiny: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", _ASKER, str(tiny), str(log)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    answers = [asker.communicate(timeout=60)[0].split() for asker in askers]
    assert [asker.returncode for asker in askers] == [0, 0]
    assert log.read_text() == "made\n"
    assert answers[0][0] == answers[1][0]
    assert sorted(answer[1] for answer in answers) == ["False", "True"]
    assert left() == [Path(answers[0][0]).name]


def test_asker_that_is_killed_leaves_the_lock_free(tiny: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    asker = subprocess.Popen(
        [sys.executable, "-c", _ASKER, str(tiny), str(log)],
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    while not log.exists():
        assert asker.poll() is None
    asker.kill()
    asker.wait()
    assert read_gguf(make(tiny, "Q8_0", Copier())).n_params == read_gguf(tiny).n_params
    assert len(left()) == 1
