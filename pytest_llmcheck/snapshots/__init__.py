"""Baselines on syrupy: recorded replies, comparators, attribution. Only this room imports syrupy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "Attribution": "attribution",
    "Baseline": "baseline",
    "Comparator": "comparators",
    "Difference": "comparators",
    "LlmSnapshot": "snapshot",
    "Mode": "snapshot",
    "SnapshotError": "baseline",
    "attribute": "attribution",
    "json": "comparators",
    "text": "comparators",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
