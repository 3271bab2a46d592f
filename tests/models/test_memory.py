"""What a model takes, and what the machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import (
    ModelSpec,
    RopeSpec,
    context_of,
    estimate_memory,
    read_gguf,
)
from pytest_llmcheck.models.quants import TENSOR_TYPES_BY_NAME
from pytest_llmcheck.models.spec import CACHE_TYPES
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


MIB = 1 << 20


def spec(n_ctx: int | None = None, width: int = 4, **settings: Any) -> ModelSpec:
    return ModelSpec("m", gguf="x", n_ctx=n_ctx, width=width, **settings)


# --- context


def test_context(tiny: Path, smollm2: Path) -> None:
    assert context_of(read_gguf(tiny), spec()) == 512
    assert context_of(read_gguf(smollm2), spec()) == 4096  # trained for 8192
    assert context_of(read_gguf(tiny), spec(512)) == 512
    assert context_of(read_gguf(tiny), spec(1)) == 1


def test_context_beyond_training(tiny: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"model 'm': n_ctx = 513, but .*tiny-F16.gguf was trained for 512 tokens; set n_ctx to 512",
    ):
        context_of(read_gguf(tiny), spec(513))


def test_no_context(tiny: Path) -> None:
    with pytest.raises(ModelError, match="n_ctx = 0 is no context; take 1 to 512"):
        context_of(read_gguf(tiny), spec(0))


@pytest.mark.parametrize(
    ("rope", "most"),
    [
        (RopeSpec("yarn", 4.0), 2048),
        (RopeSpec("linear", 1.5), 768),
        (RopeSpec("linear", 1.0), 512),
        (RopeSpec("none"), 512),
        (RopeSpec(freq_base=1e6), 512),
        (RopeSpec("yarn"), 512),
    ],
)
def test_rope_scaling_stretches_the_context(tiny: Path, rope: RopeSpec, most: int) -> None:
    header = read_gguf(tiny)
    assert context_of(header, spec(rope=rope)) == most
    assert context_of(header, spec(most, rope=rope)) == most
    with pytest.raises(ModelError, match=f"set n_ctx to {most} or less"):
        context_of(header, spec(most + 1, rope=rope))


def test_rope_scaling_is_in_the_message(tiny: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"for 512 tokens, and yarn rope scaling by 4 stretches that to 2048; set n_ctx to 2048",
    ):
        context_of(read_gguf(tiny), spec(4000, rope=RopeSpec("yarn", 4.0)))


def test_rope_scaling_replaces_the_files_own(tmp_path: Path) -> None:
    keys: dict[str, int | float] = {"llama.rope.scaling.original_context_length": 128}
    header = read_gguf(tiny_llama(tmp_path / "t.gguf", metadata=keys))
    assert context_of(header, spec(rope=RopeSpec("yarn", 8.0))) == 1024
    assert context_of(header, spec(rope=RopeSpec("yarn", 2.0))) == 512


# --- estimate: figures of llama.cpp 0.3.36's own log (CPU, flash attention on, separate streams)


@pytest.mark.parametrize(
    ("n_ctx", "width", "rows", "kv", "compute"),
    [
        (4096, 4, 512, 360.0, 98.25 + 0.75),
        (1000, 2, 64, 45.0, 12.28 + 0.38),
        (2048, 8, 256, 360.0, 51.26 + 1.5),
    ],
)
def test_smollm2_against_the_log_of_llama_cpp(
    smollm2: Path, n_ctx: int, width: int, rows: int, kv: float, compute: float
) -> None:
    estimate = estimate_memory(read_gguf(smollm2), spec(n_ctx, width), rows=rows)
    assert estimate.kv == kv * MIB
    assert estimate.compute / MIB == pytest.approx(compute, rel=0.1)


@pytest.mark.parametrize(
    ("n_ctx", "width", "rows", "kv", "size"),
    [
        (4096, 4, 512, ("q8_0", "q8_0"), 191.25),
        (1000, 2, 64, ("q4_0", "f16"), 28.828125),
        (2048, 8, 256, ("f32", "bf16"), 540.0),
    ],
)
def test_cache_types_against_the_log_of_llama_cpp(
    smollm2: Path, n_ctx: int, width: int, rows: int, kv: tuple[str, str], size: float
) -> None:
    assert estimate_memory(read_gguf(smollm2), spec(n_ctx, width, kv=kv), rows=rows).kv == size * MIB


@pytest.mark.parametrize(
    ("n_ctx", "width", "rows", "compute"),
    [
        (4096, 4, 512, 99.38 + 0.75),
        (1000, 2, 64, 12.28 + 0.38),
        (8192, 1, 64, 20.80 + 0.19),
        (8192, 1, 256, 83.19 + 0.19),
        (8192, 4, 65, 22.10 + 0.75),
    ],
)
def test_without_flash_attention_against_the_log_of_llama_cpp(
    smollm2: Path, n_ctx: int, width: int, rows: int, compute: float
) -> None:
    estimate = estimate_memory(read_gguf(smollm2), spec(n_ctx, width, flash_attention=False), rows=rows)
    assert estimate.compute / MIB == pytest.approx(compute, rel=0.1)


def test_tiny_against_the_log_of_llama_cpp(tiny: Path) -> None:
    estimate = estimate_memory(read_gguf(tiny), spec(512, 4), rows=64)
    assert estimate.kv == 0.5 * MIB
    assert estimate.weights / MIB == pytest.approx(0.21, abs=0.005)
    assert estimate.total == estimate.weights + estimate.kv + estimate.compute


def test_layers_that_differ(tmp_path: Path) -> None:
    path = tiny_llama(
        tmp_path / "t.gguf", metadata={"llama.attention.key_length": 32, "llama.attention.value_length": 8}
    )
    assert estimate_memory(read_gguf(path), spec(256, 1)).kv == 256 * 2 * (2 * (32 + 8)) * 2


def test_latent_attention_stores_no_values(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "t.gguf", metadata={"llama.attention.key_length_mla": 48})
    assert estimate_memory(read_gguf(path), spec(256, 1)).kv == 256 * 2 * (2 * 16) * 2


def test_transposed_values_are_as_wide_as_the_widest(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "t.gguf", metadata={"llama.attention.head_count_kv": [2, 1]})
    header = read_gguf(path)
    assert estimate_memory(header, spec(256, 1)).kv == 256 * 16 * (2 + 1) * 2 * 2
    assert estimate_memory(header, spec(256, 1, flash_attention=False)).kv == 256 * 16 * (3 + 4) * 2


# --- laws


KINDS = st.sampled_from(CACHE_TYPES)


@settings(max_examples=50, deadline=None)
@given(one=st.tuples(KINDS, KINDS), other=st.tuples(KINDS, KINDS), flash=st.booleans())
def test_law_larger_cache_types_never_take_less(
    smollm2: Path, one: tuple[str, str], other: tuple[str, str], flash: bool
) -> None:
    def kv(kinds: tuple[str, str]) -> int:
        return estimate_memory(read_gguf(smollm2), spec(kv=kinds, flash_attention=flash)).kv

    smaller = [
        min(pair, key=lambda kind: TENSOR_TYPES_BY_NAME[kind.upper()].bits)
        for pair in zip(one, other, strict=True)
    ]
    assert kv((smaller[0], smaller[1])) <= min(kv(one), kv(other))


@settings(max_examples=50, deadline=None)
@given(short=st.integers(1, 512), long=st.integers(1, 512), narrow=st.integers(1, 8), wide=st.integers(1, 8))
def test_law_more_context_or_width_never_takes_less(
    tiny: Path, short: int, long: int, narrow: int, wide: int
) -> None:
    header = read_gguf(tiny)
    short, long = sorted((short, long))
    narrow, wide = sorted((narrow, wide))
    for flash in (True, False):
        small, large = (
            estimate_memory(header, spec(n_ctx, width, flash_attention=flash))
            for n_ctx, width in ((short, narrow), (long, wide))
        )
        assert small.kv <= large.kv
        assert small.total <= large.total
