"""Our engine, as the benchmarks drive it, and texts that it continues without an end."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.session.pool import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.options import Options
    from pytest_llmcheck.engines.types import Completion
    from pytest_llmcheck.models import ResolvedModel

SENTENCE = (
    "The keeper of the lighthouse walks up the stairs, lights the lamp, and walks down the stairs again. "
)


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


def endless(engine: LlamaEngine, tokens: int, start: str = "") -> str:
    """A text of exactly so many tokens, which a small model goes on repeating until it is stopped."""
    words = (start + SENTENCE * tokens).split(" ")
    low, high = 1, len(words)
    while low < high:
        middle = (low + high) // 2
        if len(engine.tokenise(" ".join(words[:middle]))) < tokens:
            low = middle + 1
        else:
            high = middle
    text = " ".join(words[:low])
    assert len(engine.tokenise(text)) == tokens, "a word of the sentence is more than one token"
    return text


def whole(done: Completion, wanted: int) -> Completion:
    """The same; an error where the reply ended before it was as long as wanted."""
    assert len(done.tokens) == wanted, f"the reply ended after {len(done.tokens)} of {wanted} tokens"
    return done
