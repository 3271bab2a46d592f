"""A suite of 300 cases: the second run against the first, and against 300 tests that only `assert True`.

Whole processes of pytest, Q4_K_M. Each round has an empty folder for caches, in which one test without the
reply cache has left the file's hash and the probe, so that the first run is not charged with them; no reply
is cached. The second run changes nothing. That it was served by the cache is checked by another run with
`--llm-cache only`. A round takes as long as 300 replies.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks import table
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.projects import Project

ASKS = """
import pytest

SUBJECTS = ["tea", "rain", "a bridge", "chess", "the moon", "bread"]

@pytest.mark.parametrize("number", range({count}))
def test_case(llm, number):
    reply = llm.chat(f"Question {{number}}: tell me something about {{SUBJECTS[number % 6]}}.")
    assert reply.text
"""

TRUE = """
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_case(number):
    assert True
"""


PAIRS = 3


def main(options: Options | None = None) -> None:
    """Print both ratios."""
    options = options or Options()
    count = 30 if options.quick else 300
    how = f"{count} parametrised cases of one short chat each, at most 48 tokens, whole process."
    table.begin("The reply cache", how, options)
    first, second, again, true = [], [], [], []
    (model,) = ladder("Q4_K_M")
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="llmc-") as folder:
            root = Path(folder)
            for name in ("asks", "true"):
                (root / name).mkdir()
            asks, plain = (Project(root / name, root / "cache") for name in ("asks", "true"))
            for project, source in ((asks, ASKS), (plain, TRUE)):
                project.declare(model, options)
                (project.path / "test_it.py").write_text(source.format(count=count), encoding="utf-8")
            asks.run("--llm-cache", "off", "test_it.py::test_case[0]")
            # Imports and files of both come from memory.
            plain.run()
            first.append(seconds(asks))
            second.append(seconds(asks))
            # A second or less each: more of them, in turns, for the noise of a process's start.
            for _ in range(PAIRS):
                again.append(seconds(asks))
                true.append(seconds(plain))
            asks.run("--llm-cache", "only")
    table.line(
        "Q4_K_M, second run against the first",
        second,
        first,
        unit="s",
        goal=50.0,
        inverse=True,
        digits=2,
    )
    table.line(
        f"Q4_K_M, second run against {count} of `assert True`",
        again,
        true,
        unit="s",
        goal=2.0,
        at_most=True,
        digits=2,
    )


def seconds(project: Project) -> float:
    """Of one run."""
    started = perf_counter()
    project.run()
    return perf_counter() - started


if __name__ == "__main__":
    main(parse())
