"""Memory of four xdist workers on one model against one: proportional set size (PSS) of host and workers.

In each worker one test has asked four times and then waits, so that all is there when it is measured.
Subtracted is what as many workers take that run a test without a model, without the plugin. PSS shares what
several processes map, so the sum counts every page once. The process that distributes the tests is not
counted: it is there in all runs.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import table
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.projects import Project

WORKERS = 4

WAITS = """
import pathlib
import time

import pytest

HERE = pathlib.Path(__file__).parent

def wait(name):
    (HERE / name).touch()
    while not (HERE / "go").exists():
        time.sleep(0.05)

@pytest.mark.parametrize("number", range({count}))
def test_waits({fixture}number):
    {ask}
    wait(f"here-{{number}}")
"""

ASK = '[llm.chat(f"Question {number}.{i}: what is rain?", max_tokens=16) for i in range(4)]'


def main(options: Options | None = None) -> None:
    """Print the ratio for each model."""
    options = options or Options()
    how = f"Host and {WORKERS} workers against host and 1 worker, PSS, less as many workers without a model."
    how += " The host has the default context, whose streams it holds from the start."
    table.begin("Memory of several workers", how, options)
    for model in ladder(*options.quants):
        many, one = [], []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="llmc-") as folder:
                sizes = {}
                for workers in (1, WORKERS):
                    for asks in (True, False):
                        path = Path(folder, f"{workers}-{asks}")
                        path.mkdir()
                        project = Project(path, Path(folder, "cache"))
                        project.declare(model, options)
                        sizes[workers, asks] = megabytes(project, workers, asks=asks)
                one.append(sizes[1, True] - sizes[1, False])
                many.append(sizes[WORKERS, True] - sizes[WORKERS, False])
        what = f"{model.spec.quant}, {WORKERS} workers against 1"
        table.line(what, many, one, unit="MB", goal=1.1, at_most=True, digits=0)


def megabytes(project: Project, workers: int, *, asks: bool) -> float:
    """PSS of all processes below pytest's while each worker waits in its test."""
    import psutil

    source = WAITS.format(count=workers, fixture="llm, " if asks else "", ask=ASK if asks else "pass")
    (project.path / "test_it.py").write_text(source, encoding="utf-8")
    more = ["--llm-cache", "off"] if asks else ["-pno:llmcheck"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            project.command("-n", str(workers), *more),
            cwd=project.path,
            env=project.environment(),
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + 300
            while not all((project.path / f"here-{number}").exists() for number in range(workers)):
                assert process.poll() is None, "pytest ended before all tests had begun"
                assert time.monotonic() < deadline, "the tests did not begin in time"
                time.sleep(0.1)
            children = psutil.Process(process.pid).children(recursive=True)
            assert len(children) == workers + asks, [child.cmdline() for child in children]
            return float(sum(child.memory_full_info().pss for child in children)) / 1e6
        finally:
            (project.path / "go").touch()
            process.wait()


if __name__ == "__main__":
    main(parse())
