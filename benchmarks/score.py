"""Scoring a recorded reply against generating it again: both from the client, the prompt's prefill included.

Every round has another beginning of the prompt, so nothing of it comes from the prefix store on either side.
"""

from __future__ import annotations

from time import perf_counter

from benchmarks import table
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.ours import endless, host, whole
from pytest_llmcheck.engines.types import Request, ScoreRequest

PROMPT = 48
LENGTHS = (128, 256)


def main(options: Options | None = None) -> None:
    """Print the ratios for each model and length."""
    options = options or Options()
    how = f"A prompt of {PROMPT} tokens and a recorded reply, both with top-5 log-probabilities."
    table.begin("Scoring a reply, against generating it again", how, options)
    for model in ladder(*options.quants):
        with host(model, options) as engine:
            for length in (32,) if options.quick else LENGTHS:
                generating, scoring = [], []
                # The first round warms up.
                for round_ in range(options.rounds + 1):
                    prompt = endless(engine, PROMPT, f"Story {length} of volume {round_} begins. ")
                    started = perf_counter()
                    reply = whole(engine.complete(Request(prompt=prompt, max_tokens=length)), length)
                    generated = perf_counter()
                    ids = tuple(token.id for token in reply.tokens)
                    engine.score(ScoreRequest(prompt=prompt, continuation=ids))
                    scored = perf_counter()
                    if round_:
                        generating.append(generated - started)
                        scoring.append(scored - generated)
                table.line(
                    f"{model.spec.quant}, reply of {length} tokens",
                    scoring,
                    generating,
                    unit="s",
                    goal=5.0,
                    inverse=True,
                    digits=2,
                )


if __name__ == "__main__":
    main(parse())
