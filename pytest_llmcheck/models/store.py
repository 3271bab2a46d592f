"""The cache folder, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from pytest_llmcheck.errors import ModelError

#: Overrides where hashes and made models are kept; they can be large.
CACHE_DIR_VARIABLE = "LLMCHECK_CACHE_DIR"


def cache_dir() -> Path:
    """Where hashes and made models are kept: ``$LLMCHECK_CACHE_DIR``, else the user's cache folder.

    The folder need not exist. Nothing in it is lost by deleting it but the time to make it again.
    """
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("llmcheck"))


def make_folder(path: Path) -> Path:
    """Make a folder of the cache, with its parents.

    Raises:
        ModelError: it cannot be made; names the folder and the variable that moves it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"the cache folder {path} cannot be made: {error.strerror or error}; "
            f"set {CACHE_DIR_VARIABLE} to a folder that can be written"
        ) from None
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or all of the new, also if we are killed.

    Raises:
        OSError: the folder is missing or cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
