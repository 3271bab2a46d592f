"""From a declared model to the file that holds it."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ConfigError, ModelError
from pytest_llmcheck.models.adapters import ResolvedAdapter, resolve_adapters
from pytest_llmcheck.models.content import content_hash
from pytest_llmcheck.models.gguf import read_gguf
from pytest_llmcheck.models.layers import check_cache_types
from pytest_llmcheck.models.locate import locate
from pytest_llmcheck.models.quantise import Quantise, quantised
from pytest_llmcheck.models.quants import parse_quant

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.models.header import GGUFHeader
    from pytest_llmcheck.models.progress import Progress
    from pytest_llmcheck.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A declared model with the file that holds its weights.

    Attributes:
        spec: what was declared.
        path: the file, absolute.
        header: its metadata and tensors.
        sha256: of the whole file, in hexadecimal.
        adapters: its LoRA adapters, checked against the header; in the order declared.
    """

    spec: ModelSpec
    path: Path
    header: GGUFHeader
    sha256: str
    adapters: tuple[ResolvedAdapter, ...] = ()


def resolve(
    spec: ModelSpec,
    *,
    quantise: Quantise,
    quantiser_version: str | None = None,
    progress: Progress | None = None,
) -> ResolvedModel:
    """Find the file of a model, or make it from the weights of its base.

    Args:
        spec: what was declared; a `base` is resolved first, however long the chain.
        quantise: makes a file of another type (source, target, quant, progress); called only where needed.
        quantiser_version: part of the name of what is made; by default the installed llama-cpp-python.
        progress: told of hashing, waiting and quantising.

    Raises:
        ModelError: the file is not there, cannot be read or made, or an adapter or a cache type is not for
            this model. The message names the model, the file that declares it, and the remedy.
    """
    try:
        header = _header(spec, quantise, quantiser_version, progress)
        # Before any hashing, which takes long.
        check_cache_types(header, spec)
        adapters = resolve_adapters(spec, header, progress=progress)
        sha256 = content_hash(header.path, progress=progress)
        return ResolvedModel(spec, header.path, header, sha256, adapters)
    except (ModelError, ConfigError) as error:
        declared = f" (declared in {spec.origin})" if spec.origin else ""
        raise ModelError(f"model {spec.name!r}{declared}: {error}") from error


def _header(
    spec: ModelSpec, quantise: Quantise, version: str | None, progress: Progress | None
) -> GGUFHeader:
    if spec.base is not None and spec.gguf is None:
        base = _header(spec.base, quantise, version, progress)
        if spec.quant is None:
            return base
        made = quantised(
            base,
            parse_quant(spec.quant),
            quantise=quantise,
            version=version if version is not None else _installed_quantiser(),
            progress=progress,
        )
        return read_gguf(made)
    if spec.gguf is None or spec.base is not None:
        raise ModelError('declares both "gguf" and "from", or neither; declare exactly one of them')
    if spec.quant is not None:
        raise ModelError(
            f'declares quant = "{spec.quant}" for a file that is there as it is; declare the file as a '
            f'model of its own and make this one "from" it'
        )
    return read_gguf(locate(spec.gguf, spec.origin))


def _installed_quantiser() -> str:
    try:
        return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
    except importlib.metadata.PackageNotFoundError:
        return "llama-cpp-python of an unknown version"
