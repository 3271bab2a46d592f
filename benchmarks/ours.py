"""Our engine, as the benchmarks drive it, and texts that it continues without an end."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.engines.types import Request
from pytest_llmcheck.session.pool import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.options import Options
    from pytest_llmcheck.engines.types import Completion
    from pytest_llmcheck.models import ResolvedModel

WORDS = (
    "the house and the tree and ",
    "the lamp and the stairs and ",
    "up the hill and down the hill and ",
    "one two three four five six seven eight nine ten ",
)
"""A token each. Where a sentence ends, a model that was tuned to chat ends its reply."""


@contextmanager
def host(
    model: ResolvedModel, options: Options, *, width: int = 4, n_ctx: int = 1024
) -> Iterator[LlamaEngine]:
    """An engine with a host of its own, loaded."""
    spec = replace(model.spec, width=width, n_ctx=n_ctx, threads=options.threads, device=options.device)
    settings = settings_of(replace(model, spec=spec), None)
    if options.device == "gpu":
        settings = msgspec.structs.replace(
            settings, host=msgspec.structs.replace(settings.host, require_gpu=True)
        )
    with tempfile.TemporaryDirectory(prefix="llmc-") as folder:
        engine = LlamaEngine(settings, Path(folder))
        try:
            engine.load()
            yield engine
        finally:
            engine.close()


def endless(engine: LlamaEngine, tokens: int, start: str = "", repeated: str = WORDS[0]) -> str:
    """A text of exactly so many tokens, which a small model goes on repeating until it is stopped."""
    words = (start + repeated * tokens).split(" ")
    low, high = 1, len(words)
    while low < high:
        middle = (low + high) // 2
        if len(engine.tokenise(" ".join(words[:middle]))) < tokens:
            low = middle + 1
        else:
            high = middle
    text = " ".join(words[:low])
    assert len(engine.tokenise(text)) == tokens, "one of the words is more than one token"
    return text


def lasting(engine: LlamaEngine, prompt: int, reply: int) -> Request:
    """A request whose prompt and reply have exactly so many tokens; it has been made once, to warm up."""
    for repeated in WORDS:
        text = endless(engine, prompt, repeated=repeated)
        request = Request(prompt=text, max_tokens=reply, top_logprobs=5)
        if len(engine.complete(request).tokens) == reply:
            return request
    raise AssertionError(f"all replies end before they have {reply} tokens")


def whole(done: Completion, wanted: int) -> Completion:
    """The same; an error where the reply ended before it was as long as wanted."""
    assert len(done.tokens) == wanted, f"the reply ended after {len(done.tokens)} of {wanted} tokens"
    return done
