"""Models: GGUF headers, declared models and the files that hold them, made quantisations, memory fit.

Usable without pytest and without llama.cpp: ``read_gguf("model.gguf").quant``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmcheck.models.adapters import ResolvedAdapter
    from pytest_llmcheck.models.content import content_hash
    from pytest_llmcheck.models.fit import check_fit, layers_that_fit
    from pytest_llmcheck.models.gguf import read_gguf
    from pytest_llmcheck.models.header import GGUFHeader, TensorInfo
    from pytest_llmcheck.models.machine import available_memory, usable_cores
    from pytest_llmcheck.models.memory import MemoryEstimate, context_of, estimate_memory
    from pytest_llmcheck.models.progress import Progress
    from pytest_llmcheck.models.quantise import Quantise
    from pytest_llmcheck.models.quants import MAKEABLE, parse_quant
    from pytest_llmcheck.models.resolution import ResolvedModel, resolve
    from pytest_llmcheck.models.spec import LoraSpec, ModelSpec, RopeSpec
    from pytest_llmcheck.models.store import cache_dir

__all__ = [
    "MAKEABLE",
    "GGUFHeader",
    "LoraSpec",
    "MemoryEstimate",
    "ModelSpec",
    "Progress",
    "Quantise",
    "ResolvedAdapter",
    "ResolvedModel",
    "RopeSpec",
    "TensorInfo",
    "available_memory",
    "cache_dir",
    "check_fit",
    "content_hash",
    "context_of",
    "estimate_memory",
    "layers_that_fit",
    "parse_quant",
    "read_gguf",
    "resolve",
    "usable_cores",
]

_HOMES = {
    "MAKEABLE": "quants",
    "GGUFHeader": "header",
    "LoraSpec": "spec",
    "MemoryEstimate": "memory",
    "ModelSpec": "spec",
    "Progress": "progress",
    "Quantise": "quantise",
    "ResolvedAdapter": "adapters",
    "ResolvedModel": "resolution",
    "RopeSpec": "spec",
    "TensorInfo": "header",
    "available_memory": "machine",
    "cache_dir": "store",
    "check_fit": "fit",
    "content_hash": "content",
    "context_of": "memory",
    "estimate_memory": "memory",
    "layers_that_fit": "fit",
    "parse_quant": "quants",
    "read_gguf": "gguf",
    "resolve": "resolution",
    "usable_cores": "machine",
}


# On demand: the configuration needs ModelSpec alone, in every pytest run, also in those without a model.
def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
