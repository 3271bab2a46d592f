"""Rendering a prompt in the worker, against jinja2 in the same process, over llama.cpp's templates.

A conversation of four messages, each template compiled before. Ours is `ChatTemplate.render` with the way to
the worker and back; the other side renders the same values with the same environment, so the difference is
what the limits cost. Templates that refuse the conversation are left out.
"""

from __future__ import annotations

import statistics
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import table
from benchmarks.options import Options, parse
from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts import ChatTemplate
from pytest_llmcheck.prompts.sandbox import make_environment
from pytest_llmcheck.prompts.template import FIXED_DATE
from tests.support.archive import fetch

if TYPE_CHECKING:
    from collections.abc import Callable

TALK = [
    {"role": "system", "content": "You are the front desk of a small hotel. Breakfast is from 7 to 10. " * 4},
    {"role": "user", "content": "When is breakfast?"},
    {"role": "assistant", "content": "From 7 to 10."},
    {"role": "user", "content": "May I bring a dog? It is small and has never bitten anybody."},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def main(options: Options | None = None) -> None:
    """Print the median over all templates, and the slowest one."""
    options = options or Options()
    times = 20 if options.quick else 200
    how = f"Each template {times} times a round, milliseconds for one prompt; compiled before."
    table.begin("Rendering a prompt", how, options)
    files = sorted((fetch() / "vendor" / "llama.cpp" / "models" / "templates").glob("*.jinja"))
    ours: dict[str, list[float]] = {}
    plain: dict[str, list[float]] = {}
    for file in files:
        source = file.read_text(encoding="utf-8")
        template = ChatTemplate(source, bos_token=TOKENS["bos_token"], eos_token=TOKENS["eos_token"])
        compiled = make_environment(datetime(*FIXED_DATE.timetuple()[:3])).from_string(source)
        given: dict[str, Any] = {**TOKENS, "messages": TALK, "tools": None, "documents": None}
        there_and_back = partial(template.render, TALK)
        within = partial(compiled.render, given, add_generation_prompt=True)
        try:
            text = there_and_back()
        except PromptError:
            continue
        assert text == within()
        for _ in range(options.rounds):
            ours.setdefault(file.stem, []).append(milliseconds(there_and_back, times))
            plain.setdefault(file.stem, []).append(milliseconds(within, times))
    rounds = range(options.rounds)
    medians = [
        [statistics.median(values[i] for values in side.values()) for i in rounds] for side in (ours, plain)
    ]
    table.line(f"median of {len(ours)} templates", *medians, unit="ms", digits=3)
    slowest = max(ours, key=lambda name: statistics.median(ours[name]))
    table.line(f"slowest, {slowest}", ours[slowest], plain[slowest], unit="ms", digits=3)


def milliseconds(work: Callable[[], object], times: int) -> float:
    """Median time of a call."""
    taken = []
    for _ in range(times):
        started = perf_counter()
        work()
        taken.append(perf_counter() - started)
    return statistics.median(taken) * 1000


if __name__ == "__main__":
    main(parse())
