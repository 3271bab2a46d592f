"""Reading the header of a GGUF file, which may be damaged or hostile.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what llama.cpp takes and refuses:
`gguf_init_from_reader` in ggml/src/gguf.cpp. Nothing is allocated by a length or count that was not checked
against the size of the file before, and the weights are not read.
"""

from __future__ import annotations

import struct
from itertools import repeat
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.arrays import ARRAY, SCALARS, STRING, GGUFArray
from pytest_llmcheck.models.header import GGUFHeader, TensorInfo, Value
from pytest_llmcheck.models.quants import TENSOR_TYPES

if TYPE_CHECKING:
    from typing import BinaryIO

_MAGIC = b"GGUF"
_FIRST_WINDOW = 4 << 20

#: No header in use comes near: the largest vocabularies (262,144 tokens) take 10-16 MB.
_LARGEST_HEADER = 256 << 20

#: ggml's limits: GGML_MAX_NAME, GGML_MAX_DIMS; keys are at most 65535 bytes by the format.
_MAX_TENSOR_NAME, _MAX_DIMS, _MAX_KEY = 63, 4, 65535

_AGAIN = "download or convert it again"


class _EndOfWindow(Exception):  # noqa: N818 - a signal, not an error
    """The header goes on behind the bytes that were read so far; `needed` is where."""

    def __init__(self, needed: int, what: str) -> None:
        self.needed = needed
        self.what = what


