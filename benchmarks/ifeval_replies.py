"""The replies on which our instruction checks are compared with the official ones: makes the test data.

python -m benchmarks.ifeval_replies

Every prompt of `PROMPTS` is put to SmolLM2-135M-Instruct as it is shipped and to quants of it, greedily and
with a few seeds, and what comes is written to `REPLIES`. Nothing is chosen, mended or left out. Replies are
kept in the reply cache, so a run that was stopped goes on where it was. On one machine the file comes out
the same each time; other numerics make other replies, and the comparison holds for any.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.models import F16, SOURCE
from pytest_llmcheck.config import Config
from pytest_llmcheck.models import ModelSpec
from pytest_llmcheck.session.recorder import Recorder
from pytest_llmcheck.session.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DATA = Path(__file__).parent.parent / "tests" / "data"
PROMPTS = DATA / "ifeval_prompts.jsonl"
REPLIES = DATA / "ifeval_replies.jsonl.gz"

QUANTS = ("Q8_0", "Q4_K_M", "Q3_K_M", "Q2_K")
WIDTH = 8
LIMIT = 160
"""Tokens of a reply, at most. A reply that is cut off is a reply to judge like any other."""
TEMPERATURE = 0.7
SEEDS = {"q4_1": (1, 2), "q2_k": (1, 2)}
"""Of the sampled replies; the other models have the first only."""


def main() -> None:
    """Ask, and write the file anew."""
    asked = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    quants = [ModelSpec(name=quant.lower(), base=F16, quant=quant, n_ctx=2048) for quant in QUANTS]
    specs = {spec.name: replace(spec, width=WIDTH) for spec in (SOURCE, F16, *quants)}
    config = Config(models=specs, reference=SOURCE.name)
    run = Run(config, (specs[SOURCE.name],), health=(), recorder=Recorder())
    written: list[dict[str, Any]] = []
    try:
        for name in specs:
            for seed in (None, *SEEDS.get(name, (1,))):
                started, before = perf_counter(), len(written)
                written += replies(run, name, asked, seed)
                tokens = sum(one["tokens"] for one in written[before:])
                seconds = perf_counter() - started
                print(f"{name}, seed {seed}: {tokens} tokens in {seconds:.0f} s", flush=True)
    finally:
        run.close()
    store(written)
    print(f"{len(written)} replies, {REPLIES.stat().st_size / 1e3:.0f} kB")


def replies(run: Run, name: str, asked: Sequence[dict[str, Any]], seed: int | None) -> list[dict[str, Any]]:
    """One model's replies, as they are stored; greedy without a seed."""
    given = run.llm(name).chat_many(
        [prompt["prompt"] for prompt in asked],
        max_tokens=LIMIT,
        temperature=0.0 if seed is None else TEMPERATURE,
        seed=seed or 0,
    )
    return [
        {
            "key": prompt["key"],
            "model": name,
            "seed": seed,
            "finish_reason": reply.finish_reason,
            "tokens": len(reply.tokens),
            "response": reply.text,
        }
        for prompt, reply in zip(asked, given, strict=True)
    ]


def store(written: Iterable[dict[str, Any]]) -> None:
    """Write them; equal replies make equal files, since the archive's header holds no time."""
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in written)
    REPLIES.write_bytes(gzip.compress(lines.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
