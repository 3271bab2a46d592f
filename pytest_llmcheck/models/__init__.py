"""Models: GGUF headers, declared models and the files that hold them, made quantisations, memory fit.

Usable without pytest and without llama.cpp: ``read_gguf("model.gguf").quant``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.lazy import lazily

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

# On demand: the configuration needs ModelSpec alone, in every pytest run, also in those without a model.
__getattr__, __dir__ = lazily(
    globals(),
    {
        "adapters": ("ResolvedAdapter",),
        "content": ("content_hash",),
        "fit": (
            "check_fit",
            "layers_that_fit",
        ),
        "gguf": ("read_gguf",),
        "header": (
            "GGUFHeader",
            "TensorInfo",
        ),
        "machine": (
            "available_memory",
            "usable_cores",
        ),
        "memory": (
            "MemoryEstimate",
            "context_of",
            "estimate_memory",
        ),
        "progress": ("Progress",),
        "quantise": ("Quantise",),
        "quants": (
            "MAKEABLE",
            "parse_quant",
        ),
        "resolution": (
            "ResolvedModel",
            "resolve",
        ),
        "spec": (
            "LoraSpec",
            "ModelSpec",
            "RopeSpec",
        ),
        "store": ("cache_dir",),
    },
)
