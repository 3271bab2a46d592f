"""LoRA adapters with random matrices for any model, sound ones and spoilt ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import numpy as np

from pytest_llmcheck.models import read_gguf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Matrix = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64]

QUERIES_AND_VALUES = ("attn_q.weight", "attn_v.weight")


def tiny_lora(
    path: Path,
    base: Path,
    *,
    rank: int = 4,
    alpha: float | None = None,
    magnitude: float = 0.5,
    targets: Sequence[str] = QUERIES_AND_VALUES,
    seed: int = 0,
    keys: Mapping[str, str | int | float | list[int] | None] | None = None,
    tensors: Mapping[str, Matrix | None] | None = None,
) -> Path:
    """Write a LoRA adapter that llama.cpp loads on `base`, the same for the same seed.

    Args:
        path: where to.
        base: the model; architecture and shapes are read from its header.
        rank: of the matrices.
        alpha: llama.cpp multiplies by alpha / rank; by default the rank, so that this is 1.
        magnitude: how large the change of what a matrix gives is, beside the length of its input. About 0.5
            turns most replies, 0 changes nothing.
        targets: ends of the names of the tensors that are changed.
        seed: of the random numbers.
        keys: metadata instead of the sound one; None leaves the key out.
        tensors: further tensors, or others of the same name; None leaves the tensor out.
    """
    header = read_gguf(base)
    random = np.random.default_rng(seed)

    def normal(rows: int, columns: int, deviation: float) -> NDArray[np.float32]:
        return random.standard_normal((rows, columns), dtype=np.float32) * np.float32(deviation)

    matrices: dict[str, Matrix | None] = {}
    for tensor in header.tensors:
        if tensor.name.endswith(tuple(targets)):
            columns, rows = tensor.shape
            matrices[f"{tensor.name}.lora_a"] = normal(rank, columns, columns**-0.5)
            matrices[f"{tensor.name}.lora_b"] = normal(rows, rank, magnitude / rank**0.5)
    metadata: dict[str, str | int | float | list[int] | None] = {
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank if alpha is None else alpha),
        "general.architecture": header.architecture,
    }
    metadata.update(keys or {})
    writer = gguf.GGUFWriter(path, str(metadata.pop("general.architecture")))
    for key, value in metadata.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif value is not None:
            writer.add_array(key, value)
    for name, matrix in {**matrices, **(tensors or {})}.items():
        if matrix is not None:
            writer.add_tensor(name, matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
