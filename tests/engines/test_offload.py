"""Where the weights are: what llama.cpp is asked for, and what it says it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_llmcheck.engines.llama import bindings, weights
from pytest_llmcheck.engines.llama.bindings import SPLIT_MODES, Device, llama
from pytest_llmcheck.engines.llama.offload import offload_of
from pytest_llmcheck.engines.llama.settings import HostSettings, Offload
from pytest_llmcheck.engines.llama.weights import model_params, usable_gpus
from pytest_llmcheck.errors import EngineError, ModelError
from tests.support.engines import engine, ladder, settings

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20

# As llama.cpp writes them (load_tensors in src/llama-model.cpp).
CUDA = """
load_tensors: offloading output layer to GPU
load_tensors: offloading 29 repeating layers to GPU
load_tensors: offloaded 31/31 layers to GPU
load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
load_tensors:        CUDA0 model buffer size =   136.73 MiB
"""
TWO_CARDS = """
load_tensors: offloaded 20/31 layers to GPU
load_tensors:   CPU_Mapped model buffer size =    60.00 MiB
load_tensors:        CUDA0 model buffer size =    40.50 MiB
load_tensors:        CUDA1 model buffer size =    39.25 MiB
load_tensors:    CUDA_Host model buffer size =     2.00 MiB
"""
ASKED_IN_VAIN = """
load_tensors: offloaded 31/31 layers to GPU
load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
"""
TWO_PARTS = """
load_tensors:   CPU_Mapped model buffer size =    92.00 MiB
load_tensors:   CPU_REPACK model buffer size =    50.00 MiB
load_tensors:   CPU_Mapped model buffer size =     8.00 MiB
"""


@pytest.mark.parametrize(
    ("log", "layers", "of", "buffers"),
    [
        (CUDA, 31, 31, {"CPU_Mapped": 28.69, "CUDA0": 136.73}),
        (TWO_CARDS, 20, 31, {"CPU_Mapped": 60.0, "CUDA0": 40.5, "CUDA1": 39.25, "CUDA_Host": 2.0}),
        (ASKED_IN_VAIN, 0, 31, {"CPU_Mapped": 92.1}),
        (TWO_PARTS, 0, 0, {"CPU_Mapped": 100.0, "CPU_REPACK": 50.0}),
        ("", 0, 0, {}),
    ],
)
def test_read_from_the_log(log: str, layers: int, of: int, buffers: dict[str, float]) -> None:
    found = offload_of(log.splitlines())
    assert (found.layers, found.of) == (layers, of)
    assert {name: size / MIB for name, size in found.buffers} == pytest.approx(buffers, abs=0.01)


def test_on_a_cpu_all_weights_are_in_its_buffers(smollm: Path, short_tmp: Path) -> None:
    made = engine(smollm, short_tmp)
    info = made.load()
    assert info.offload is not None
    assert (info.device, info.offload.layers) == ("CPU", 0)
    assert {name.partition("_")[0] for name, _ in info.offload.buffers} == {"CPU"}
    assert sum(size for _, size in info.offload.buffers) == pytest.approx(96.6e6, rel=0.03)
    made.close()


def test_repacked_weights_show_in_the_buffers(smollm: Path, short_tmp: Path) -> None:
    """What is asked for reaches llama.cpp: at width 8 it may repack, at width 4 it may not."""
    names = []
    for width in (4, 8):
        made = engine(ladder("Q4_0", smollm), short_tmp, width=width)
        offload = made.load().offload
        assert offload is not None
        names.append({name for name, _ in offload.buffers})
        made.close()
    repacked = [any("REPACK" in name for name in found) for found in names]
    if not any(repacked):
        pytest.skip("llama.cpp has no repacked kernels for this processor")
    assert repacked == [False, True]


def test_parameters_reach_llama() -> None:
    asked = HostSettings(path="x", gpu_layers=12, main_gpu=1, split_mode="row", repack=True)
    params = model_params(asked, offload=True)
    assert (params.n_gpu_layers, params.main_gpu, params.split_mode) == (12, 1, SPLIT_MODES["row"])
    assert params.use_extra_bufts
    assert model_params(HostSettings(path="x"), offload=True).n_gpu_layers == -1
    assert model_params(asked, offload=False).n_gpu_layers == 0


def cards(monkeypatch: pytest.MonkeyPatch, *names: str, supported: bool = True) -> None:
    """As if llama.cpp saw these GPUs beside the processor."""
    found = [Device(0, "CPU", "a processor", 0, 0)]
    found += [Device(1, f"CUDA{i}", name, 8 << 30, 16 << 30) for i, name in enumerate(names)]
    monkeypatch.setattr(bindings, "devices", lambda: found)
    monkeypatch.setattr(llama, "llama_supports_gpu_offload", lambda: supported)


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, ["one", "two"]),
        ({"device": "gpu"}, ["one", "two"]),
        ({"device": "cpu"}, []),
        ({"gpu_layers": 0}, []),
        ({"split_mode": "none", "main_gpu": 1}, ["two"]),
        ({"tensor_split": (3.0, 1.0)}, ["one", "two"]),
    ],
)
def test_which_cards_are_used(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], used: list[str]
) -> None:
    cards(monkeypatch, "one", "two")
    asked = msgspec.structs.replace(HostSettings(path="x"), **changes)
    assert [card.description for card in usable_gpus(asked)] == used


@pytest.mark.parametrize("changes", [{"require_gpu": True}, {"device": "gpu"}])
@pytest.mark.parametrize(
    ("names", "supported", "reason"),
    [((), True, "sees no GPU"), (("one",), False, "was built without GPU support")],
)
def test_a_gpu_that_is_required_and_not_there(
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    names: tuple[str, ...],
    supported: bool,
    reason: str,
) -> None:
    cards(monkeypatch, *names, supported=supported)
    assert usable_gpus(HostSettings(path="x")) == []
    asked = msgspec.structs.replace(HostSettings(path="x"), **changes)
    with pytest.raises(EngineError, match=f"asks for a GPU, but the installed llama-cpp-python {reason}"):
        usable_gpus(asked)


@pytest.mark.parametrize("changes", [{"main_gpu": 2}, {"tensor_split": (1.0, 1.0, 1.0)}])
def test_cards_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    cards(monkeypatch, "one", "two")
    asked = msgspec.structs.replace(HostSettings(path="x"), **changes)
    with pytest.raises(EngineError, match=r"the 2 that llama\.cpp sees \(0: one, 1: two\)"):
        usable_gpus(asked)


def test_too_little_memory_on_the_card(monkeypatch: pytest.MonkeyPatch, smollm: Path) -> None:
    """The figures of both sides, and the number of layers that would fit."""
    small = Device(1, "CUDA0", "a small card", 60 << 20, 1 << 30)
    monkeypatch.setattr(weights, "usable_gpus", lambda _: [small])
    with pytest.raises(ModelError) as error:
        weights.Model(settings(smollm, device="auto"), weights_log(), lambda _: True)
    message = str(error.value)
    assert "does not fit" in message
    assert "gpu_layers = " in message


def weights_log() -> Any:
    from pytest_llmcheck.engines.llama.log import Log

    return Log()


@pytest.fixture
def gpu() -> Device:
    """A real GPU that the installed llama-cpp-python can use."""
    found = [device for device in bindings.devices() if device.kind in bindings.GPU_DEVICE_TYPES]
    if not llama.llama_supports_gpu_offload():
        pytest.skip("the installed llama-cpp-python was built without GPU support")
    if not found:
        pytest.skip("no GPU is visible")
    return found[0]


def test_all_layers_on_a_gpu(gpu: Device, smollm: Path, short_tmp: Path) -> None:
    made = engine(smollm, short_tmp, device="gpu", require_gpu=True)
    info = made.load()
    assert isinstance(info.offload, Offload)
    assert info.offload.layers == info.offload.of == 31
    assert gpu.description in info.device
    made.close()


def test_some_layers_on_a_gpu(gpu: Device, smollm: Path, short_tmp: Path) -> None:
    made = engine(smollm, short_tmp, device="auto", gpu_layers=10)
    info = made.load()
    assert info.offload is not None
    assert info.offload.layers == 10
    assert "10 of 31 layers" in info.device
    made.close()


def test_more_than_a_gpu_holds_is_refused(gpu: Device, smollm: Path, short_tmp: Path) -> None:
    width = 8
    fits = gpu.total // (8192 * 23_040 * width)
    if fits > 1:
        pytest.skip(f"{gpu.description} holds {fits} times what this model can ask for")
    made = engine(smollm, short_tmp, device="gpu", n_ctx=8192, width=width)
    with pytest.raises(ModelError, match="does not fit"):
        made.load()
    made.close()
