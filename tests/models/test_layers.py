"""What layers take in models of other families, from headers alone, and cache types that cannot be."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import ModelSpec, estimate_memory, read_gguf
from pytest_llmcheck.models.layers import check_cache_types
from pytest_llmcheck.models.spec import CACHE_TYPES
from tests.support.gguf_files import array, header, made, string, tensor, tiny_llama, u32

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_llmcheck.models import GGUFHeader


def spec(n_ctx: int | None = None, width: int = 4, **settings: Any) -> ModelSpec:
    return ModelSpec("m", gguf="x", n_ctx=n_ctx, width=width, **settings)


def family(folder: Path, architecture: str, *parts: bytes, tensors: Sequence[bytes] = ()) -> GGUFHeader:
    """A model of two layers with a context of 512, a hidden size of 64 and a vocabulary of 300."""
    sizes = {"context_length": 512, "block_count": 2, "embedding_length": 64, "vocab_size": 300}
    keys = [u32(f"{architecture}.{key}", size) for key, size in sizes.items()]
    return read_gguf(
        made(folder, header(string("general.architecture", architecture), *keys, *parts, tensors=tensors))
    )


def state_keys(architecture: str, groups: int = 0) -> list[bytes]:
    sizes = {"state_size": 16, "inner_size": 128, "conv_kernel": 4, "group_count": groups}
    return [u32(f"{architecture}.ssm.{key}", size) for key, size in sizes.items()]


def heads(architecture: str, *kv: int) -> list[bytes]:
    kv_heads = array(f"{architecture}.attention.head_count_kv", 4, len(kv), struct.pack(f"<{len(kv)}I", *kv))
    return [u32(f"{architecture}.attention.head_count", 4), kv_heads]


STATE = (3 * 128 + 16 * 128) * 4  # bytes of one layer and stream
ATTENTION = 2 * (2 * 16) * 2  # bytes of one position of a layer with 2 heads of 16 in F16


def test_mamba_has_a_state_and_no_cache(tmp_path: Path) -> None:
    mamba = family(tmp_path, "mamba", *state_keys("mamba"))
    assert estimate_memory(mamba, spec(width=1)).kv == 2 * STATE
    assert estimate_memory(mamba, spec(64, width=3)).kv == 3 * 2 * STATE


def test_mamba2_has_groups(tmp_path: Path) -> None:
    mamba = family(tmp_path, "mamba2", *state_keys("mamba2", groups=2))
    assert estimate_memory(mamba, spec(width=1)).kv == 2 * (3 * (128 + 2 * 2 * 16) + 16 * 128) * 4


def test_hybrid_by_its_heads(tmp_path: Path) -> None:
    jamba = family(tmp_path, "jamba", *heads("jamba", 0, 2), *state_keys("jamba"))
    assert estimate_memory(jamba, spec(width=1)).kv == STATE + 512 * ATTENTION


def test_hybrid_with_both_in_every_layer(tmp_path: Path) -> None:
    parts = [*heads("falcon-h1", 2, 2), *state_keys("falcon-h1")]
    tensors = [tensor(f"blk.{layer}.ssm_d", (0,)) for layer in (0, 1)]
    falcon = family(tmp_path, "falcon-h1", *parts, tensors=tensors)
    assert estimate_memory(falcon, spec(width=1)).kv == 2 * (STATE + 512 * ATTENTION)


def test_hybrid_by_its_interval(tmp_path: Path) -> None:
    parts = [*heads("qwen3next", 2, 2), *state_keys("qwen3next"), u32("qwen3next.full_attention_interval", 2)]
    qwen = family(tmp_path, "qwen3next", *parts, tensors=[tensor("blk.0.ssm_a", (0,))])
    assert estimate_memory(qwen, spec(width=1)).kv == STATE + 512 * ATTENTION


def test_a_state_that_the_file_does_not_describe_counts_nothing(tmp_path: Path) -> None:
    rwkv = family(tmp_path, "rwkv6", u32("rwkv6.wkv.head_size", 64))
    assert estimate_memory(rwkv, spec()).kv == 0


def test_experts_that_are_used_count_as_activations(tmp_path: Path) -> None:
    used, width = 8, 1000
    experts = [u32("qwen3moe.expert_used_count", used), u32("qwen3moe.expert_feed_forward_length", width)]
    moe = family(tmp_path, "qwen3moe", *heads("qwen3moe", 2, 2), *experts)
    estimate = estimate_memory(moe, spec(width=1), rows=10)
    assert estimate.compute == 10 * (3 * used * width + 4 * 64) * 4 + 10 * 512 * 2 + 300 * 4


def test_feed_forward_widths_by_layer(tmp_path: Path) -> None:
    widths = array("openelm.feed_forward_length", 4, 2, struct.pack("<2I", 200, 900))
    model = family(tmp_path, "openelm", *heads("openelm", 2, 1), widths)
    estimate = estimate_memory(model, spec(width=1), rows=10)
    assert estimate.compute == 10 * (3 * 900 + 4 * 64) * 4 + 10 * 512 * 2 + 300 * 4


def test_a_sliding_window_counts_in_full(tmp_path: Path) -> None:
    gemma = [u32("gemma3.attention.sliding_window", 128), u32("gemma3.attention.key_length", 32)]
    gemma += [u32("gemma3.attention.value_length", 32), u32("gemma3.attention.key_length_swa", 48)]
    model = family(tmp_path, "gemma3", *heads("gemma3", 2, 2), *gemma)
    estimate = estimate_memory(model, spec(width=1), rows=10)
    assert estimate.kv == 512 * 2 * 2 * (48 + 32) * 2
    # A mask for the layers with a window, and one for those without.
    assert estimate.compute == 10 * (300 + 4 * 64) * 4 + 2 * 10 * 512 * 2 + 300 * 4


# --- cache types for which there is no context


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"kv": ("q8", "f16")}, "there is no cache type 'q8'; did you mean 'q8_0'?"),
        (
            {"kv": ("q8_0", "f16")},
            "heads of 16 values cannot be kept as q8_0, whose blocks hold 32; take f16 for",
        ),
        ({"kv": ("f16", "q4_0")}, "whose blocks hold 32; take f16 for the V cache"),
    ],
)
def test_cache_types(tiny: Path, settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ModelError, match=fault.replace("?", r"\?")):
        check_cache_types(read_gguf(tiny), spec(**settings))


def test_cache_types_that_do(tiny: Path, smollm2: Path) -> None:
    check_cache_types(read_gguf(tiny), spec(kv=("bf16", "f32")))
    for keys, values in itertools.product(CACHE_TYPES, CACHE_TYPES):
        check_cache_types(read_gguf(smollm2), spec(kv=(keys, values)))


def test_cache_types_and_flash_attention(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    check_cache_types(header, spec(kv=("q8_0", "f16"), flash_attention=False))
    with pytest.raises(ModelError, match=r"a quantised V cache \(q8_0\) needs flash attention"):
        check_cache_types(header, spec(kv=("q8_0", "q8_0"), flash_attention=False))


def test_one_cache_for_keys_and_values(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "t.gguf", metadata={"llama.attention.key_length_mla": 48})
    with pytest.raises(ModelError, match="keys and values in one cache, which cannot be f32 and f16"):
        check_cache_types(read_gguf(path), spec(kv=("f32", "f16")))
