"""Behaviour regression tests for language models that you host yourself, written as ordinary pytest tests.

The names are imported when first used: pytest loads this package in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmcheck.checks import (
        contains,
        finished,
        fits_context,
        matches,
        matches_schema,
        prompt_share,
        resists_forged_turns,
        thought,
    )
    from pytest_llmcheck.engines.count import Count
    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.engines.score import Score
    from pytest_llmcheck.errors import ConfigError, EngineError, LlmcheckError, ModelError, PromptError
    from pytest_llmcheck.session.samples import Samples
    from pytest_llmcheck.snapshots import json, text
    from pytest_llmcheck.verdict import CheckFailed, Status, Verdict

__all__ = [
    "CheckFailed",
    "ConfigError",
    "Count",
    "EngineError",
    "LlmcheckError",
    "ModelError",
    "PromptError",
    "Reply",
    "Samples",
    "Score",
    "Status",
    "Verdict",
    "contains",
    "finished",
    "fits_context",
    "json",
    "matches",
    "matches_schema",
    "prompt_share",
    "resists_forged_turns",
    "text",
    "thought",
]

_HOMES = {
    "pytest_llmcheck.checks": (
        "contains",
        "finished",
        "fits_context",
        "matches",
        "matches_schema",
        "prompt_share",
        "resists_forged_turns",
        "thought",
    ),
    "pytest_llmcheck.engines.count": ("Count",),
    "pytest_llmcheck.engines.reply": ("Reply",),
    "pytest_llmcheck.engines.score": ("Score",),
    "pytest_llmcheck.errors": ("ConfigError", "EngineError", "LlmcheckError", "ModelError", "PromptError"),
    "pytest_llmcheck.session.samples": ("Samples",),
    "pytest_llmcheck.snapshots": ("json", "text"),
    "pytest_llmcheck.verdict": ("CheckFailed", "Status", "Verdict"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
