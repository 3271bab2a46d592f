"""Builds llama.cpp's own tools from the source archive of the installed llama-cpp-python.

They are run with the shared libraries of the installed wheel, so that both sides of a comparison execute
the same machine code.
"""

from __future__ import annotations

import os
import subprocess
from importlib import util
from pathlib import Path

from tests.support import archive

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "judges"
TARGETS = ("llama-bench", "llama-batched-bench", "llama-server", "llama-perplexity")
OPTIONS = (
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DCMAKE_BUILD_TYPE=Release",
)


def judge(name: str) -> Path | None:
    """The built tool; None where it has not been built."""
    folder = Path(os.environ.get("LLMCHECK_JUDGES", FOLDER / "build" / "bin"))
    path = folder / name
    return path if path.is_file() else None


def environment() -> dict[str, str]:
    """Environment in which a tool loads the wheel's libraries instead of those built beside it."""
    found = util.find_spec("llama_cpp")
    assert found is not None
    assert found.origin is not None
    libraries = str(Path(found.origin).with_name("lib"))
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "DYLD_LIBRARY_PATH": libraries}


def build() -> None:
    """Download and unpack the archive where that was not done yet, configure and build."""
    source = archive.fetch() / "vendor" / "llama.cpp"
    target = FOLDER / "build"
    subprocess.run(["cmake", "-S", str(source), "-B", str(target), *OPTIONS], check=True)
    jobs = str(os.cpu_count() or 1)
    subprocess.run(["cmake", "--build", str(target), "-j", jobs, "--target", *TARGETS], check=True)


if __name__ == "__main__":
    build()
