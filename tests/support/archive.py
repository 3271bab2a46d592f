"""Source archives of installed packages: what they carry beside the package is material for tests.

llama-cpp-python's has llama.cpp's templates, vocabularies and sources (76 MB), jsonschema's has the
JSON-Schema-Test-Suite (0.4 MB). They are downloaded once, not copied into this project:
``python -m tests.support.archive``.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import filelock
import pytest

BUILD = Path(__file__).parents[2] / "build"


@dataclass(frozen=True)
class Source:
    """The source archive of an installed package.

    Attributes:
        package: its name on the package index.
        variable: of the environment; names another place, as for machines that reach no package index.
        folders: where it may lie; the first is where it is put.
    """

    package: str
    variable: str
    folders: tuple[Path, ...] = (BUILD / "archive",)

    def find(self) -> Path | None:
        """Root of the unpacked archive; None where there is none yet."""
        if given := os.environ.get(self.variable):
            return Path(given)
        return next((folder / self.name for folder in self.folders if (folder / self.name).is_dir()), None)

    def fetch(self) -> Path:
        """Root of the unpacked archive, downloaded with pip where there is none yet.

        Raises:
            OSError: pip could not download it.
        """
        target = self.folders[0]
        target.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target / ".lock"):
            if found := self.find():
                return found
            # Unpacked beside its place: a folder that exists is whole.
            with tempfile.TemporaryDirectory(dir=target) as folder:
                self._download(Path(folder))
                with tarfile.open(Path(folder) / f"{self.name}.tar.gz") as opened:
                    opened.extractall(folder, filter="data")
                return (Path(folder) / self.name).rename(target / self.name)

    @property
    def name(self) -> str:
        """Of the archive, without its ending."""
        return f"{self.package.replace('-', '_')}-{metadata.version(self.package)}"

    def _download(self, folder: Path) -> None:
        requirement = f"{self.package}=={metadata.version(self.package)}"
        options = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *options, requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["without a reason"]
            raise OSError(f"pip could not download the source archive of {requirement}: {said[-1]}")


LLAMA = Source("llama-cpp-python", "LLMCHECK_ARCHIVE", (BUILD / "archive", BUILD / "judges"))
JSONSCHEMA = Source("jsonschema", "LLMCHECK_JSONSCHEMA_ARCHIVE")

find, fetch = LLAMA.find, LLAMA.fetch


@functools.cache
def archive(source: Source = LLAMA) -> Path:
    """Root of the unpacked archive; where it cannot be had, the test or module that asks is skipped."""
    try:
        return source.fetch()
    except OSError as error:
        reason = str(error)
    pytest.skip(reason, allow_module_level=True)


if __name__ == "__main__":
    print(LLAMA.fetch())
    print(JSONSCHEMA.fetch())
