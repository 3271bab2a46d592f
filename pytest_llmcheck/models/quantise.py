"""Made models: ``from`` one model's weights, with a ``quant``, once for all processes, never half there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.content import content_hash
from pytest_llmcheck.models.gguf import read_gguf
from pytest_llmcheck.models.progress import Progress, silent
from pytest_llmcheck.models.quants import QUANTS, TENSOR_TYPES_BY_NAME, UNQUANTISED, fallback, recipe
from pytest_llmcheck.models.store import CACHE_DIR_VARIABLE, cache_dir, make_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from pytest_llmcheck.models.header import GGUFHeader, TensorInfo

#: quantise(source, target, quant, progress) writes `target` or raises; the engines room has it.
Quantise = Callable[[Path, Path, str, Progress], None]

_POLL_SECONDS = 0.25

#: The quantiser adds a few keys and aligns anew.
_HEADER_GROWTH = 4096
#: What a name says of its own type, and the key of a file that was made here.
_OLD_QUANT = re.compile(
    rf"[-._]({'|'.join(sorted(QUANTS, key=len, reverse=True))})(-[0-9a-f]{{12}})?$", re.IGNORECASE
)
_DISK_FULL = re.compile(r"no space|enospc|disk (is )?full|quota exceeded", re.IGNORECASE)
# What llama.cpp says of a failed write: a C++ stream knows no reason.
_WRITING_FAILED = re.compile(r"iostream error", re.IGNORECASE)


def quantised(
    source: GGUFHeader,
    quant: str,
    *,
    quantise: Quantise,
    version: str,
    progress: Progress | None = None,
) -> Path:
    """Give the file with `source`'s weights as `quant`; make it where the cache does not have it.

    Args:
        source: header of the weights, F32, F16 or BF16 unless `quant` is one of these.
        quant: llama.cpp's canonical name (`parse_quant`).
        quantise: makes the file; called at most once for all processes that ask at the same time.
        version: of the quantiser: another version may make other bytes, so it makes its own file.
        progress: told of hashing, waiting for another process, and quantising.

    Returns:
        A file in ``cache_dir()/models``, complete and readable.

    Raises:
        ModelError: the source is quantised already, the disk is too small, or the quantiser failed. No
            part of a file is left behind; not after KeyboardInterrupt either.
    """
    progress = progress or silent
    refuse_second_quantisation(source, quant)
    sha256 = content_hash(source.path, progress=progress)
    key = hashlib.sha256(f"{sha256}\n{quant}\n{version}".encode()).hexdigest()[:12]
    target = cache_dir() / "models" / f"{_OLD_QUANT.sub('', source.path.stem)}-{quant}-{key}.gguf"
    if not _is_whole(target):
        make_folder(target.parent)
        with _alone(target, progress):
            _remove_remains(target.parent, target)
            if not _is_whole(target):
                _make(source, target, quant, quantise, progress)
    return target


def refuse_second_quantisation(source: GGUFHeader, quant: str) -> None:
    """Quantise nothing twice: the errors of both add up, and the first one hides the second.

    Raises:
        ModelError: `source` holds quantised weights and `quant` is no plain floating-point type.
    """
    stored = [name for name in source.histogram if _is_quantised(name)]
    if stored and quant not in UNQUANTISED:
        raise ModelError(
            f"{source.path} is quantised already ({source.quant}), and quantising it again as {quant} "
            f"would add the second error to the first. Declare the original weights (F16 or BF16) and make "
            f'"{quant}" "from" them; or, if the added error is what you want, declare a model "from" this '
            f'one with quant = "F16" (it is only unpacked), and make "{quant}" from that'
        )


def estimated_bytes(source: GGUFHeader, quant: str) -> int:
    """About how large `source` becomes as `quant`, rather too much than too little.

    Row by row with the types that llama.cpp gives: two thirds of a mixture in its main type, one third
    in its largest (`use_more_bits` in llama-quant.cpp), with fallbacks for odd row lengths;
    embeddings and output at most Q8_0; vectors as they are; the header once more.
    """
    header = source.size - source.weight_bytes
    return header + _HEADER_GROWTH + sum(_estimated_tensor(tensor, quant) for tensor in source.tensors)


def _estimated_tensor(tensor: TensorInfo, quant: str) -> int:
    if len(tensor.shape) < 2:
        return tensor.n_bytes
    core, others = recipe(quant)
    if quant == "MXFP4_MOE" and len(tensor.shape) == 2:
        core = ("Q8_0",)  # only experts, three-dimensional, become MXFP4
    if quant not in UNQUANTISED and tensor.name in ("token_embd.weight", "output.weight"):
        others = (*others, "Q8_0")
        core = others[-1:]

    def bits(kind: str) -> float:
        return TENSOR_TYPES_BY_NAME[fallback(kind, tensor.shape[0])].bits

    main = max(map(bits, core))
    return int(tensor.n_params * (2 * main + max(map(bits, (*core, *others)))) / 3 / 8)


def _is_quantised(type_name: str) -> bool:
    return type_name not in UNQUANTISED and TENSOR_TYPES_BY_NAME[type_name].block_size > 1


def _is_whole(path: Path) -> bool:
    try:
        read_gguf(path)
    except ModelError:
        return False
    return True


def _lock(target: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(target.with_name(f"{target.name}.lock"))


@contextlib.contextmanager
def _alone(target: Path, progress: Progress) -> Iterator[None]:
    from filelock import Timeout

    lock = _lock(target)
    patience = 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            progress(f"waiting for {target.name}, which another process makes", 0.0)
            patience = _POLL_SECONDS
        except OSError as error:
            raise _unwritable(target.parent, error) from None
    try:
        yield
    finally:
        lock.release()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _remove_remains(folder: Path, mine: Path) -> None:
    """Remove what killed processes left: temporary files whose target nobody has locked."""
    from filelock import Timeout

    for remains in folder.glob(".*.gguf.*.tmp"):
        target = folder / remains.name[1:].rsplit(".", 2)[0]
        with contextlib.suppress(OSError, Timeout):
            if target == mine:
                remains.unlink()
            else:
                with _lock(target).acquire(timeout=0):
                    remains.unlink()


def _make(source: GGUFHeader, target: Path, quant: str, quantise: Quantise, progress: Progress) -> None:
    needed = estimated_bytes(source, quant)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise _disk_full(source, quant, target.parent, needed, free)
    temporary = _temporary(target)
    before = source.path.stat()
    try:
        try:
            quantise(source.path, temporary, quant, progress)
        except (ModelError, OSError) as error:
            free = shutil.disk_usage(target.parent).free
            written = temporary.stat().st_size if temporary.exists() else 0
            if _DISK_FULL.search(str(error)) or free < min(needed - written, 1 << 20):
                raise _disk_full(source, quant, target.parent, needed, free + written) from error
            if _WRITING_FAILED.search(str(error)):
                raise ModelError(
                    f"{error}: writing into {target.parent} failed after {written / 1e6:,.0f} MB of about "
                    f"{needed / 1e6:,.0f} MB; look for a quota or a limit on file sizes, or set "
                    f"{CACHE_DIR_VARIABLE} to a folder on a larger disk"
                ) from None
            if isinstance(error, OSError):
                raise ModelError(f"{quant} cannot be made from {source.path}: {error}") from error
            raise
        _check(source, temporary, quant)
        after = source.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ModelError(
                f"{source.path} changed while {quant} was made from it; wait until it is completely written"
            )
        _publish(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _check(source: GGUFHeader, made: Path, quant: str) -> None:
    try:
        header = read_gguf(made)
    except ModelError as error:
        raise ModelError(
            f"the quantiser reported success, but what it made of {source.path} as {quant} cannot be read "
            f"({error}); please report this, and meanwhile make the file with llama-quantize"
        ) from error
    if len(header.tensors) != len(source.tensors):
        raise ModelError(
            f"the quantiser reported success, but made {len(header.tensors)} of the {len(source.tensors)} "
            f"tensors of {source.path} as {quant}; please report this"
        )


def _publish(temporary: Path, target: Path) -> None:
    try:
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    # The name must outlast a power cut as well; not every file system can do that.
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _unwritable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the cache folder {folder} cannot be written: {error.strerror or error}; "
        f"set {CACHE_DIR_VARIABLE} to a folder that can be"
    )


def _disk_full(source: GGUFHeader, quant: str, folder: Path, needed: int, free: int) -> ModelError:
    return ModelError(
        f"{source.path} as {quant} needs about {needed / 1e6:,.0f} MB, but {folder} has {free / 1e6:,.0f} MB "
        f"free; free some space, or set {CACHE_DIR_VARIABLE} to a folder on a larger disk"
    )
