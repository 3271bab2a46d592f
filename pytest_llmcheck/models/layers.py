"""What each layer of a model takes, in bytes: weights, KV cache, recurrent state.

llama.cpp counts the output layer as the last one: a model of 30 blocks has 31 layers that can be offloaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError, did_you_mean
from pytest_llmcheck.models.arrays import GGUFArray
from pytest_llmcheck.models.quants import TENSOR_TYPES_BY_NAME
from pytest_llmcheck.models.spec import CACHE_TYPES, QUANTISED_CACHE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llmcheck.models.header import GGUFHeader, TensorInfo
    from pytest_llmcheck.models.spec import ModelSpec

_BLOCK = re.compile(r"blk\.(\d+)\.")
_EMBEDDING = "token_embd.weight"
_F32 = 4


@dataclass(frozen=True, slots=True)
class LayerBytes:
    """Bytes by layer.

    Attributes:
        input: of the token embedding and what belongs to no layer; always in main memory.
        layers: of each block, then of the output layer.
        shared: of the token embedding where it is the output layer too: a copy of it is made wherever the
            output layer is put, if that is not main memory.
    """

    input: int
    layers: tuple[int, ...]
    shared: int = 0

    def split(self, gpu_layers: int) -> tuple[int, int]:
        """Bytes in main memory and on the GPU with the last `gpu_layers` layers on the GPU."""
        first = len(self.layers) - gpu_layers
        copied = self.shared if gpu_layers > 0 else 0
        return self.input + sum(self.layers[:first]), sum(self.layers[first:]) + copied


def weights_by_layer(tensors: Iterable[TensorInfo], n_layers: int) -> LayerBytes:
    """The bytes of tensors, those of an adapter also, assigned as llama.cpp's `load_tensors` does it."""
    first, layers, embedding, tied = 0, [0] * (n_layers + 1), 0, True
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        if block and int(block[1]) < n_layers:
            layers[int(block[1])] += tensor.n_bytes
        elif tensor.name.startswith("output"):
            layers[n_layers] += tensor.n_bytes
            tied = tied and tensor.name != "output.weight"
        else:
            first += tensor.n_bytes
            embedding += tensor.n_bytes if tensor.name == _EMBEDDING else 0
    return LayerBytes(first, tuple(layers), embedding if tied else 0)


def kv_by_layer(header: GGUFHeader, spec: ModelSpec) -> LayerBytes:
    """Bytes that one position of one stream takes in the KV cache.

    As `llama_kv_cache` allocates it: rows of KV heads x head width values, in the blocks of the cache's
    types. A model with latent attention (MLA) stores no values. Without flash attention the values are kept
    transposed, and all layers are as wide as the widest.
    """
    heads = _heads_with_cache(header)
    latent = header.has("attention.key_length_mla")
    keys = [count * _head_width(header, header.key_length, "key") for count in heads]
    values = [0 if latent else count * _head_width(header, header.value_length, "value") for count in heads]
    if not spec.flash_attention:
        values = [max(values, default=0) if count else 0 for count in heads]
    rows = (
        row_bytes(spec.kv[0], n_keys) + row_bytes(spec.kv[1], n_values)
        for n_keys, n_values in zip(keys, values, strict=True)
    )
    return LayerBytes(0, (*rows, 0))


def state_by_layer(header: GGUFHeader) -> LayerBytes:
    """Bytes of one stream's recurrent state (F32), 0 for layers without one and where the file does not say.

    Convolution: (kernel - 1) x (inner + 2 x groups x state) values, as `llama_hparams::n_embd_r`; state:
    state x inner values, as `n_embd_s`. The states of RWKV, LFM2 and Kimi are not counted: they are small.
    """
    size, inner, kernel, groups = (
        header.number(f"ssm.{key}") for key in ("state_size", "inner_size", "conv_kernel", "group_count")
    )
    state = (max(kernel - 1, 0) * (inner + 2 * groups * size) + size * inner) * _F32
    recurrent = _recurrent_layers(header)
    return LayerBytes(0, (*(state if flag else 0 for flag in recurrent), 0))


