"""Engines on small models, for tests below the plugin."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.engines.llama.quantise import quantise
from pytest_llmcheck.engines.llama.settings import ContextSettings, HostSettings, Settings
from pytest_llmcheck.engines.llama.width import repacks
from pytest_llmcheck.models import ModelSpec, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = (
    "the shop page is down and the customer wants a refund because order number nine has not "
    "arrived by the promised date while support said that it would be sent again on monday"
)


def settings(path: Path, *, width: int = 4, threads: int = 2, n_ctx: int = 1024, **changes: Any) -> Settings:
    """Of a model on two threads with a context of 1024 tokens, on the CPU unless told otherwise."""
    of_host = {key: changes.pop(key) for key in HostSettings.__struct_fields__ if key in changes}
    return Settings(
        name=path.stem,
        weights=hashlib.sha256(path.read_bytes()).hexdigest(),
        host=HostSettings(**{"path": str(path), "device": "cpu", "repack": repacks(width), **of_host}),
        context=ContextSettings(n_ctx=n_ctx, width=width, threads=threads, **changes),
    )


def engine(
    path: Path,
    folder: Path,
    *,
    patience: float = 30.0,
    progress: Callable[[str, float], None] | None = None,
    **changes: Any,
) -> LlamaEngine:
    """An engine for a file, with its host in `folder`."""
    return LlamaEngine(settings(path, **changes), folder, patience=patience, progress=progress)


def words(count: int, seed: int = 1) -> str:
    """A prompt of about as many tokens as words, always the same for a seed."""
    import random

    return " ".join(random.Random(seed).choices(WORDS.split(), k=count))


def ladder(quant: str, smollm: Path) -> Path:
    """A rung, made as the product makes it."""
    base = ModelSpec(name="q4_1", gguf=str(smollm))
    f16 = ModelSpec(name="f16", base=base, quant="F16")
    spec = f16 if quant == "F16" else ModelSpec(name=quant, base=f16, quant=quant)
    return resolve(spec, quantise=quantise).path
