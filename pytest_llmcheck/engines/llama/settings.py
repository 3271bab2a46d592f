"""What a model host is started with and what it says of itself; known on both sides of the socket."""

from __future__ import annotations

from typing import Literal

import msgspec

from pytest_llmcheck.engines.types import Numerics


class HostSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides how the weights are loaded. Equal settings share one host and one copy of the weights.

    Attributes:
        path: of the GGUF file, absolute.
        device: ``auto``, ``cpu`` or ``gpu``.
        repack: whether llama.cpp may repack weights; decided by the width, see `canonical.RowRule`.
        gpu_layers: how many layers go to the GPU; -1 means all.
        main_gpu: index of the GPU that holds everything with `split_mode` ``none``.
        split_mode: how several GPUs share the model.
        tensor_split: share of each GPU; empty leaves it to llama.cpp.
        require_gpu: refuse to run where nothing can be offloaded.
    """

    path: str
    device: Literal["auto", "cpu", "gpu"] = "auto"
    repack: bool = False
    gpu_layers: int = -1
    main_gpu: int = 0
    split_mode: Literal["none", "layer", "row"] = "layer"
    tensor_split: tuple[float, ...] = ()
    require_gpu: bool = False


class Rope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RoPE parameters that replace the file's own; see `models.spec.RopeSpec`."""

    scaling: Literal["none", "linear", "yarn"] | None = None
    factor: float | None = None
    freq_base: float | None = None
    original_context: int | None = None


class Adapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A LoRA adapter: its file, the file's hash and the scale."""

    path: str
    sha256: str
    scale: float


class ContextSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One context over the weights of a host; contexts share the weights.

    Attributes:
        n_ctx: tokens of one conversation.
        width: KV streams.
        threads: CPU threads.
        kv: types of the K and the V cache.
        flash_attention: whether it is used.
        rope: what replaces the file's own RoPE parameters.
        adapters: LoRA adapters, applied together.
    """

    n_ctx: int
    width: int = 4
    threads: int = 1
    kv: tuple[str, str] = ("f16", "f16")
    flash_attention: bool = True
    rope: Rope | None = None
    adapters: tuple[Adapter, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model as an engine runs it.

    Attributes:
        name: of the model, for messages; no part of what is shared.
        weights: SHA-256 of the GGUF file.
        host: how the weights are loaded.
        context: what is made over them.
    """

    name: str
    weights: str
    host: HostSettings
    context: ContextSettings


class Offload(msgspec.Struct, frozen=True):
    """Where llama.cpp has put the weights, read from what it says it allocated.

    Attributes:
        layers: how many layers are on a GPU.
        of: how many layers there are, the output layer counted.
        buffers: name and bytes of each buffer that holds weights.
    """

    layers: int
    of: int
    buffers: tuple[tuple[str, int], ...]


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself once the model is loaded and the context made.

    Attributes:
        build: engine and version.
        device: where the layers are.
        numerics: what decides the bits.
        noise: largest difference of a log-probability, in nats, that company made in the probe; 0.0 where
            replies are independent of it.
        n_vocab: size of the vocabulary.
        end_of_generation: names of the tokens that end a reply.
        offload: where the weights are.
        load_seconds: from opening the file until the context was ready.
    """

    build: str
    device: str
    numerics: Numerics
    n_vocab: int
    end_of_generation: tuple[str, ...]
    load_seconds: float
    noise: float = 0.0
    offload: Offload | None = None
