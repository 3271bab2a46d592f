"""Names, tables and labels of quantisations."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.models import MAKEABLE, parse_quant, read_gguf
from pytest_llmcheck.models.labels import describe_quant, histogram, quant_label
from pytest_llmcheck.models.quants import (
    ALIASES,
    NEEDS_IMPORTANCE_MATRIX,
    QUANTS,
    TENSOR_TYPES,
    TENSOR_TYPES_BY_NAME,
    UNQUANTISED,
    fallback,
    file_type_name,
    recipe,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type_name: str

    @property
    def n_params(self) -> int:
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return int(self.n_params * TENSOR_TYPES_BY_NAME[self.type_name].bits // 8)


def model(
    *types: str, row: int = 1024, embedding: str = "Q6_K", down: str | None = None, down_row: int = 2048
) -> list[Tensor]:
    """One equally large matrix for each type, an embedding, a norm and optionally a down projection."""
    matrices = [Tensor(f"blk.{i}.attn_q.weight", (row, 1024), kind) for i, kind in enumerate(types)]
    if down:
        matrices.append(Tensor("blk.0.ffn_down.weight", (down_row, row), down))
    edges = [Tensor("token_embd.weight", (row, 9000), embedding), Tensor("output_norm.weight", (row,), "F32")]
    return [*matrices, *edges]


# --- tables


def test_tensor_types_are_those_of_the_gguf_package() -> None:
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        ours = TENSOR_TYPES[int(kind)]
        # Q8_1 never occurs in a file; the package has its size from before llama.cpp made it smaller.
        expected = (kind.name, block, 36 if kind.name == "Q8_1" else size)
        assert (ours.name, ours.block_size, ours.block_bytes) == expected


def test_file_types_are_those_of_the_gguf_package() -> None:
    theirs = {
        kind.name.removeprefix("MOSTLY_").removeprefix("ALL_"): int(kind)
        for kind in gguf.LlamaFileType
        if kind.name != "GUESSED"
    }
    assert theirs.items() <= QUANTS.items()


def test_tables_agree_with_each_other() -> None:
    for quant in QUANTS:
        core, others = recipe(quant)
        assert {*core, *others} <= TENSOR_TYPES_BY_NAME.keys()
    assert not UNQUANTISED - MAKEABLE
    assert not NEEDS_IMPORTANCE_MATRIX - QUANTS.keys()
    assert set(ALIASES.values()) <= MAKEABLE


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("Q4_K", 4096, "Q4_K"),
        ("Q4_K", 576, "Q5_0"),
        ("Q6_K", 576, "Q8_0"),
        ("IQ4_XS", 576, "IQ4_NL"),
        ("Q3_K", 100, "F16"),
        ("Q8_0", 100, "F16"),
    ],
)
def test_fallback(kind: str, row: int, expected: str) -> None:
    assert fallback(kind, row) == expected


def test_file_type_names() -> None:
    assert file_type_name(15) == "Q4_K_M"
    assert file_type_name(1024 + 15) == "Q4_K_M"  # guessed by llama.cpp
    assert file_type_name(33) is None


# --- parse_quant


@given(st.sampled_from(sorted(MAKEABLE)), st.data())
def test_parse_round_trip(name: str, data: st.DataObject) -> None:
    spelt = "".join(letter.lower() if data.draw(st.booleans()) else letter for letter in name)
    assert parse_quant(f" {spelt} ") == name
    assert parse_quant(parse_quant(spelt)) == name


def test_aliases() -> None:
    assert [parse_quant(name) for name in ("q3_k", "Q4_K", "q5_K")] == ["Q3_K_M", "Q4_K_M", "Q5_K_M"]


@given(st.text(max_size=12))
def test_parse_names_something_makeable_or_refuses(name: str) -> None:
    try:
        parsed = parse_quant(name)
    except ConfigError:
        return
    assert parsed in MAKEABLE


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown quant 'Q4_K_X': did you mean 'Q4_K_[MS]'\?"):
        parse_quant("Q4_K_X")


@pytest.mark.parametrize("name", sorted(NEEDS_IMPORTANCE_MATRIX))
def test_importance_matrix(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"llama.cpp refuses it without an importance matrix.*that needs none"
    ):
        parse_quant(name.lower())


def test_read_only_name() -> None:
    with pytest.raises(ConfigError, match=r"'NVFP4' cannot be made here.*Declare a ready-made file"):
        parse_quant("nvfp4")


# --- labels


@pytest.mark.parametrize(
    ("tensors", "declared", "label"),
    [
        (model("F16", embedding="F16"), "F16", "F16"),
        (model("Q8_0", embedding="Q8_0"), "Q8_0", "Q8_0"),
        (model("Q4_1", row=576, embedding="Q8_0"), "Q4_1", "Q4_1"),
        (model("Q4_K", "Q4_K", "Q4_K", "Q6_K"), "Q4_K_M", "Q4_K_M"),
        (model("Q4_K", "Q4_K", "Q4_K", "Q6_K"), None, "mostly Q4_K"),
        (model("Q8_0", embedding="Q8_0"), None, "Q8_0"),
        (model("Q5_0", "Q5_0", "Q5_0", "Q8_0", row=576, embedding="Q8_0"), "Q4_K_M",
         "Q4_K_M (mostly Q5_0 fallback, 7.8 bpw)"),
        (model("Q4_0", "Q4_0", row=576, down="Q3_K", embedding="Q8_0"), "Q2_K",
         "Q2_K (mostly Q4_0 fallback, 7.1 bpw)"),
        # The name is a lie: nothing of what Q4_K_M stands for, nor of what llama.cpp falls back to here.
        (model("Q8_0", embedding="Q8_0"), "Q4_K_M", "Q8_0, declared Q4_K_M"),
        (model("Q8_0", "Q8_0", "Q8_0", "F16"), "Q4_K_M", "mostly Q8_0, declared Q4_K_M"),
        (model("Q5_0"), "Q4_K_M", "Q5_0, declared Q4_K_M"),  # 1024 columns force no fallback
        (model("Q8_0", "Q8_0", "Q8_0", "Q4_K"), "Q4_K_M", "mostly Q8_0, declared Q4_K_M"),
        (model("Q4_K", "Q8_0"), "Q4_K_M", "mostly Q4_K, declared Q4_K_M"),
        # Only the rows that do not force a fallback tell Q8_0 from Q6_K.
        (model("Q8_0", "Q8_0", row=576, down="Q6_K", embedding="Q8_0"), "Q6_K",
         "Q6_K (partly Q8_0 fallback, 8.2 bpw)"),
        (model("Q8_0", "Q8_0", row=576, down="Q8_0"), "Q6_K", "Q8_0, declared Q6_K"),
        # A dense model has no experts for MXFP4, and llama.cpp then makes plain Q8_0.
        (model("Q8_0", embedding="Q8_0"), "MXFP4_MOE", "Q8_0, declared MXFP4_MOE"),
        ([Tensor("a", (5,), "F32")], None, "F32"),
        ([], "Q8_0", "no weights"),
    ],
)  # fmt: skip
def test_labels(tensors: list[Tensor], declared: str | None, label: str) -> None:
    assert quant_label(tensors, declared) == label
    assert describe_quant(tensors, declared).startswith(label)


def test_description_of_a_fallback() -> None:
    said = describe_quant(model("Q5_0", row=576, embedding="Q8_0"), "Q4_K_M")
    assert said.startswith(
        "Q4_K_M (mostly Q5_0 fallback, 8.2 bpw): 8.20 bits per weight; by parameters Q8_0 89.8 %"
    )
    assert said.endswith("; rows of 576 values do not divide into blocks of 256.")


def test_description_of_a_lie() -> None:
    said = describe_quant(model("Q8_0", embedding="Q8_0"), "Q4_K_M")
    assert said.endswith("; the file declares Q4_K_M, which llama.cpp does not make of these types.")


def test_description_without_a_declaration() -> None:
    assert describe_quant(model("Q8_0"), None).endswith("; the file declares no type (general.file_type).")


@given(st.lists(st.sampled_from(sorted(TENSOR_TYPES_BY_NAME)), max_size=8), st.sampled_from([None, *QUANTS]))
def test_every_mixture_has_a_label(types: list[str], declared: str | None) -> None:
    tensors = model(*types)
    assert quant_label(tensors, declared)
    assert sum(count.params for count in histogram(tensors).values()) == sum(t.n_params for t in tensors)


def test_real_model(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    assert (header.quant, header.declared_quant) == ("Q4_1", "Q4_1")
    assert {name: count.tensors for name, count in header.histogram.items()} == {
        "Q4_1": 210,
        "Q8_0": 1,
        "F32": 61,
    }
    assert header.bits_per_weight == pytest.approx(5.7437, abs=1e-4)
