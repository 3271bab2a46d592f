"""Whether a model fits, and that what is proposed instead does."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import (
    LoraSpec,
    ModelSpec,
    check_fit,
    estimate_memory,
    layers_that_fit,
    read_gguf,
)
from pytest_llmcheck.models.layers import weights_by_layer
from pytest_llmcheck.models.memory import split_estimate
from pytest_llmcheck.models.spec import CACHE_TYPES
from tests.support.adapters import tiny_lora
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.models import GGUFHeader

MIB = 1 << 20


def spec(n_ctx: int | None = None, width: int = 4, **settings: Any) -> ModelSpec:
    return ModelSpec("m", gguf="x", n_ctx=n_ctx, width=width, **settings)


def refused(header: GGUFHeader, model: ModelSpec, available: int, device_memory: int | None) -> str:
    with pytest.raises(ModelError) as caught:
        check_fit(header, model, available, device_memory=device_memory)
    return str(caught.value)


# --- main memory alone


def test_fit_gives_the_estimate(tiny: Path) -> None:
    header = read_gguf(tiny)
    estimate = estimate_memory(header, spec())
    assert check_fit(header, spec(), estimate.total) == estimate


def test_no_fit_says_what_would(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    with pytest.raises(ModelError) as caught:
        check_fit(header, spec(), 300 * MIB)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"model 'm' does not fit into memory ({smollm2}, Q4_1):"
    assert lines[1:6] == [
        "  weights          96.6 MB",
        "  KV cache        377.5 MB   (4 conversations of 4096 tokens)",
        "  compute          14.7 MB",
        "  together        488.8 MB",
        "  available       314.6 MB",
    ]
    assert lines[6] == "The largest that fits is n_ctx = 2048; set it, or take a smaller quantisation."
    check_fit(header, spec(2048), 300 * MIB)
    with pytest.raises(ModelError):
        check_fit(header, spec(2049), 300 * MIB)


def test_fits_only_alone(smollm2: Path) -> None:
    with pytest.raises(ModelError, match=r"The largest that fits is n_ctx = 768 with width = 1; set it"):
        check_fit(read_gguf(smollm2), spec(width=8), 125 * MIB)


def test_not_even_the_weights_fit(smollm2: Path) -> None:
    with pytest.raises(ModelError, match="Not even the weights fit; take a smaller quantisation or model"):
        check_fit(read_gguf(smollm2), spec(), 50 * MIB)


def test_weights_fit_and_no_context(smollm2: Path) -> None:
    with pytest.raises(ModelError, match="No context fits beside the weights"):
        check_fit(read_gguf(smollm2), spec(), 100_000_000)


def test_adapters_have_a_line(tiny: Path, tmp_path: Path) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    with pytest.raises(ModelError, match=r"\n  adapters          0.0 MB\n  KV cache "):
        check_fit(read_gguf(tiny), spec(lora=(LoraSpec(str(adapter)),)), 500_000)


# --- which layer a tensor belongs to


def test_weights_by_layer(tiny: Path) -> None:
    header = read_gguf(tiny)
    weights = weights_by_layer(header.tensors, 2)
    assert weights.input == 259 * 64 * 2
    assert weights.layers[0] == weights.layers[1]
    assert weights.layers[2] == 259 * 64 * 2 + 64 * 4
    assert weights.input + sum(weights.layers) == header.weight_bytes
    assert weights.shared == 0


def test_an_embedding_that_is_the_output_too_is_there_twice(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    host, device = split_estimate(header, spec(), 31)
    assert host.weights == 49152 * 576 * 34 // 32  # Q8_0
    assert device.weights == header.weight_bytes
    assert split_estimate(header, spec(), 0)[0].weights == header.weight_bytes


def test_adapters_go_with_their_layers(tiny: Path, tmp_path: Path) -> None:
    header = read_gguf(tiny)
    model = spec(lora=(LoraSpec(str(tiny_lora(tmp_path / "a.gguf", tiny))),))
    host, device = split_estimate(header, model, 2)
    assert host.adapters == device.adapters == estimate_memory(header, model).adapters // 2


def test_recurrent_state_goes_with_its_layer(tmp_path: Path) -> None:
    keys = {f"llama.ssm.{key}": 8 for key in ("state_size", "inner_size", "conv_kernel")}
    keys["llama.ssm.group_count"] = 0
    path = tiny_llama(tmp_path / "t.gguf", metadata={"llama.attention.head_count_kv": [0, 2], **keys})
    state = (7 * 8 + 8 * 8) * 4
    host, device = split_estimate(read_gguf(path), spec(width=3), 2)
    assert host.kv == 3 * state
    assert device.kv == 3 * 512 * 2 * 2 * 16 * 2


# --- main memory and a GPU


def test_both_fit(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    host, device = split_estimate(header, spec(), 31)
    estimate = check_fit(header, spec(), host.total, device_memory=device.total)
    assert estimate.total == host.total + device.total
    for available in ((host.total - 1, device.total), (host.total, device.total - 1)):
        with pytest.raises(ModelError):
            check_fit(header, spec(), available[0], device_memory=available[1])


def test_layers_come_from_the_argument_then_the_spec_then_all(smollm2: Path) -> None:
    header = read_gguf(smollm2)

    def total(model: ModelSpec, gpu_layers: int | None = None) -> int:
        return check_fit(header, model, 1 << 40, device_memory=1 << 40, gpu_layers=gpu_layers).total

    def expected(layers: int) -> int:
        return sum(side.total for side in split_estimate(header, spec(), layers))

    assert total(spec()) == total(spec(), 99) == total(spec(gpu_layers=1000)) == expected(31)
    assert total(spec(gpu_layers=5)) == expected(5)
    assert total(spec(gpu_layers=5), 7) == expected(7)
    assert total(spec(device="cpu")) == total(spec(gpu_layers=0)) == estimate_memory(header, spec()).total


def test_no_fit_on_the_gpu_says_what_would(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    lines = refused(header, spec(), 8_000 * MIB, 200 * MIB).splitlines()
    assert lines == [
        f"model 'm' does not fit ({smollm2}, Q4_1, 31 of 31 layers on the GPU):",
        "               main memory           GPU",
        "  weights          30.1 MB       96.6 MB",
        "  KV cache          0.0 MB      377.5 MB   (4 conversations of 4096 tokens)",
        "  compute           1.5 MB       13.9 MB",
        "  together         31.5 MB      488.0 MB",
        "  available     8,388.6 MB      209.7 MB",
        "What fits is gpu_layers = 12, or n_ctx = 1024 with these 31 layers on the GPU; set one of them, "
        "or take a smaller quantisation.",
    ]


def test_only_main_memory_does(smollm2: Path) -> None:
    told = refused(read_gguf(smollm2), spec(), 8_000 * MIB, 10 * MIB)
    assert told.endswith('What fits is device = "cpu"; set it, or take a smaller quantisation.')


def test_who_insists_on_a_gpu_is_not_told_to_do_without(smollm2: Path) -> None:
    for model in (spec(device="gpu"), spec(require_gpu=True)):
        told = refused(read_gguf(smollm2), model, 8_000 * MIB, 10 * MIB)
        assert told.endswith(
            "No number of layers and no context fits; take a smaller quantisation or model, or a larger GPU."
        )


def test_main_memory_is_too_small_and_the_gpu_is_not(smollm2: Path) -> None:
    told = refused(read_gguf(smollm2), spec(gpu_layers=2), 100 * MIB, 8_000 * MIB)
    assert "\nWhat fits is gpu_layers = 31; set it, or" in told


# --- laws

MODELS = st.builds(
    spec,
    st.integers(16, 8192),
    st.integers(1, 8),
    kv=st.tuples(st.sampled_from(CACHE_TYPES), st.sampled_from(["f32", "f16"])),
    flash_attention=st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(model=MODELS, fewer=st.integers(0, 31), more=st.integers(0, 31))
def test_law_what_layers_take(smollm2: Path, model: ModelSpec, fewer: int, more: int) -> None:
    fewer, more = sorted((fewer, more))
    header = read_gguf(smollm2)
    (host, device), (other_host, other_device) = (split_estimate(header, model, n) for n in (fewer, more))
    assert host.total >= other_host.total
    assert device.total <= other_device.total
    assert host.kv + device.kv == other_host.kv + other_device.kv == estimate_memory(header, model).kv
    assert device.total == 0 or fewer


@settings(max_examples=50, deadline=None)
@given(model=MODELS, memory=st.integers(0, 2_000_000_000))
def test_law_the_layers_that_fit_do_and_one_more_does_not(
    smollm2: Path, model: ModelSpec, memory: int
) -> None:
    header = read_gguf(smollm2)
    layers = layers_that_fit(header, model, memory)
    assert split_estimate(header, model, layers)[1].total <= memory
    if layers < 31:
        assert split_estimate(header, model, layers + 1)[1].total > memory


@settings(max_examples=100, deadline=None)
@given(
    model=MODELS,
    layers=st.one_of(st.none(), st.integers(0, 40)),
    available=st.integers(0, 1_500_000_000),
    device_memory=st.one_of(st.none(), st.integers(0, 1_500_000_000)),
)
def test_law_what_is_proposed_fits(
    smollm2: Path, model: ModelSpec, layers: int | None, available: int, device_memory: int | None
) -> None:
    header = read_gguf(smollm2)
    model = replace(model, gpu_layers=layers)
    try:
        check_fit(header, model, available, device_memory=device_memory)
    except ModelError as error:
        last = str(error).splitlines()[-1]
    else:
        assume(False)
    proposals = re.findall(r"(gpu_layers|n_ctx) = (\d+)(?: with width = (\d+))?|device = \"(cpu)\"", last)
    assert bool(proposals) == (" fits is " in last)
    for key, value, width, device in proposals:
        changes: dict[str, Any] = {"device": "cpu", "gpu_layers": None} if device else {key: int(value)}
        if width:
            changes["width"] = int(width)
        check_fit(header, replace(model, **changes), available, device_memory=device_memory)
