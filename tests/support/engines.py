"""Engines on small models, for tests below the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.engines.llama.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = (
    "the shop page is down and the customer wants a refund because order number nine has not "
    "arrived by the promised date while support said that it would be sent again on monday"
)


def settings(path: Path, **changes: object) -> Settings:
    """Of a model on two threads with a context of 1024 tokens."""
    given = {"name": path.stem, "path": str(path), "n_ctx": 1024, "width": 4, "threads": 2, "device": "cpu"}
    return Settings(**{**given, **changes})  # type: ignore[arg-type]  # checked by the struct's users


def engine(
    path: Path,
    folder: Path,
    *,
    patience: float = 30.0,
    progress: Callable[[str, float], None] | None = None,
    **changes: object,
) -> LlamaEngine:
    """An engine for a file, with its host in `folder`."""
    return LlamaEngine(settings(path, **changes), folder, patience=patience, progress=progress)


def words(count: int, seed: int = 1) -> str:
    """A prompt of about as many tokens as words, always the same for a seed."""
    import random

    return " ".join(random.Random(seed).choices(WORDS.split(), k=count))
