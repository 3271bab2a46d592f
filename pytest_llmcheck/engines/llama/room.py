"""Whether there is room for weights and contexts, asked in the host, just before llama.cpp takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import ModelSpec, available_memory, check_fit, estimate_memory

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
    available = available_memory()
    if loaded and not gpus:
        available += estimate_memory(header, spec).weights
    try:
        check_fit(header, spec, available)
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
    )
