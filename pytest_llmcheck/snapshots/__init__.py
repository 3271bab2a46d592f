"""Baselines on syrupy: recorded replies, comparators, attribution. Only this room imports syrupy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.lazy import lazily

if TYPE_CHECKING:
    from pytest_llmcheck.snapshots.attribution import Attribution, attribute
    from pytest_llmcheck.snapshots.baseline import Baseline, SnapshotError
    from pytest_llmcheck.snapshots.comparators import Comparator, Difference, json, text
    from pytest_llmcheck.snapshots.snapshot import LlmSnapshot, Mode

__all__ = [
    "Attribution",
    "Baseline",
    "Comparator",
    "Difference",
    "LlmSnapshot",
    "Mode",
    "SnapshotError",
    "attribute",
    "json",
    "text",
]

__getattr__, __dir__ = lazily(
    globals(),
    {
        "attribution": (
            "Attribution",
            "attribute",
        ),
        "baseline": (
            "Baseline",
            "SnapshotError",
        ),
        "comparators": (
            "Comparator",
            "Difference",
            "json",
            "text",
        ),
        "snapshot": (
            "LlmSnapshot",
            "Mode",
        ),
    },
)