def read_gguf(path: str | Path) -> GGUFHeader:
    """Read metadata and tensor list of a GGUF file (version 2 or 3, little endian), not its weights.

    Raises:
        ModelError: the file is missing, unreadable, not GGUF, cut off, damaged, of an unknown version or
            type, or one part of a split model. The message names the file, the fault and the remedy.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            return _read(path, file, size)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; correct the path, or download the file") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder; name the .gguf file in it") from None
    except PermissionError:
        raise ModelError(
            f"{path} may not be read by this user; give it read permission (chmod a+r)"
        ) from None
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is not a file name: {error}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None


def _read(path: Path, file: BinaryIO, size: int) -> GGUFHeader:
    window = _FIRST_WINDOW
    while True:
        file.seek(0)
        data = file.read(min(window, size))
        _check_start(path, data)
        try:
            return _Parser(path, data, size).parse()
        except _EndOfWindow as end:
            if end.needed > size or len(data) >= size:
                raise ModelError(
                    f"{path} is cut off or damaged: {end.what} needs {_bytes(end.needed)}, but the file has "
                    f"{_bytes(size)}; {_AGAIN}"
                ) from None
            if end.needed > _LARGEST_HEADER:
                raise ModelError(
                    f"{path} is damaged: {end.what} would make the header larger than "
                    f"{_LARGEST_HEADER >> 20} MiB; {_AGAIN}"
                ) from None
            window = max(window * 4, end.needed)


def _check_start(path: Path, data: bytes) -> None:
    if not data:
        raise ModelError(f"{path} is empty; {_AGAIN}")
    if data[:4] != _MAGIC[: len(data)]:
        raise ModelError(
            f"{path} is not a GGUF file: it begins with {data[:12]!r}, not with {_MAGIC!r}; {_hint(data)}"
        )
    if len(data) < 24:
        raise ModelError(f"{path} is cut off: it has only {_bytes(len(data))}; {_AGAIN}")
    (version,) = struct.unpack_from("<I", data, 4)
    if version & 0xFFFF == 0 and version:
        raise ModelError(
            f"{path} is a big-endian GGUF file, which cannot be run here; take the little-endian one, "
            f"or convert it with gguf-convert-endian (pip install gguf)"
        )
    if version not in (2, 3):
        advice = "convert it again with a current llama.cpp" if version < 2 else "it needs a newer llama.cpp"
        raise ModelError(
            f"{path} is a GGUF file of version {version}; versions 2 and 3 can be read: {advice}"
        )


def _hint(data: bytes) -> str:
    if data.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "it is a Git LFS pointer, run 'git lfs pull'"
    if data.lstrip()[:1] == b"<":
        return "it is a web page: the download went wrong (a login or a licence page?)"
    if data[:4] in (b"lmgg", b"tjgg", b"fmgg", b"algg"):
        return "it is a model of llama.cpp's time before GGUF, convert it from the original weights"
    if data[:2] == b"PK" or b'{"' in data[:16]:
        return "it looks like PyTorch or safetensors weights, convert them with convert_hf_to_gguf.py"
    return f"check the path, or {_AGAIN}"


def _bytes(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}"


class _Parser:
    """One pass over the bytes at the start of a file."""

    def __init__(self, path: Path, data: bytes, size: int) -> None:
        self.path = path
        self.data = data
        self.size = size
        self.at = 4
        self.value_types: dict[str, int] = {}

    def parse(self) -> GGUFHeader:
        version = self.number("I", "the version")
        n_tensors = self.number("Q", "the tensor count")
        n_metadata = self.number("Q", "the metadata count")
        # The least that an entry takes; a count beyond that is a lie, told before anything is read by it.
        self.check_count(n_metadata, 13, "metadata entries")
        self.check_count(n_tensors, 24, "tensors")
        metadata = self.metadata(n_metadata)
        self.check_split(metadata)
        tensors = self.tensors(n_tensors, self.alignment(metadata))
        return GGUFHeader(self.path, version, self.size, metadata, tensors, self.value_types)

    def metadata(self, count: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for index in range(count):
            key = self.text(f"the name of metadata entry {index}", limit=_MAX_KEY)
            if not key or key in found:
                raise self.damaged(f"metadata key {key!r} occurs twice" if key else "a metadata key is empty")
            found[key] = self.value(key)
        return found

    def value(self, key: str) -> Value:
        what = f"metadata key {key!r}"
        kind = self.value_types[key] = self.number("I", what)
        if kind == STRING:
            return self.text(what)
        if kind == ARRAY:
            return self.array(what)
        if kind not in SCALARS:
            raise self.damaged(f"{what} has the unknown value type {kind}")
        return self.scalar(SCALARS[kind], what)

    def array(self, what: str) -> GGUFArray:
        kind = self.number("I", what)
        count = self.number("Q", what)
        if kind == ARRAY:
            raise self.damaged(f"{what} is a list of lists, which llama.cpp refuses")
        if kind != STRING and kind not in SCALARS:
            raise self.damaged(f"{what} is a list of the unknown value type {kind}")
        start = self.at
        if kind == STRING:
            self.check_count(count, 8, f"strings in {what}")
            self.skip_strings(count, what)
        else:
            self.advance(count * struct.calcsize("<" + SCALARS[kind]), what)
        return GGUFArray(f"{self.path}: {what}", kind, count, self.data, start)

    def skip_strings(self, count: int, what: str) -> None:
        length_at, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
        try:
            for _ in repeat(None, count):
                at += 8 + length_at(data, at)[0]
        except (struct.error, OverflowError):
            raise _EndOfWindow(at + 8, what) from None
        self.advance(at - self.at, what)

    def tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        entries: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for index in range(count):
            name = self.text(f"the name of tensor {index}", limit=_MAX_TENSOR_NAME)
            if name in entries:
                raise self.damaged(f"tensor {name!r} occurs twice")
            what = f"tensor {name!r}"
            n_dims = self.number("I", what)
            if n_dims > _MAX_DIMS:
                raise self.damaged(f"{what} has {n_dims} dimensions, at most {_MAX_DIMS} are possible")
            shape = tuple(self.number("Q", what) for _ in range(n_dims))
            entries[name] = (shape, self.number("I", what), self.number("Q", what))
        begin = self.at + -self.at % alignment
        expected, found = 0, []
        for name, (shape, kind, offset) in entries.items():
            tensor = self.tensor(name, shape, kind, begin + offset)
            if offset != expected:
                raise self.damaged(
                    f"tensor {name!r} begins at byte {offset:,} of the weights instead of {expected:,}, "
                    f"which llama.cpp refuses"
                )
            expected += tensor.n_bytes + -tensor.n_bytes % alignment
            found.append(tensor)
        return tuple(found)

    def tensor(self, name: str, shape: tuple[int, ...], kind: int, offset: int) -> TensorInfo:
        what = f"tensor {name!r}"
        n_params = prod(shape)
        if any(length >= 1 << 63 for length in shape) or n_params >= 1 << 63:
            raise self.damaged(f"{what} has the impossible shape {shape}")
        if kind not in TENSOR_TYPES:
            raise ModelError(
                f"{self.path}: {what} has the unknown type {kind}: the file is damaged ({_AGAIN}), was made "
                f"by an old llama.cpp whose type was dropped (quantise it again), or needs a newer llama.cpp"
            )
        stored = TENSOR_TYPES[kind]
        row = shape[0] if shape else 1
        if row % stored.block_size:
            raise self.damaged(
                f"{what} has rows of {row} values, which {stored.name} cannot hold "
                f"(blocks of {stored.block_size})"
            )
        n_bytes = n_params // stored.block_size * stored.block_bytes
        if offset + n_bytes > self.size:
            raise ModelError(
                f"{self.path} is cut off: {what} ends at byte {offset + n_bytes:,}, but the file has "
                f"{_bytes(self.size)}; {_AGAIN}"
            )
        return TensorInfo(name, shape, stored.name, offset, n_bytes, n_params)

    def alignment(self, metadata: dict[str, Value]) -> int:
        value = metadata.get("general.alignment", 32)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0 or value & (value - 1):
            raise self.damaged(f"metadata key 'general.alignment' is {value!r}, not a power of two")
        return value

    def check_split(self, metadata: dict[str, Value]) -> None:
        count = metadata.get("split.count", 0)
        if isinstance(count, int) and count > 1:
            raise ModelError(
                f"{self.path} is one of {count} files of a split model, which cannot be read yet; "
                f"join them: llama-gguf-split --merge FIRST-PART.gguf WHOLE.gguf"
            )

    def number(self, code: str, what: str) -> int:
        (value,) = struct.unpack_from("<" + code, self.data, self.advance(struct.calcsize("<" + code), what))
        return int(value)

    def scalar(self, code: str, what: str) -> int | float | bool:
        value: int | float | bool
        (value,) = struct.unpack_from("<" + code, self.data, self.advance(struct.calcsize("<" + code), what))
        return value

    def text(self, what: str, limit: int | None = None) -> str:
        length = self.number("Q", what)
        if limit is not None and length > limit:
            raise self.damaged(f"{what} is {_bytes(length)} long, at most {limit} are possible")
        start = self.advance(length, what)
        raw = self.data[start : self.at]
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.damaged(f"{what} is not valid UTF-8: {raw[:40]!r}") from None

    def advance(self, count: int, what: str) -> int:
        start, end = self.at, self.at + count
        if end > len(self.data):
            raise _EndOfWindow(end, what)
        self.at = end
        return start

    def check_count(self, count: int, least_bytes: int, what: str) -> None:
        if count * least_bytes > self.size - self.at:
            raise ModelError(
                f"{self.path} is cut off or damaged: it claims {count:,} {what}, which need at least "
                f"{_bytes(count * least_bytes)}, but the file has {_bytes(self.size)}; {_AGAIN}"
            )

    def damaged(self, fault: str) -> ModelError:
        return ModelError(f"{self.path} is damaged or was converted wrongly: {fault}; {_AGAIN}")
