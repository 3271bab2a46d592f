"""The tensor types and quantisation names of llama.cpp, and which of them can be made here.

Current with the llama.cpp inside llama-cpp-python 0.3.36: block sizes from ggml-common.h, names and
numbers from ggml.h and llama.h, what needs an importance matrix from `tensor_requires_imatrix` in
llama-quant.cpp.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_llmcheck.errors import ConfigError, did_you_mean


class TensorType(NamedTuple):
    """One way in which ggml stores a row of numbers.

    Attributes:
        id: the number in the file.
        name: as llama.cpp spells it.
        block_size: how many values one block holds; a row is a whole number of blocks.
        block_bytes: the size of one block in bytes.
    """

    id: int
    name: str
    block_size: int
    block_bytes: int

    @property
    def bits(self) -> float:
        """Bits per value."""
        return self.block_bytes * 8 / self.block_size


_TENSOR_TYPES = (
    TensorType(0, "F32", 1, 4),
    TensorType(1, "F16", 1, 2),
    TensorType(2, "Q4_0", 32, 18),
    TensorType(3, "Q4_1", 32, 20),
    TensorType(6, "Q5_0", 32, 22),
    TensorType(7, "Q5_1", 32, 24),
    TensorType(8, "Q8_0", 32, 34),
    TensorType(9, "Q8_1", 32, 36),
    TensorType(10, "Q2_K", 256, 84),
    TensorType(11, "Q3_K", 256, 110),
    TensorType(12, "Q4_K", 256, 144),
    TensorType(13, "Q5_K", 256, 176),
    TensorType(14, "Q6_K", 256, 210),
    TensorType(15, "Q8_K", 256, 292),
    TensorType(16, "IQ2_XXS", 256, 66),
    TensorType(17, "IQ2_XS", 256, 74),
    TensorType(18, "IQ3_XXS", 256, 98),
    TensorType(19, "IQ1_S", 256, 50),
    TensorType(20, "IQ4_NL", 32, 18),
    TensorType(21, "IQ3_S", 256, 110),
    TensorType(22, "IQ2_S", 256, 82),
    TensorType(23, "IQ4_XS", 256, 136),
    TensorType(24, "I8", 1, 1),
    TensorType(25, "I16", 1, 2),
    TensorType(26, "I32", 1, 4),
    TensorType(27, "I64", 1, 8),
    TensorType(28, "F64", 1, 8),
    TensorType(29, "IQ1_M", 256, 56),
    TensorType(30, "BF16", 1, 2),
    TensorType(34, "TQ1_0", 256, 54),
    TensorType(35, "TQ2_0", 256, 66),
    TensorType(39, "MXFP4", 32, 17),
    TensorType(40, "NVFP4", 64, 36),
    TensorType(41, "Q1_0", 128, 18),
    TensorType(42, "Q2_0", 64, 18),
)
TENSOR_TYPES = {kind.id: kind for kind in _TENSOR_TYPES}
TENSOR_TYPES_BY_NAME = {kind.name: kind for kind in _TENSOR_TYPES}

#: llama.cpp's `llama_ftype` numbers: what ``general.file_type`` holds and the quantiser takes.
QUANTS = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "IQ2_XXS": 19,
    "IQ2_XS": 20,
    "Q2_K_S": 21,
    "IQ3_XS": 22,
    "IQ3_XXS": 23,
    "IQ1_S": 24,
    "IQ4_NL": 25,
    "IQ3_S": 26,
    "IQ3_M": 27,
    "IQ2_S": 28,
    "IQ2_M": 29,
    "IQ4_XS": 30,
    "IQ1_M": 31,
    "BF16": 32,
    "TQ1_0": 36,
    "TQ2_0": 37,
    "MXFP4_MOE": 38,
    "NVFP4": 39,
    "Q1_0": 40,
    "Q2_0": 41,
}
_FILE_TYPE_NAMES = {number: name for name, number in QUANTS.items()}

#: Set by llama.cpp in memory where a file declares nothing; never a name of its own.
_FILE_TYPE_GUESSED = 1024

#: Names that ``llama-quantize`` takes for others.
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}

#: Weights as they were trained, or so near that quantising them once is the whole error.
UNQUANTISED = frozenset({"F32", "F16", "BF16"})

#: Some tensor of these gets a type that llama.cpp refuses to make without an importance matrix.
NEEDS_IMPORTANCE_MATRIX = frozenset(
    {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S"}
)

#: llama.cpp reads these and its quantiser has no recipe for them (`llama_ftype_get_default_type`).
_READ_ONLY = frozenset({"NVFP4"})

#: What ``quant = "..."`` may ask for.
MAKEABLE = frozenset(QUANTS) - NEEDS_IMPORTANCE_MATRIX - _READ_ONLY


class Recipe(NamedTuple):
    """The tensor types that llama.cpp's quantiser gives to the matrices of a file, embeddings aside.

    Attributes:
        core: what most of them get where the shapes allow it.
        others: what it gives to the more delicate ones.
    """

    core: tuple[str, ...]
    others: tuple[str, ...] = ()


#: From `llama_tensor_get_type_impl`; a name that is missing here has itself as its only type.
_RECIPES = {
    "Q4_0": Recipe(("Q4_0",), ("Q4_1",)),
    "Q5_0": Recipe(("Q5_0",), ("Q5_1",)),
    "Q2_K": Recipe(("Q2_K",), ("Q3_K", "Q4_K")),
    "Q2_K_S": Recipe(("Q2_K",), ("Q4_K",)),
    "Q3_K_S": Recipe(("Q3_K",)),
    "Q3_K_M": Recipe(("Q3_K",), ("Q4_K", "Q5_K")),
    "Q3_K_L": Recipe(("Q3_K",), ("Q4_K", "Q5_K")),
    "Q4_K_S": Recipe(("Q4_K",), ("Q5_K",)),
    "Q4_K_M": Recipe(("Q4_K",), ("Q5_K", "Q6_K")),
    "Q5_K_S": Recipe(("Q5_K",)),
    "Q5_K_M": Recipe(("Q5_K",), ("Q6_K",)),
    "IQ1_S": Recipe(("IQ1_S",), ("IQ2_XXS", "Q2_K", "Q4_K", "Q5_K")),
    "IQ1_M": Recipe(("IQ1_M",), ("IQ2_XXS", "Q2_K", "Q4_K", "Q5_K")),
    "IQ2_XXS": Recipe(("IQ2_XXS",), ("Q2_K", "Q4_K", "Q5_K")),
    "IQ2_XS": Recipe(("IQ2_XS",), ("Q2_K", "Q4_K", "Q5_K")),
    "IQ2_S": Recipe(("IQ2_XS",), ("IQ3_S", "Q4_K", "Q5_K")),
    "IQ2_M": Recipe(("IQ2_S",), ("IQ3_S", "Q4_K", "Q5_K")),
    "IQ3_XXS": Recipe(("IQ3_XXS",), ("IQ2_S", "IQ3_S", "Q3_K", "Q4_K", "Q5_K")),
    "IQ3_XS": Recipe(("IQ3_S", "IQ3_XXS"), ("Q4_K", "Q5_K")),
    "IQ3_M": Recipe(("IQ3_S",), ("Q4_K", "Q5_K")),
    "IQ3_S": Recipe(("IQ3_S",), ("Q4_K", "Q5_K")),
    "IQ4_NL": Recipe(("IQ4_NL",), ("Q5_K",)),
    "IQ4_XS": Recipe(("IQ4_XS",), ("Q5_K",)),
    "MXFP4_MOE": Recipe(("MXFP4",), ("Q8_0",)),
    "NVFP4": Recipe(("NVFP4",), ("Q8_0", "F16", "BF16")),
}

#: What `tensor_type_fallback` takes where a row is no whole number of the type's blocks.
FALLBACKS = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


def recipe(quant: str) -> Recipe:
    """Which tensor types llama.cpp's quantiser gives to the matrices of a `quant` file."""
    return _RECIPES.get(quant, Recipe((quant,)))


