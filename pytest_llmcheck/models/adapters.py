"""LoRA adapters: found, and checked against the model before llama.cpp sees them.

llama.cpp checks a part of this itself and then returns NULL, with which a caller dies of a segmentation
fault; what it does not check aborts the process, some of it as late as at the first decode. See
`llama_adapter_lora_init_impl` in its llama-adapter.cpp, and `build_lora_mm`, `build_lora_mm_id` and
`build_inp_embd` in llama-graph.cpp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.content import content_hash
from pytest_llmcheck.models.gguf import read_gguf
from pytest_llmcheck.models.locate import locate

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.models.header import GGUFHeader, TensorInfo
    from pytest_llmcheck.models.progress import Progress
    from pytest_llmcheck.models.spec import ModelSpec

_A, _B = ".lora_a", ".lora_b"
_ALPHA = "adapter.lora.alpha"
_ACTIVATED = "adapter.alora.invocation_tokens"
_FLOAT32 = 6

#: What convert_lora_to_gguf.py writes, and what ggml multiplies on every backend.
_TYPES = frozenset({"F32", "F16", "BF16", "Q8_0"})

_AGAIN = "convert it again with llama.cpp's convert_lora_to_gguf.py"


@dataclass(frozen=True, slots=True)
class ResolvedAdapter:
    """A LoRA adapter with its file, which has been found to fit the model.

    Attributes:
        path: the file, absolute.
        sha256: of the whole file, in hexadecimal.
        scale: what its contribution is multiplied by.
    """

    path: Path
    sha256: str
    scale: float


def resolve_adapters(
    spec: ModelSpec, base: GGUFHeader, *, progress: Progress | None = None
) -> tuple[ResolvedAdapter, ...]:
    """Find and check the adapters of a model.

    Args:
        spec: what was declared.
        base: header of the model's own file.
        progress: told of hashing.

    Raises:
        ModelError: a file is missing, damaged, no LoRA adapter, not for this model, or named twice.
    """
    found: dict[Path, ResolvedAdapter] = {}
    for lora in spec.lora:
        header = read_gguf(locate(lora.gguf, lora.origin))
        check_adapter(header, base)
        if not math.isfinite(lora.scale):
            raise ModelError(f"LoRA adapter {header.path}: scale = {lora.scale} is no number to multiply by")
        if header.path in found:
            raise ModelError(f"LoRA adapter {header.path} is named twice; name it once and add the scales")
        sha256 = content_hash(header.path, progress=progress)
        found[header.path] = ResolvedAdapter(header.path, sha256, lora.scale)
    return tuple(found.values())


def check_adapter(adapter: GGUFHeader, base: GGUFHeader) -> None:
    """Refuse an adapter that llama.cpp would refuse, crash on, or use in part only.

    Args:
        adapter: header of the adapter's file.
        base: header of the model that it is to be applied to.

    Raises:
        ModelError: what is wrong, and the remedy.
    """
    _check_metadata(adapter, base)
    matrices = {tensor.name: tensor for tensor in base.tensors}
    pairs = _pairs(adapter)
    if not pairs:
        raise _refused(adapter, f"it holds no matrices; {_AGAIN}")
    for name, (a, b) in pairs.items():
        if name not in matrices:
            raise _refused(
                adapter,
                f"it changes {name!r}, which {base.path} does not have; it was made for another model",
            )
        _check_shapes(adapter, matrices[name], a, b)
    if "token_embd.weight" in pairs and "output.weight" not in matrices:
        raise _refused(
            adapter,
            f"it changes the token embedding, which {base.path} also uses as its output layer: llama.cpp "
            f"cannot do this; merge the adapter into the model, or train one without the embedding",
        )


def _check_metadata(adapter: GGUFHeader, base: GGUFHeader) -> None:
    for key, expected, otherwise in (
        ("general.type", "adapter", "name the adapter's file"),
        ("adapter.type", "lora", "other kinds are not run; name a LoRA adapter"),
        ("general.architecture", base.architecture, f"it was made for another model than {base.path}"),
    ):
        said = adapter.metadata.get(key)
        if said != expected:
            told = "is missing" if said is None else f"is {str(said)[:60]!r}"
            raise _refused(adapter, f"metadata key {key!r} {told} instead of {expected!r}; {otherwise}")
    alpha = adapter.metadata.get(_ALPHA)
    if (
        adapter.value_types.get(_ALPHA) != _FLOAT32
        or not isinstance(alpha, float)
        or not math.isfinite(alpha)
    ):
        told = "is missing" if alpha is None else f"holds {str(alpha)[:60]}"
        raise _refused(adapter, f"metadata key {_ALPHA!r} {told}, a float32 is needed; {_AGAIN}")
    if _ACTIVATED in adapter.metadata:
        raise _refused(
            adapter,
            "it is an activated LoRA, which changes the model only behind certain tokens; this is not built, "
            "and applying it everywhere would be another model: name an ordinary LoRA adapter",
        )


def _pairs(adapter: GGUFHeader) -> dict[str, tuple[TensorInfo, TensorInfo]]:
    """Matrices A and B by the name of the tensor that they change."""
    halves: dict[str, dict[str, TensorInfo]] = {}
    for tensor in adapter.tensors:
        suffix = tensor.name[-len(_A) :]
        if suffix not in (_A, _B):
            ignored = " (llama.cpp would ignore it)" if tensor.name.endswith("_norm.weight") else ""
            raise _refused(
                adapter,
                f"tensor {tensor.name!r} is not half of a pair {_A}, {_B}{ignored}; merge the adapter "
                f"into the model, or {_AGAIN}",
            )
        if tensor.type_name not in _TYPES:
            raise _refused(
                adapter,
                f"tensor {tensor.name!r} is of type {tensor.type_name}; {_AGAIN} --outtype f16",
            )
        halves.setdefault(tensor.name.removesuffix(suffix), {})[suffix] = tensor
    for name, found in halves.items():
        if len(found) < 2:
            (missing,) = {_A, _B} - set(found)
            raise _refused(adapter, f"tensor {name + missing!r} is missing; {_AGAIN}")
    return {name: (found[_A], found[_B]) for name, found in halves.items()}


def _check_shapes(adapter: GGUFHeader, matrix: TensorInfo, a: TensorInfo, b: TensorInfo) -> None:
    if sum(length > 1 for length in matrix.shape) < 2:
        raise _refused(
            adapter, f"it changes {matrix.name!r}, which is no matrix: llama.cpp would ignore it; {_AGAIN}"
        )
    columns, rows, *experts = _four(matrix)
    a_columns, a_rows, *a_experts = _four(a)
    b_columns, b_rows, *b_experts = _four(b)
    # An embedding's rows are looked up in A, so there it lies the other way round.
    flipped = matrix.name == "token_embd.weight"
    outer = (b_rows, a_rows) if flipped else (a_columns, b_rows)
    ranks = (a_columns, b_columns) if flipped else (a_rows, b_columns)
    if (
        outer != (columns, rows)
        or not ranks[0]
        or ranks[0] != ranks[1]
        or not experts == a_experts == b_experts
    ):
        raise _refused(
            adapter,
            f"{a.name!r} of shape {_shown(a)} and {b.name!r} of shape {_shown(b)} do not make a change of "
            f"{matrix.name!r}, which is of shape {_shown(matrix)}; it was made for another model, or "
            f"{_AGAIN}",
        )


def _four(tensor: TensorInfo) -> tuple[int, ...]:
    return (*tensor.shape, 1, 1, 1, 1)[:4]


def _shown(tensor: TensorInfo) -> str:
    return " x ".join(map(str, tensor.shape))


def _refused(adapter: GGUFHeader, fault: str) -> ModelError:
    return ModelError(f"{adapter.path} cannot be used as a LoRA adapter: {fault}")
