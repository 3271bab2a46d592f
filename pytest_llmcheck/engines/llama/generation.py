"""One request, from prompt to completion."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.sampling import Sampler, largest, log_normaliser
from pytest_llmcheck.engines.llama.vocabulary import Detokeniser
from pytest_llmcheck.engines.types import Alternative, Completion, Timings, Token
from pytest_llmcheck.errors import EngineError, PromptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.engines.llama.sampling import Row
    from pytest_llmcheck.engines.llama.weights import Model
    from pytest_llmcheck.engines.types import FinishReason, Request


class Cancelled(Exception):  # noqa: N818 - nobody sees it: the client has gone
    """The client cancelled the request or went away."""


def generate(model: Model, request: Request, *, received: float, cancelled: Callable[[], bool]) -> Completion:
    """Continue a prompt until the model ends it or a bound is reached.

    Args:
        model: loaded, idle.
        request: what to do.
        received: `perf_counter` when the request arrived.
        cancelled: asked before every decode call.

    Raises:
        PromptError: the prompt is empty or does not fit the context.
        EngineError: the time limit is over, or llama.cpp failed.
        Cancelled: the client does not wait any more.
    """
    started = perf_counter()
    context, vocabulary = model.context, model.vocabulary
    # A beginning-of-sequence token alone is no prompt either.
    prompt = vocabulary.tokenise(request.prompt) if request.prompt else []
    check_length(len(prompt), context.n_ctx)

    def go_on() -> None:
        if cancelled():
            raise Cancelled
        if perf_counter() - started > request.timeout:
            raise EngineError(
                f"no reply within the time limit of {request.timeout:g} s ({len(prompt)} prompt tokens, "
                f"{len(tokens)} reply tokens so far): raise `timeout` in [tool.llmcheck] or lower max_tokens"
            )

    slot = 0
    tokens: list[Token] = []
    end: Token | None = None
    sampler = Sampler(request.sampling)
    text = Detokeniser(vocabulary)
    try:
        row = context.prefill(slot, prompt, go_on)
        prefilled = perf_counter()
        finish: FinishReason
        first = math.nan
        while True:
            chosen = sampler.choose(row)
            if math.isnan(first):
                first = perf_counter()
            token = _describe(model, row, chosen, request.top_logprobs)
            if chosen in vocabulary.end_of_generation:
                end, finish = token, "stop"
                break
            tokens.append(token)
            text.add(chosen)
            if len(tokens) >= request.max_tokens:
                finish = "length"
                break
            if context.length(slot) >= context.n_ctx:
                finish = "context"
                break
            go_on()
            row = context.step({slot: chosen})[slot]
    finally:
        context.clear(slot)
    ended = perf_counter()
    timings = Timings(
        queued=started - received,
        prefill=prefilled - started,
        ttft=first - started,
        decode=ended - first,
        total=ended - started,
        prompt_tokens=len(prompt),
        reply_tokens=len(tokens) + (end is not None),
    )
    return Completion(
        text=text.text(),
        finish_reason=finish,
        tokens=tuple(tokens),
        end=end,
        prompt_ids=tuple(prompt),
        timings=timings,
    )


def check_length(prompt: int, n_ctx: int) -> None:
    """A prompt needs at least one token and must leave room for one; it is never truncated.

    Raises:
        PromptError: with the remedy.
    """
    if prompt == 0:
        raise PromptError("the prompt is empty: the template rendered no text at all")
    if prompt >= n_ctx:
        raise PromptError(
            f"the prompt has {prompt} tokens and the context holds {n_ctx}, the reply included: shorten the "
            f"messages, or raise n_ctx above {prompt} for this model or test"
        )


def _describe(model: Model, row: Row, chosen: int, top_logprobs: int) -> Token:
    normaliser = log_normaliser(row)
    if not math.isfinite(normaliser):
        raise EngineError(
            "the model's logits are not finite: the weights are damaged or overflow on this device"
        )
    shown = model.vocabulary.shown
    top = tuple(
        Alternative(int(i), shown(int(i)), float(row[i]) - normaliser) for i in largest(row, top_logprobs)
    )
    return Token(chosen, shown(chosen), float(row[chosen]) - normaliser, top)
