"""Whether there is room for weights and contexts, asked in the host, just before llama.cpp takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import LoraSpec, ModelSpec, RopeSpec, available_memory, check_fit, context_of
from pytest_llmcheck.models.memory import split_estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.llama.bindings import Device
    from pytest_llmcheck.engines.llama.settings import Settings
    from pytest_llmcheck.models.header import GGUFHeader


class NoRoom(ModelError):  # noqa: N818 - another model may be asked to make room first
    """It does not fit beside what is loaded now."""


def check_weights(header: GGUFHeader, settings: Settings, gpus: Sequence[Device]) -> None:
    """Before loading: weights and the first context.

    Raises:
        NoRoom: with a table.
    """
    _check(header, settings, gpus, loaded=False)


def check_context(header: GGUFHeader, settings: Settings, gpus: Sequence[Device]) -> None:
    """Before making a context over weights that are loaded.

    Raises:
        NoRoom: with a table.
    """
    _check(header, settings, gpus, loaded=True)


def _check(header: GGUFHeader, settings: Settings, gpus: Sequence[Device], *, loaded: bool) -> None:
    spec = spec_of(settings)
    # Impossible rather than too large: no other model can make room for it.
    context_of(header, spec)
    layers = settings.host.gpu_layers if gpus else 0
    wanted = None if layers < 0 else layers
    on_gpus = header.n_layers + 1 if wanted is None else wanted
    available = available_memory()
    # 0 of 0: a backend that does not tell how much memory its device has, and may share the host's.
    device = sum(gpu.free for gpu in gpus) if gpus and all(gpu.total for gpu in gpus) else None
    if loaded:
        host, on_device = split_estimate(header, spec, on_gpus)
        available += host.weights
        device = None if device is None else device + on_device.weights
    try:
        check_fit(header, spec, available, device_memory=device, gpu_layers=wanted)
    except ModelError as error:
        raise NoRoom(str(error)) from None


def spec_of(settings: Settings) -> ModelSpec:
    """The part of a declared model that decides its memory."""
    context = settings.context
    return ModelSpec(
        name=settings.name,
        gguf=settings.host.path,
        n_ctx=context.n_ctx,
        width=context.width,
        kv=context.kv,
        flash_attention=context.flash_attention,
        rope=None if context.rope is None else RopeSpec(**msgspec.structs.asdict(context.rope)),
        lora=tuple(LoraSpec(adapter.path, adapter.scale) for adapter in context.adapters),
        device=settings.host.device,
    )
