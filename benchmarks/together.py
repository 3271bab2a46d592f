"""Aggregate decode of a full house against llama-batched-bench with as many sequences.

Ours: `width` equal requests. The host is busy with another one when they arrive, so that all of them wait
when it is done; their prompts come from the prefix store, one in each turn, so that each begins one step
after the one before. Measured is only the time in which all are active: from the first token of the last to
begin until the end of the first to begin. It holds ``tokens - width`` steps. Top-5 log-probabilities are
on; llama-batched-bench neither samples nor reads logits, and repacks weights.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.judges import environment, judge
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.ours import endless, host, lasting, whole
from pytest_llmcheck.engines.types import Request, ScoreRequest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.engines.llama.client import LlamaEngine

PROMPT = 64
TOKENS = 128
WIDTHS = (4, 8)


def main(options: Options | None = None) -> None:
    """Print the ratios for each model and width."""
    options = options or Options()
    tool = judge("llama-batched-bench")
    if tool is None:
        table.missing("aggregate decode", "llama-batched-bench is not built: run `make judges` first")
        return
    tokens = 32 if options.quick else TOKENS
    how = (
        "As many requests as slots, all active all the time, top-5 log-probabilities, against "
        f"`llama-batched-bench -npp {PROMPT} -ntg {tokens} -npl WIDTH` (S_TG)."
    )
    table.begin("Aggregate decode, against llama-batched-bench", how, options)
    for model in ladder(*options.quants):
        for width in WIDTHS:
            ours, theirs = [], []
            with host(model, options, width=width) as engine:
                request = lasting(engine, PROMPT, tokens)
                full_house(engine, width, request)
                for _ in range(options.rounds):
                    ours.append(full_house(engine, width, request))
                    theirs.append(bench(tool, model.path, options, width, tokens))
            what = f"{model.spec.quant}, width {width}"
            table.line(what, ours, theirs, unit="tokens/s", goal=0.9)


def full_house(engine: LlamaEngine, width: int, request: Request) -> float:
    """tokens/s of all requests together while all are active."""
    prompt, tokens = request.prompt, request.max_tokens
    # Twice: what comes again is kept, with the logits after it.
    for _ in range(2):
        engine.complete(Request(prompt=prompt, max_tokens=1, top_logprobs=5))
    # Continuations are never kept, so this takes its time in every round.
    busy = engine.submit_score(ScoreRequest(prompt=prompt, continuation=endless(engine, 500)))
    tickets = [engine.submit(request) for _ in range(width)]
    busy.result()
    timings = [whole(ticket.result(), tokens).timings for ticket in tickets]
    assert all(t.company == width - 1 and t.reused_tokens == PROMPT for t in timings), timings
    firsts = [t.queued + t.ttft for t in timings]
    ends = [t.queued + t.total for t in timings]
    seconds = min(ends) - max(firsts)
    steps = tokens - width
    # One that begins later than in its turn would be seen here: then fewer steps are in the time measured.
    assert max(firsts) - min(firsts) < 2 * width * seconds / steps, f"they did not begin together: {firsts}"
    return width * steps / seconds


def bench(tool: Path, model: Path, options: Options, width: int, tokens: int) -> float:
    """S_TG of llama-batched-bench."""
    threads = options.threads
    numbers = {"-npp": PROMPT, "-ntg": tokens, "-npl": width, "-c": width * (PROMPT + tokens)}
    numbers |= {"-t": threads, "-tb": threads, "-ngl": 99 if options.device == "gpu" else 0}
    flags = [str(part) for pair in numbers.items() for part in pair]
    command = [str(tool), "-m", str(model), *flags, "--output-format", "jsonl"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (found,) = (line for line in lines if line["pl"] == width)
    return float(found["speed_tg"])


if __name__ == "__main__":
    main(parse())
