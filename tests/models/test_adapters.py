"""LoRA adapters: found, and nothing reaches llama.cpp that it refuses, crashes on, or ignores."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from llama_cpp import llama_cpp as llama

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import LoraSpec, ModelSpec, content_hash, estimate_memory, read_gguf, resolve
from tests.support.adapters import tiny_lora
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.models import Progress, ResolvedModel
    from tests.support.adapters import Matrix

AGAIN = "convert it again with llama.cpp's convert_lora_to_gguf.py"
PAIR = "blk.0.attn_q.weight"


def never(source: Path, target: Path, quant: str, progress: Progress) -> None:
    raise AssertionError("the quantiser was called")


def with_adapters(base: Path, *adapters: Path | LoraSpec) -> ResolvedModel:
    lora = tuple(LoraSpec(str(each)) if isinstance(each, Path) else each for each in adapters)
    return resolve(ModelSpec("m", gguf=str(base), lora=lora), quantise=never)


def refused(base: Path, adapter: Path) -> str:
    with pytest.raises(ModelError) as caught:
        with_adapters(base, adapter)
    said = str(caught.value)
    assert said.startswith("model 'm': ")
    return said.removeprefix("model 'm': ").removeprefix(f"{adapter} cannot be used as a LoRA adapter: ")


# --- found


def test_hash_and_scale_in_the_order_declared(tiny: Path, tmp_path: Path) -> None:
    first, second = tiny_lora(tmp_path / "b.gguf", tiny), tiny_lora(tmp_path / "a.gguf", tiny, seed=1)
    config = tmp_path / "pyproject.toml"
    model = with_adapters(tiny, LoraSpec("b.gguf", 0.5, config), LoraSpec("a.gguf", origin=config))
    assert [(each.path, each.scale) for each in model.adapters] == [(first, 0.5), (second, 1.0)]
    assert [each.sha256 for each in model.adapters] == [content_hash(first), content_hash(second)]
    assert model.sha256 == content_hash(tiny)


def test_none(tiny: Path) -> None:
    assert with_adapters(tiny).adapters == ()


def test_a_model_from_another_shares_its_file(tiny: Path, tmp_path: Path) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    base = ModelSpec("base", gguf=str(tiny))
    model = resolve(ModelSpec("m", base=base, lora=(LoraSpec(str(adapter)),)), quantise=never)
    assert (model.path, model.adapters[0].path) == (tiny, adapter)


def test_for_the_real_model(smollm2: Path, tmp_path: Path) -> None:
    assert with_adapters(smollm2, tiny_lora(tmp_path / "a.gguf", smollm2)).adapters


def test_missing(tiny: Path, tmp_path: Path) -> None:
    assert "a.gguf does not exist; correct the name, or download it" in refused(tiny, tmp_path / "a.gguf")


def test_named_twice(tiny: Path, tmp_path: Path) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    with pytest.raises(ModelError, match=r"a.gguf is named twice; name it once and add the scales"):
        with_adapters(tiny, adapter, adapter)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_no_scale(tiny: Path, tmp_path: Path, scale: float) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    with pytest.raises(ModelError, match=f"scale = {scale} is no number to multiply by"):
        with_adapters(tiny, LoraSpec(str(adapter), scale))


# --- refused


def test_a_model_is_no_adapter(tiny: Path) -> None:
    assert refused(tiny, tiny) == (
        "metadata key 'general.type' is missing instead of 'adapter'; name the adapter's file"
    )


def test_an_adapter_is_no_model(tiny: Path, tmp_path: Path) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    with pytest.raises(ModelError, match=r"has no metadata key .*\(a LoRA adapter"):
        estimate_memory(read_gguf(adapter), ModelSpec("m", gguf="x"))


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        (
            {"general.type": "mmproj"},
            "'general.type' is 'mmproj' instead of 'adapter'; name the adapter's file",
        ),
        ({"general.type": 3}, "'general.type' is '3' instead of 'adapter'"),
        (
            {"adapter.type": "control_vector"},
            "'adapter.type' is 'control_vector' instead of 'lora'; other kinds are not run",
        ),
        (
            {"general.architecture": "qwen2"},
            "'general.architecture' is 'qwen2' instead of 'llama'; it was made",
        ),
        ({"adapter.lora.alpha": None}, "'adapter.lora.alpha' is missing, a float32 is needed; " + AGAIN),
        ({"adapter.lora.alpha": 4}, "'adapter.lora.alpha' holds 4, a float32 is needed; " + AGAIN),
        ({"adapter.lora.alpha": float("nan")}, "'adapter.lora.alpha' holds nan, a float32 is needed"),
        ({"adapter.alora.invocation_tokens": [1, 2]}, "it is an activated LoRA"),
    ],
)
def test_metadata(
    tiny: Path, tmp_path: Path, keys: Mapping[str, str | int | float | list[int] | None], fault: str
) -> None:
    assert fault in refused(tiny, tiny_lora(tmp_path / "a.gguf", tiny, keys=keys))


def zeros(*shape: int) -> Matrix:
    return np.zeros(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({f"{PAIR}.lora_a": None}, f"tensor '{PAIR}.lora_a' is missing; {AGAIN}"),
        ({f"{PAIR}.lora_b": None}, f"tensor '{PAIR}.lora_b' is missing; {AGAIN}"),
        (
            {"blk.0.attn_q.bias": zeros(64)},
            "tensor 'blk.0.attn_q.bias' is not half of a pair .lora_a, .lora_b; ",
        ),
        (
            {"blk.0.attn_norm.weight": zeros(64)},
            "(llama.cpp would ignore it); merge the adapter into the model",
        ),
        (
            {"blk.7.attn_q.weight.lora_a": zeros(4, 64), "blk.7.attn_q.weight.lora_b": zeros(64, 4)},
            "it changes 'blk.7.attn_q.weight', which ",
        ),
        (
            {f"{PAIR}.lora_a": zeros(4, 32)},
            f"'{PAIR}.lora_a' of shape 32 x 4 and '{PAIR}.lora_b' of shape 4 x 64",
        ),
        ({f"{PAIR}.lora_b": zeros(32, 4)}, f"do not make a change of '{PAIR}', which is of shape 64 x 64; "),
        ({f"{PAIR}.lora_b": zeros(64, 5)}, "of shape 5 x 64 do not make a change"),
        ({f"{PAIR}.lora_a": zeros(2, 4, 64)}, "of shape 64 x 4 x 2 and"),
        ({f"{PAIR}.lora_a": np.zeros((4, 64))}, f"'{PAIR}.lora_a' is of type F64; {AGAIN} --outtype f16"),
        (
            {"output_norm.weight.lora_a": zeros(4, 64), "output_norm.weight.lora_b": zeros(1, 4)},
            "it changes 'output_norm.weight', which is no matrix: llama.cpp would ignore it",
        ),
        (
            {"token_embd.weight.lora_a": zeros(259, 4), "token_embd.weight.lora_b": zeros(64, 5)},
            "do not make a change of 'token_embd.weight', which is of shape 64 x 259",
        ),
    ],
)
def test_tensors(tiny: Path, tmp_path: Path, tensors: Mapping[str, Matrix | None], fault: str) -> None:
    assert fault in refused(tiny, tiny_lora(tmp_path / "a.gguf", tiny, tensors=tensors))


def test_nothing_in_it(tiny: Path, tmp_path: Path) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny, targets=("none",))
    assert refused(tiny, adapter) == f"it holds no matrices; {AGAIN}"


def test_for_another_model(tiny: Path, tmp_path: Path) -> None:
    wider = tiny_llama(tmp_path / "wide.gguf", n_embd=96)
    assert "it was made for another model" in refused(tiny, tiny_lora(tmp_path / "a.gguf", wider))


def test_an_embedding_that_is_the_output_layer_too(smollm2: Path, tmp_path: Path) -> None:
    """llama.cpp aborts at the first decode: GGML_ASSERT(ggml_can_mul_mat(a, b))."""
    pair = {"token_embd.weight.lora_a": zeros(49152, 4), "token_embd.weight.lora_b": zeros(576, 4)}
    adapter = tiny_lora(tmp_path / "a.gguf", smollm2, tensors=pair)
    assert "it changes the token embedding, which" in refused(smollm2, adapter)


def test_an_embedding_of_its_own(tiny: Path, tmp_path: Path) -> None:
    pair = {"token_embd.weight.lora_a": zeros(259, 4), "token_embd.weight.lora_b": zeros(64, 4)}
    assert with_adapters(tiny, tiny_lora(tmp_path / "a.gguf", tiny, tensors=pair)).adapters


@pytest.mark.parametrize("left", [0, 3, 20, 100, 400, 1500, -1])
def test_cut_off(tiny: Path, tmp_path: Path, left: int) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    adapter.write_bytes(adapter.read_bytes()[:left])
    said = refused(tiny, adapter)
    assert "is cut off" in said or "is empty" in said or "is not a GGUF file" in said


def test_read_before_anything_is_hashed(tiny: Path, tmp_path: Path) -> None:
    """A fault is told at once, not after minutes of hashing."""
    stages: list[str] = []
    base = tmp_path / "base.gguf"
    shutil.copyfile(tiny, base)
    spec = ModelSpec("m", gguf=str(base), lora=(LoraSpec(str(tiny)),))
    with pytest.raises(ModelError):
        resolve(spec, quantise=never, progress=lambda stage, _: stages.append(stage))
    assert stages == []


# --- memory


def test_adapters_count(tiny: Path, tmp_path: Path) -> None:
    adapter = tiny_lora(tmp_path / "a.gguf", tiny)
    header = read_gguf(tiny)
    spec = ModelSpec("m", gguf="x")
    without, with_it = (
        estimate_memory(header, each)
        for each in (spec, ModelSpec("m", gguf="x", lora=(LoraSpec(str(adapter)),)))
    )
    # Two layers; queries 64 -> 64 and values 64 -> 32, rank 4, F32.
    assert with_it.adapters == 2 * (64 + 64 + 64 + 32) * 4 * 4
    assert with_it.total == without.total + with_it.adapters


# --- what passes is what llama.cpp runs


def test_llama_cpp_runs_what_passes(tiny: Path, tmp_path: Path) -> None:
    every = ("attn_q.weight", "attn_output.weight", "ffn_down.weight", "output.weight")
    pair = {"token_embd.weight.lora_a": zeros(259, 4), "token_embd.weight.lora_b": zeros(64, 4)}
    adapter = tiny_lora(tmp_path / "a.gguf", tiny, targets=every, tensors=pair)
    with_adapters(tiny, adapter)
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    parameters.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(str(tiny).encode(), parameters)
    assert model
    loaded = llama.llama_adapter_lora_init(model, str(adapter).encode())
    assert loaded
    context_parameters = llama.llama_context_default_params()
    context_parameters.n_ctx = 256
    context = llama.llama_init_from_model(model, context_parameters)
    assert context

    def logits(scale: float) -> list[float]:
        memory = llama.llama_get_memory(context)
        llama.llama_memory_clear(memory, True)
        adapters = (llama.llama_adapter_lora_p_ctypes * 1)(loaded)
        assert llama.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(scale)) == 0
        tokens = (llama.llama_token * 3)(70, 80, 90)
        assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, 3)) == 0
        return list(llama.llama_get_logits_ith(context, -1)[:259])

    plain, half, whole = logits(0.0), logits(0.5), logits(1.0)
    llama.llama_free(context)
    llama.llama_model_free(model)
    difference = [max(abs(np.subtract(plain, other))) for other in (half, whole)]
    assert 0.1 < difference[0] != difference[1]
