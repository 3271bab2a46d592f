"""Schedules of requests on one context, driven turn by turn, and what each request got."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.canonical import Context
from pytest_llmcheck.engines.llama.log import Log
from pytest_llmcheck.engines.llama.scheduler import Scheduler
from pytest_llmcheck.engines.llama.tasks import Generation, Score
from pytest_llmcheck.engines.llama.weights import Model
from pytest_llmcheck.engines.types import Completion, Request, Sampling, ScoreRequest, Scoring
from tests.support.engines import settings, words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_llmcheck.engines.llama.tasks import Answer, Task
    from pytest_llmcheck.engines.types import Token

Bits = tuple[tuple[int, str, tuple[tuple[int, str], ...]], ...]

SHARED = "Support answers in one sentence. " + words(130, seed=9)
"""What several prompts begin with: more than two cells of the prefill grid."""


@dataclass(frozen=True)
class Ask:
    """A request at a turn; `leaves` is the turn at which its client goes away."""

    request: Request | ScoreRequest
    turn: int = 0
    leaves: float = math.inf


@dataclass
class House:
    """One model and one context of a width, with its prefix store."""

    model: Model
    path: Path
    width: int = 4
    scheduler: Scheduler = field(init=False)
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        wanted = settings(self.path, width=self.width).context
        self.context = Context(
            self.model._model,
            wanted,
            n_vocab=self.model.vocabulary.size,
            rule=self.model.rule(wanted),
            wipe=self.model.recurrent,
        )
        self.forget()

    def forget(self) -> None:
        """An empty prefix store."""
        reusable = self.model.reusable
        self.scheduler = Scheduler(self.context, working=lambda: None, reusable=reusable, steady=True)

    def close(self) -> None:
        self.context.close()

    def run(self, asks: Sequence[Ask], *, threads: int = 2) -> list[Answer | Exception | None]:
        """Answers in the order of the asks; None for those whose client left."""
        self.context.threads(threads)
        answers: list[Answer | Exception | None] = [None] * len(asks)
        turn = 0

        def task(index: int) -> Task:
            ask = asks[index]

            def finished(answer: Answer | Exception) -> None:
                answers[index] = answer

            make = Generation if isinstance(ask.request, Request) else Score
            return make(
                ask.request,  # type: ignore[arg-type]  # each with the request of its own kind
                self.model.vocabulary,
                n_ctx=self.context.n_ctx,
                received=perf_counter(),
                abandoned=lambda: turn >= ask.leaves,
                finished=finished,
            )

        last = max(ask.turn for ask in asks)
        while turn <= last or self.scheduler.busy:
            for index, ask in enumerate(asks):
                if ask.turn == turn:
                    self.scheduler.add(task(index))
            self.scheduler.turn()
            turn += 1
        assert self.scheduler.active == 0
        return answers


def open_model(path: Path, width: int = 4) -> Model:
    return Model(settings(path, width=width), Log(), lambda _: True)


def bits(answer: Answer | Exception | None) -> Bits:
    """Ids and log-probabilities as hexadecimal: no rounding can hide a difference."""
    assert isinstance(answer, Completion | Scoring), answer
    tokens: tuple[Token, ...] = answer.tokens
    if isinstance(answer, Completion) and answer.end is not None:
        tokens = (*tokens, answer.end)
    return tuple(
        (token.id, token.logprob.hex(), tuple((a.id, a.logprob.hex()) for a in token.top)) for token in tokens
    )


def prompt_of(model: Model, length: int, seed: int) -> str:
    """A text of exactly this many tokens; long ones begin with `SHARED` where the seed is even."""
    count = model.vocabulary.tokenise
    start = SHARED if seed % 2 == 0 and length > 150 else f"Number {seed}."
    if len(count(start)) > length // 2:
        start = f"{seed}"
    parts = words(length, seed=seed).split()
    # As many words as fit, found by halving; then the smallest pieces that there are.
    low, high = 0, len(parts)
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(count(" ".join([start, *parts[:middle]]))) <= length
        low, high = (middle, high) if fits else (low, middle - 1)
    text = " ".join([start, *parts[:low]])
    while (missing := length - len(count(text))) > 0:
        fitting = (text + piece for piece in (" the", ".", "x", "9"))
        text = next(longer for longer in fitting if 0 < len(count(longer)) - length + missing <= missing)
    assert len(count(text)) == length
    return text


def request(
    model: Model, length: int, seed: int, *, temperature: float = 0.0, max_tokens: int = 10
) -> Request:
    """A request whose prompt has exactly `length` tokens."""
    return Request(
        prompt=prompt_of(model, length, seed),
        max_tokens=max_tokens,
        sampling=Sampling(temperature=temperature, seed=seed),
    )
