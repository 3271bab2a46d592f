"""Behaviour regression tests for language models that you host yourself, written as ordinary pytest tests.

The names are imported when first used: pytest loads this package in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.lazy import lazily

if TYPE_CHECKING:
    from pytest_llmcheck.cases import Case
    from pytest_llmcheck.checks import (
        all_of,
        any_of,
        check,
        contains,
        finished,
        fits_context,
        matches,
        matches_schema,
        not_,
        prompt_share,
        resists_forged_turns,
        thought,
    )
    from pytest_llmcheck.engines.count import Count
    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.engines.score import Score
    from pytest_llmcheck.errors import (
        ConfigError,
        EngineError,
        LlmcheckError,
        ModelError,
        PatternError,
        PromptError,
    )
    from pytest_llmcheck.session.samples import Samples
    from pytest_llmcheck.snapshots import json, text
    from pytest_llmcheck.verdict import CheckFailed, Status, Verdict

__all__ = [
    "Case",
    "CheckFailed",
    "ConfigError",
    "Count",
    "EngineError",
    "LlmcheckError",
    "ModelError",
    "PatternError",
    "PromptError",
    "Reply",
    "Samples",
    "Score",
    "Status",
    "Verdict",
    "all_of",
    "any_of",
    "check",
    "contains",
    "finished",
    "fits_context",
    "json",
    "matches",
    "matches_schema",
    "not_",
    "prompt_share",
    "resists_forged_turns",
    "text",
    "thought",
]

__getattr__, __dir__ = lazily(
    globals(),
    {
        "cases": ("Case",),
        "checks": (
            "all_of",
            "any_of",
            "check",
            "contains",
            "finished",
            "fits_context",
            "matches",
            "matches_schema",
            "not_",
            "prompt_share",
            "resists_forged_turns",
            "thought",
        ),
        "engines.count": ("Count",),
        "engines.reply": ("Reply",),
        "engines.score": ("Score",),
        "errors": (
            "ConfigError",
            "EngineError",
            "LlmcheckError",
            "ModelError",
            "PatternError",
            "PromptError",
        ),
        "session.samples": ("Samples",),
        "snapshots": ("json", "text"),
        "verdict": ("CheckFailed", "Status", "Verdict"),
    },
)