def row_bytes(cache_type: str, n_values: int) -> int:
    """Bytes of `n_values` values in a cache of a type such as ``f16`` or ``q8_0``, in whole blocks.

    >>> row_bytes("f16", 64), row_bytes("q8_0", 64)
    (128, 68)
    """
    kind = TENSOR_TYPES_BY_NAME[cache_type.upper()]
    return -(-n_values // kind.block_size) * kind.block_bytes


def check_cache_types(header: GGUFHeader, spec: ModelSpec) -> None:
    """Refuse types of the KV cache for which llama.cpp makes no context.

    Raises:
        ModelError: an unknown type, heads that are no whole number of its blocks, a quantised V without
            flash attention, or two types where the model has one cache for both.
    """
    if spec.kv == ("f16", "f16"):
        return
    for letter, cache_type in zip("KV", spec.kv, strict=True):
        if cache_type not in CACHE_TYPES:
            hint = did_you_mean(cache_type, CACHE_TYPES)
            raise ModelError(f"kv: there is no cache type {cache_type!r}; {hint}")
        kind = TENSOR_TYPES_BY_NAME[cache_type.upper()]
        width = header.key_length if letter == "K" else header.value_length
        if width % kind.block_size:
            raise ModelError(
                f"kv: heads of {width} values cannot be kept as {cache_type}, whose blocks hold "
                f"{kind.block_size}; take f16 for the {letter} cache"
            )
    if spec.kv[1] in QUANTISED_CACHE_TYPES and not spec.flash_attention:
        raise ModelError(
            f"kv: a quantised V cache ({spec.kv[1]}) needs flash attention; take flash_attention = true, or "
            f"f16 for the V cache"
        )
    if spec.kv[0] != spec.kv[1] and header.has("attention.key_length_mla"):
        raise ModelError(
            f"kv: {header.path} keeps keys and values in one cache, which cannot be {spec.kv[0]} and "
            f"{spec.kv[1]}; take one type for both"
        )


def widest_activation(header: GGUFHeader) -> int:
    """Values of one token in the widest place of a block: gate, up and product of the feed-forward part."""
    dense = header.metadata.get(f"{header.architecture}.feed_forward_length")
    if isinstance(dense, GGUFArray):
        dense = max((width for width in dense if isinstance(width, int)), default=0)
    experts = header.number("expert_used_count") * header.number("expert_feed_forward_length")
    return 3 * max(dense if isinstance(dense, int) else 0, experts)


def most_heads(header: GGUFHeader) -> int:
    """Attention heads of the layer that has most."""
    heads = header.n_heads
    return heads if isinstance(heads, int) else max(heads, default=0)


def _heads_with_cache(header: GGUFHeader) -> tuple[int, ...]:
    heads = header.kv_heads_by_layer
    if not header.number("full_attention_interval"):
        return heads
    # Qwen3-Next and its like name the heads once for all layers, and most layers keep a state instead.
    return tuple(
        0 if state else count for count, state in zip(heads, _with_state_tensors(header), strict=True)
    )


def _recurrent_layers(header: GGUFHeader) -> tuple[bool, ...]:
    named = _with_state_tensors(header)
    return named if any(named) else tuple(not count for count in header.kv_heads_by_layer)


def _with_state_tensors(header: GGUFHeader) -> tuple[bool, ...]:
    blocks = {
        int(block[1])
        for tensor in header.tensors
        if (block := _BLOCK.match(tensor.name)) and tensor.name.startswith("ssm_", block.end())
    }
    return tuple(layer in blocks for layer in range(header.n_layers))


def _head_width(header: GGUFHeader, width: int, what: str) -> int:
    """The larger width where layers with a sliding window have one of their own."""
    return max(width, header.number(f"attention.{what}_length_swa"))
