"""Single-stream decode with top-5 log-probabilities against llama-bench tg: same file, threads and libraries.

Both sides decode the same number of tokens from the same position on (`llama-bench -d`), alone. Ours is the
time between the first token and the end, taken in the host, with sampling and the description of every
token; llama-bench neither samples nor reads logits. Otherwise it has its own defaults, repacked weights
among them.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.judges import environment, judge
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.ours import host, lasting, whole

if TYPE_CHECKING:
    from pathlib import Path

SPANS = ((32, 256, 0.95), (256, 768, 0.75))
"""First and last position, and the ratio to reach."""


def main(options: Options | None = None) -> None:
    """Print the ratios for each model and span."""
    options = options or Options()
    tool = judge("llama-bench")
    if tool is None:
        table.missing("single stream", "llama-bench is not built: run `make judges` first")
        return
    how = "One request alone, top-5 log-probabilities, against `llama-bench -p 0 -d FIRST -n TOKENS`."
    table.begin("Single-stream decode, against llama-bench", how, options)
    for model in ladder(*options.quants):
        with host(model, options) as engine:
            for first, last, goal in SPANS:
                tokens = 16 if options.quick else last - first
                # The first token comes with the prompt.
                request = lasting(engine, first, tokens + 1)
                ours, theirs = [], []
                for _ in range(options.rounds):
                    done = whole(engine.complete(request), tokens + 1)
                    assert done.timings.tokens_per_second is not None
                    ours.append(done.timings.tokens_per_second)
                    theirs.append(bench(tool, model.path, options, first, tokens))
                what = f"{model.spec.quant}, positions {first} to {first + tokens}"
                table.line(what, ours, theirs, unit="tokens/s", goal=goal)


def bench(tool: Path, model: Path, options: Options, depth: int, tokens: int) -> float:
    """tokens/s of llama-bench's tg test."""
    numbers = {"-p": 0, "-n": tokens, "-d": depth, "-t": options.threads, "-r": 1}
    numbers["-ngl"] = 99 if options.device == "gpu" else 0
    flags = [str(part) for pair in numbers.items() for part in pair]
    command = [str(tool), "-m", str(model), *flags, "-o", "json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)[0]["avg_ts"])


if __name__ == "__main__":
    main(parse())
