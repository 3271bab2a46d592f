"""Which bytes a model file holds: its SHA-256, remembered while the file stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.progress import silent
from pytest_llmcheck.models.store import cache_dir, write_whole

if TYPE_CHECKING:
    from pytest_llmcheck.models.progress import Progress

_CHUNK = 4 << 20

#: A file changed within this time is not remembered: a second change of equal length could fall into the
#: same tick of the file system's clock (2 seconds on the coarsest) and would not be seen.
_SETTLED_NS = 2_000_000_000

_SHA256 = re.compile("[0-9a-f]{64}")


def content_hash(path: str | Path, *, progress: Progress | None = None) -> str:
    """SHA-256 of a file in hexadecimal, remembered by path, inode, size and time of change.

    A gigabyte takes about a second the first time. An entry of the cache that is damaged is made
    again; a cache that cannot be written only costs that time at every call.

    Args:
        path: the file.
        progress: told of ``hashing NAME`` while the file is read; not called if it is remembered.

    Raises:
        ModelError: the file cannot be read, or changes while it is read.
    """
    path = Path(path).absolute()
    try:
        before = path.stat()
        entry = _entry(path)
        known = _remembered(entry, path, before)
        if known is not None:
            return known
        digest = _hash(path, before.st_size, progress or silent)
        after = path.stat()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror or error}; correct the path or its permissions"
        ) from None
    if _state(before) != _state(after):
        raise ModelError(f"{path} changed while it was read; wait until it is completely written")
    _remember(entry, path, after, digest)
    return digest


def _hash(path: Path, size: int, progress: Progress) -> str:
    digest = hashlib.sha256()
    stage, done = f"hashing {path.name}", 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(stage, min(1.0, done / size) if size else 1.0)
    return digest.hexdigest()


def _state(stat: os.stat_result) -> dict[str, int]:
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}


def _entry(path: Path) -> Path:
    return cache_dir() / "hashes" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"


def _remembered(entry: Path, path: Path, stat: os.stat_result) -> str | None:
    try:
        found = json.loads(entry.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("path") != str(path):
        return None
    if any(found.get(key) != value for key, value in _state(stat).items()):
        return None
    digest = found.get("sha256")
    return digest if isinstance(digest, str) and _SHA256.fullmatch(digest) else None


def _remember(entry: Path, path: Path, stat: os.stat_result, digest: str) -> None:
    if time.time_ns() - stat.st_mtime_ns < _SETTLED_NS:
        return
    content = {"path": str(path), **_state(stat), "sha256": digest}
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_whole(entry, json.dumps(content).encode())
