"""Models: GGUF headers, declared models and the files that hold them, made quantisations, memory fit.

Usable without pytest and without llama.cpp: ``read_gguf("model.gguf").quant``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmcheck.models.content import content_hash
    from pytest_llmcheck.models.gguf import read_gguf
    from pytest_llmcheck.models.header import GGUFHeader, TensorInfo
    from pytest_llmcheck.models.memory import (
        MemoryEstimate,
        available_memory,
        check_fit,
        context_of,
        estimate_memory,
    )
    from pytest_llmcheck.models.progress import Progress
    from pytest_llmcheck.models.quantise import Quantise
    from pytest_llmcheck.models.quants import MAKEABLE, parse_quant
    from pytest_llmcheck.models.resolution import ResolvedModel, resolve
    from pytest_llmcheck.models.spec import ModelSpec
    from pytest_llmcheck.models.store import cache_dir

__all__ = [
    "MAKEABLE",
    "GGUFHeader",
    "MemoryEstimate",
    "ModelSpec",
    "Progress",
    "Quantise",
    "ResolvedModel",
    "TensorInfo",
    "available_memory",
    "cache_dir",
    "check_fit",
    "content_hash",
    "context_of",
    "estimate_memory",
    "parse_quant",
    "read_gguf",
    "resolve",
]

_HOMES = {
    "MAKEABLE": "quants",
    "GGUFHeader": "header",
    "MemoryEstimate": "memory",
    "ModelSpec": "spec",
    "Progress": "progress",
    "Quantise": "quantise",
    "ResolvedModel": "resolution",
    "TensorInfo": "header",
    "available_memory": "memory",
    "cache_dir": "store",
    "check_fit": "memory",
    "content_hash": "content",
    "context_of": "memory",
    "estimate_memory": "memory",
    "parse_quant": "quants",
    "read_gguf": "gguf",
    "resolve": "resolution",
}


# On demand: the configuration needs ModelSpec alone, in every pytest run, also in those without a model.
def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
