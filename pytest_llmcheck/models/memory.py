"""What a model takes, estimated from its header, and what the machine has to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.gguf import read_gguf
from pytest_llmcheck.models.layers import (
    kv_by_layer,
    most_heads,
    state_by_layer,
    weights_by_layer,
    widest_activation,
)
from pytest_llmcheck.models.locate import locate

if TYPE_CHECKING:
    from pytest_llmcheck.models.header import GGUFHeader
    from pytest_llmcheck.models.spec import ModelSpec

#: A conversation's context where nobody chose one: enough for a test, and affordable for any width.
_DEFAULT_CONTEXT = 4096

#: llama.cpp rounds a stream up to whole blocks of this many positions (GGML_PAD in llama-context.cpp).
_CELLS = 256

#: Rows that are decoded at once: the grid on which the engine prefills, with a remainder of one.
_ROWS = 65

_F16, _F32 = 2, 4


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a loaded model takes, in bytes.

    Attributes:
        weights: all tensors.
        kv: the KV cache of all streams, and their recurrent state where the model has one.
        compute: working space and logits.
        adapters: the tensors of all LoRA adapters.
    """

    weights: int
    kv: int
    compute: int
    adapters: int = 0

    @property
    def total(self) -> int:
        """The sum, in bytes; Python and the libraries (about 100 MB a process) are not in it."""
        return self.weights + self.kv + self.compute + self.adapters


def context_of(header: GGUFHeader, spec: ModelSpec) -> int:
    """Tokens of one conversation: `spec.n_ctx`, else what the model was trained for, at most 4096.

    Raises:
        ModelError: `spec.n_ctx` is larger than the model was trained for and than its rope scaling allows
            (llama.cpp would only warn, and the replies would decay), or the file does not say what it was
            trained for.
    """
    trained = header.context_length
    most, stretched = _largest_context(header, spec)
    if spec.n_ctx is None:
        return min(most, _DEFAULT_CONTEXT)
    if spec.n_ctx < 1:
        raise ModelError(f"model {spec.name!r}: n_ctx = {spec.n_ctx} is no context; take 1 to {most}")
    if spec.n_ctx > most:
        raise ModelError(
            f"model {spec.name!r}: n_ctx = {spec.n_ctx}, but {header.path} was trained for {trained} tokens"
            f"{stretched}; set n_ctx to {most} or less"
        )
    return spec.n_ctx


def _largest_context(header: GGUFHeader, spec: ModelSpec) -> tuple[int, str]:
    """The largest context, and how rope scaling comes to it, in words."""
    trained = header.context_length
    scaling = spec.rope.scaling if spec.rope else None
    if spec.rope is None or not spec.rope.factor or scaling == "none":
        return trained, ""
    # A file that is stretched already names its context after that; the factor replaces its own.
    most = int((header.number("rope.scaling.original_context_length") or trained) * spec.rope.factor)
    if most <= trained:
        return trained, ""
    named = f"{scaling or 'its'} rope scaling by {spec.rope.factor:g}"
    return most, f", and {named} stretches that to {most}"


def estimate_memory(header: GGUFHeader, spec: ModelSpec, *, rows: int = _ROWS) -> MemoryEstimate:
    """Estimate what the model takes when it is loaded with the settings of `spec`, all in main memory.

    - weights: the bytes of all tensors;
    - kv: positions x width x sum over layers of the bytes of their keys and values in the types of `spec.kv`
      (`layers.kv_by_layer`), positions being n_ctx rounded up to 256; and the state of recurrent layers, once
      for each stream. Layers with a sliding window count in full, so for these it is an upper bound;
    - compute: rows x (max(vocabulary, 3 x feed-forward) + 4 x embedding) x 4 bytes, the logits or the
      widest activations of one batch, + rows x positions x 2 bytes for its mask (two of them with a sliding
      window), + width x vocabulary x 4 bytes for the logits handed out. Without flash attention the scores of
      all heads may be what is widest (heads x positions), and the mask takes 4 bytes. A rule of thumb:
      llama.cpp's own figure depends on how its allocator lets tensors share space, and was within a tenth of
      this for SmolLM2;
    - adapters: the bytes of their tensors; their files are opened for it.

    Args:
        header: of the file.
        spec: its settings.
        rows: tokens in the largest batch.

    Raises:
        ModelError: the file lacks a figure that this needs, an adapter cannot be read, or `n_ctx` is
            impossible (`context_of`).
    """
    return split_estimate(header, spec, 0, rows=rows)[0]


def split_estimate(
    header: GGUFHeader, spec: ModelSpec, gpu_layers: int, *, rows: int = _ROWS
) -> tuple[MemoryEstimate, MemoryEstimate]:
    """`estimate_memory` with the last `gpu_layers` layers on a GPU: main memory, then memory of the GPU.

    The output layer is the last one, n_layers + 1 in all. Weights, KV cache and adapters follow their layer;
    the token embedding stays in main memory. The working space is needed on both sides while both have
    layers; the inputs of a batch and the logits handed out lie in main memory.

    Args:
        header: of the file.
        spec: its settings.
        gpu_layers: how many layers are on the GPU; more than there are means all.
        rows: tokens in the largest batch.

    Raises:
        ModelError: as for `estimate_memory`.
    """
    positions = -(-context_of(header, spec) // _CELLS) * _CELLS
    n_layers = header.n_layers
    gpu_layers = max(0, min(gpu_layers, n_layers + 1))
    rows = max(rows, spec.width)
    weights = weights_by_layer(header.tensors, n_layers).split(gpu_layers)
    cache, state = kv_by_layer(header, spec).split(gpu_layers), state_by_layer(header).split(gpu_layers)
    kv = [spec.width * (positions * cache[side] + state[side]) for side in (0, 1)]
    # Not cached: who asks twice is a search for what fits, and adapters have few tensors.
    tensors = [tensor for lora in spec.lora for tensor in read_gguf(locate(lora.gguf, lora.origin)).tensors]
    adapters = weights_by_layer(tensors, n_layers).split(gpu_layers)
    masks = 2 if header.number("attention.sliding_window") else 1
    mask = masks * rows * positions * (_F16 if spec.flash_attention else _F32)
    widest = max(header.n_vocab, widest_activation(header))
    if not spec.flash_attention:
        widest = max(widest, most_heads(header) * positions)
    graph = rows * (widest + 4 * header.n_embd) * _F32 + mask
    inputs = rows * header.n_embd * _F32 + mask
    host = (graph if gpu_layers <= n_layers else inputs) + spec.width * header.n_vocab * _F32
    compute = (host, graph if gpu_layers else 0)
    return (
        MemoryEstimate(weights[0], kv[0], compute[0], adapters[0]),
        MemoryEstimate(weights[1], kv[1], compute[1], adapters[1]),
    )
