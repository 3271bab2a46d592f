"""Replies made by hand, for tests that need no engine."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.engines.types import Alternative, Fingerprint, Numerics, Prompt, Sampling, Timings, Token

if TYPE_CHECKING:
    from collections.abc import Sequence


def sha(seed: str) -> str:
    """A SHA-256 that is the same for the same seed, as a file's hash would be."""
    return hashlib.sha256(seed.encode()).hexdigest()


NUMERICS = Numerics(
    library=sha("library"),
    processor="AVX2 FMA",
    grid=64,
    width=4,
    rows="pad2",
    cache="f16/f16",
    flash_attention=True,
)
TIMINGS = Timings(
    queued=0.0, prefill=0.01, ttft=0.01, decode=0.1, total=0.11, prompt_tokens=4, reply_tokens=9
)


def token(text: str, id_: int, logprob: float = math.log(0.5)) -> Token:
    """A token with one rival."""
    rival = Alternative(10_000, "~", logprob + math.log(0.5))
    return Token(id_, text, logprob, (Alternative(id_, text, logprob), rival))


def make_reply(
    text: str,
    *,
    model: str = "f16",
    quant: str = "F16",
    prompt: str = "<user>Say it.</user>",
    temperature: float = 0.0,
    seed: int = 0,
    finish_reason: Any = "stop",
    numerics: dict[str, Any] | None = None,
    pieces: Sequence[str] = (),
    **fingerprint: Any,
) -> Reply:
    """A reply of the model `f16` unless told otherwise.

    `weights` and `template` are hashes; without them, `weights` is one of the model's name. `numerics`
    replaces single fields of `NUMERICS`; whatever else is given goes into the fingerprint. `pieces` are the
    texts of its tokens, each with the probability 0.5 and one rival, ``~``, of 0.25.
    """
    asked = Prompt(text=prompt, token_ids=(1, 2, 3, 4))
    fields: dict[str, Any] = {
        "weights": sha(model),
        "template": sha("chatml"),
        "build": "llama-cpp-python 0.3.36",
        "device": "CPU",
        "max_tokens": 64,
        "settings": (("n_ctx", "4096"),),
        **fingerprint,
    }
    made = Fingerprint(
        model=model,
        quant=quant,
        prompt=asked.sha256,
        sampling=Sampling(temperature=temperature, seed=seed),
        numerics=msgspec.structs.replace(NUMERICS, **(numerics or {})),
        **fields,
    )
    return Reply(
        text=text,
        finish_reason=finish_reason,
        tokens=tuple(token(piece, i) for i, piece in enumerate(pieces)),
        end=token("<end>", len(pieces)) if pieces and finish_reason == "stop" else None,
        raw=text,
        prompt=asked,
        timings=TIMINGS,
        fingerprint=made,
    )