def fallback(kind: str, row_length: int) -> str:
    """The tensor type that the quantiser takes for rows of `row_length` values instead of `kind`.

    >>> fallback("Q4_K", 4096), fallback("Q4_K", 576), fallback("Q4_K", 100)
    ('Q4_K', 'Q5_0', 'F16')
    """
    if row_length % TENSOR_TYPES_BY_NAME[kind].block_size == 0:
        return kind
    other = FALLBACKS.get(kind, "F16")
    return other if row_length % TENSOR_TYPES_BY_NAME[other].block_size == 0 else "F16"


def file_type_name(number: int) -> str | None:
    """The name of a ``general.file_type`` number, None for one that this llama.cpp does not have."""
    return _FILE_TYPE_NAMES.get(number & ~_FILE_TYPE_GUESSED)


def parse_quant(name: str) -> str:
    """The canonical name of a quantisation that llama.cpp can make from full-precision weights.

    Case does not matter, and the aliases of ``llama-quantize`` are taken (``q4_k`` is ``Q4_K_M``).

    Raises:
        ConfigError: no such name, or one that can only be read: some need an importance matrix,
            a measurement on sample text that this project does not make.
    """
    upper = name.strip().upper()
    canonical = ALIASES.get(upper, upper)
    if canonical in MAKEABLE:
        return canonical
    if canonical in NEEDS_IMPORTANCE_MATRIX:
        raise ConfigError(
            f"quant {canonical!r} cannot be made here: llama.cpp refuses it without an importance matrix. "
            f'Make the file with llama-quantize --imatrix and declare it with gguf = "...", '
            f"or take the nearest that needs none: {_nearest_makeable(canonical)}"
        )
    if canonical in _READ_ONLY:
        raise ConfigError(
            f"quant {canonical!r} cannot be made here: llama.cpp reads such files and its quantiser does not "
            f'write them. Declare a ready-made file with gguf = "..."'
        )
    raise ConfigError(f"unknown quant {name!r}: {did_you_mean(upper, MAKEABLE)}")


def _nearest_makeable(quant: str) -> str:
    if quant.startswith("IQ3"):
        return "IQ3_S"
    return "Q2_K"
