"""What the plugin costs a project that has no tests with models: `pytest --collect-only`, whole process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.options import Options, parse

TESTS = 50


def main(options: Options | None = None) -> None:
    """Print the medians with and without the plugin and their difference, interleaved."""
    # One process takes a second, and the difference is a hundredth of that.
    rounds = 5 * (options or Options()).rounds
    with tempfile.TemporaryDirectory() as folder:
        source = "".join(f"def test_{i}():\n    pass\n" for i in range(TESTS))
        Path(folder, "test_plain.py").write_text(source, encoding="utf-8")
        run(folder)
        pairs = [(run(folder), run(folder, "-p", "no:llmcheck")) for _ in range(rounds)]
    with_plugin, without = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
    print("\n### What the plugin costs where no test needs a model\n")
    print(f"pytest --collect-only on {TESTS} plain tests, medians of {rounds} interleaved rounds")
    # Paired: what else the machine does drifts more between rounds than within one.
    difference = f"{statistics.median(a - b for a, b in pairs) * 1000:.1f} ms"
    print(f"  with the plugin {with_plugin:.0f} ms   without {without:.0f} ms   difference {difference}")


def run(folder: str, *options: str) -> float:
    """Seconds of one process."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(parse())
