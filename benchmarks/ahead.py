"""Planning ahead: a suite of ordinary one-by-one tests with the record of an earlier run, against without.

Whole processes of pytest with the reply cache off: 48 tests that each ask one short thing, at most 48 tokens.
The record is that of the same suite, as after a swap of the weights; without it nothing is planned.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks import table
from benchmarks.cache import ASKS
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.projects import Project


def main(options: Options | None = None) -> None:
    """Print the ratio for each model."""
    options = options or Options()
    count = 12 if options.quick else 48
    how = f"{count} tests that ask one thing each, at most 48 tokens, reply cache off, whole process."
    table.begin("Planning ahead, against asking one by one", how, options)
    for model in ladder(*options.quants):
        with tempfile.TemporaryDirectory(prefix="llmc-") as folder:
            root = Path(folder)
            (root / "asks").mkdir()
            project = Project(root / "asks", root / "cache")
            project.declare(model, options)
            (project.path / "test_it.py").write_text(ASKS.format(count=count), encoding="utf-8")
            # The probe is remembered, the file's hash too.
            seconds(project)
            planned, alone = [], []
            for _ in range(options.rounds):
                shutil.rmtree(project.path / ".llmcheck")
                alone.append(seconds(project))
                planned.append(seconds(project))
        quant = model.spec.quant
        table.line(f"{quant}", planned, alone, unit="s", goal=1.3, inverse=True)


def seconds(project: Project) -> float:
    """Of one run without the reply cache."""
    started = perf_counter()
    project.run("--llm-cache", "off")
    return perf_counter() - started


if __name__ == "__main__":
    main(parse())
