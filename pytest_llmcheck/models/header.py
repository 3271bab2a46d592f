"""What a GGUF file says about its model, without its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.arrays import GGUFArray
from pytest_llmcheck.models.labels import (
    TypeCount,
    bits_per_weight,
    describe_quant,
    histogram,
    quant_label,
)
from pytest_llmcheck.models.quants import file_type_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Scalar = str | int | float | bool
Value = Scalar | GGUFArray

_T = TypeVar("_T")

#: llama.cpp's `llama_token_type` for tokens that steer and are never text.
_CONTROL = 3

#: Keys that only models with a recurrent state have.
_RECURRENT_KEYS = ("ssm.state_size", "ssm.conv_kernel", "wkv.head_size", "shortconv.l_cache", "kda.head_dim")

#: The names that chat templates know, and the keys under which GGUF holds the token ids.
_SPECIAL_IDS = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "sep_token": "tokenizer.ggml.seperator_token_id",  # misspelt in the format itself
    "pad_token": "tokenizer.ggml.padding_token_id",
    "cls_token": "tokenizer.ggml.cls_token_id",
    "mask_token": "tokenizer.ggml.mask_token_id",
    "eot_token": "tokenizer.ggml.eot_token_id",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file.

    Attributes:
        name: as llama.cpp knows it, ``blk.0.attn_q.weight``.
        shape: in ggml's order, the row length first.
        type_name: as llama.cpp spells it, ``Q4_K``.
        offset: where its data begins, in bytes from the start of the file.
        n_bytes: the size of its data in bytes.
        n_params: the number of values.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    n_bytes: int
    n_params: int


@dataclass(frozen=True, eq=False)
class GGUFHeader:
    """The metadata and tensor list of a GGUF file, checked against the size of the file.

    Properties that a language model cannot do without raise ModelError with the missing key's name;
    properties that are None where the key is missing say so.

    Attributes:
        path: the file.
        version: of the GGUF format, 2 or 3.
        size: of the file in bytes.
        metadata: scalars as Python values, arrays as sequences that decode an item when asked for it.
        tensors: in file order.
        value_types: GGUF's number of each metadata value's type (6: float32, 8: string, ...).
    """

    path: Path
    version: int
    size: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    value_types: Mapping[str, int] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """``general.architecture``, such as ``llama``; required."""
        return self._require("general.architecture", str)

    @property
    def name(self) -> str | None:
        """``general.name``; None if the file has none."""
        return self._optional("general.name", str)

    @property
    def context_length(self) -> int:
        """The context that the model was trained for, in tokens; required."""
        return self._require(self._key("context_length"), int)

    @property
    def n_layers(self) -> int:
        """The number of blocks; required."""
        return self._require(self._key("block_count"), int)

    @property
    def n_embd(self) -> int:
        """The width of the hidden state; required."""
        return self._require(self._key("embedding_length"), int)

    @property
    def n_heads(self) -> int | tuple[int, ...]:
        """Attention heads, a tuple by layer where they differ; required, but 0 for a recurrent model."""
        key = self._key("attention.head_count")
        # As llama.cpp has it; whoever converts a model without attention need not say that it has none.
        return 0 if key not in self.metadata and self.is_recurrent else self._number_or_layers(key)

    @property
    def is_recurrent(self) -> bool:
        """Whether some layer keeps a state instead of a KV cache (Mamba, RWKV and hybrids of them)."""
        return any(map(self.has, _RECURRENT_KEYS))

    @property
    def n_kv_heads(self) -> int | tuple[int, ...]:
        """Key/value heads, a tuple by layer where the layers differ; by default `n_heads`."""
        key = self._key("attention.head_count_kv")
        return self._number_or_layers(key) if key in self.metadata else self.n_heads

    @property
    def kv_heads_by_layer(self) -> tuple[int, ...]:
        """Key/value heads of every layer; 0 for a layer without attention.

        Raises:
            ModelError: the file lists another number of layers than it has.
        """
        heads = self.n_kv_heads
        if isinstance(heads, int):
            return (heads,) * self.n_layers
        if len(heads) < self.n_layers:
            raise ModelError(
                f"{self.path}: metadata key {self._key('attention.head_count_kv')!r} lists {len(heads)} "
                f"layers, but the model has {self.n_layers}; the file is damaged, convert it again"
            )
        return heads[: self.n_layers]

    @property
    def key_length(self) -> int:
        """Width of one head's key; by default n_embd / heads of the first layer, as in llama.cpp."""
        return self._head_width("attention.key_length")

    @property
    def value_length(self) -> int:
        """Width of one head's value; by default n_embd / heads of the first layer, as in llama.cpp."""
        return self._head_width("attention.value_length")

    @property
    def n_vocab(self) -> int:
        """Number of tokens: the length of the token list, else ``<architecture>.vocab_size``; required."""
        tokens = self._optional("tokenizer.ggml.tokens", GGUFArray)
        return len(tokens) if tokens is not None else self._require(self._key("vocab_size"), int)

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a text, None if the file names none."""
        return self._optional("tokenizer.ggml.bos_token_id", int)

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a text, None if the file names none."""
        return self._optional("tokenizer.ggml.eos_token_id", int)

    @property
    def bos_token(self) -> str | None:
        """The text of the token that begins a text, None if the file names none."""
        return self.special_tokens.get("bos_token")

    @property
    def eos_token(self) -> str | None:
        """The text of the token that ends a text, None if the file names none."""
        return self.special_tokens.get("eos_token")

    @property
    def add_bos(self) -> bool | None:
        """Whether the tokenizer puts the beginning token first; None if the file leaves it to llama.cpp."""
        return self._optional("tokenizer.ggml.add_bos_token", bool)

    def token(self, token_id: int) -> str:
        """The text of a token as the file holds it (byte-level tokenizers: in their stand-in letters).

        Raises:
            ModelError: the file has no token list, or no such id.
        """
        tokens = self._require("tokenizer.ggml.tokens", GGUFArray)
        if not 0 <= token_id < len(tokens):
            raise ModelError(
                f"{self.path}: token id {token_id} is outside the vocabulary of {len(tokens)} tokens; "
                f"the file is damaged or was converted wrongly, download or convert it again"
            )
        return str(tokens[token_id])

    @cached_property
    def control_tokens(self) -> Mapping[int, str]:
        """Tokens of the type *control*: those that steer and are never text. Id to text."""
        kinds = self._optional("tokenizer.ggml.token_type", GGUFArray)
        if kinds is None:
            return {}
        return {token: self.token(token) for token, kind in enumerate(kinds) if kind == _CONTROL}

    @cached_property
    def special_tokens(self) -> Mapping[str, str]:
        """What chat templates call ``bos_token``, ``eos_token``, ``pad_token`` ...: name to text."""
        ids = ((name, self._optional(key, int)) for name, key in _SPECIAL_IDS.items())
        return {name: self.token(token) for name, token in ids if token is not None}

    @cached_property
    def chat_templates(self) -> Mapping[str, str]:
        """Jinja sources by name: ``default``, and what the file names (``tool_use``, ``rag``)."""
        prefix = "tokenizer.chat_template"
        found = {key: value for key, value in self.metadata.items() if isinstance(value, str)}
        named = {
            key.removeprefix(f"{prefix}."): value
            for key, value in found.items()
            if key.startswith(f"{prefix}.")
        }
        default = found.get(prefix)
        return named if default is None else {"default": default, **named}

    @cached_property
    def histogram(self) -> Mapping[str, TypeCount]:
        """Tensors, parameters and bytes by tensor type, the largest by parameters first."""
        return histogram(self.tensors)

    @property
    def n_params(self) -> int:
        """The number of values in all tensors."""
        return sum(tensor.n_params for tensor in self.tensors)

    @property
    def weight_bytes(self) -> int:
        """The size of all tensors in bytes."""
        return sum(tensor.n_bytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits that the file spends on a parameter, norms and embeddings included."""
        return bits_per_weight(self.histogram)

    @cached_property
    def quant(self) -> str:
        """The quantisation as its tensors show it, short enough for a table's column."""
        return quant_label(self.tensors, self.declared_quant)

    @cached_property
    def quant_description(self) -> str:
        """The quantisation in a sentence, with the shares of the tensor types."""
        return describe_quant(self.tensors, self.declared_quant)

    @property
    def declared_quant(self) -> str | None:
        """What the file says of itself (``general.file_type``); None if it says nothing known."""
        number = self._optional("general.file_type", int)
        return None if number is None else file_type_name(number)

    def has(self, suffix: str) -> bool:
        """Whether the file has the key ``<architecture>.<suffix>``."""
        return self._key(suffix) in self.metadata

    def number(self, suffix: str) -> int:
        """The whole number under ``<architecture>.<suffix>``; 0 where there is none."""
        value = self.metadata.get(self._key(suffix))
        return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0

    def _key(self, suffix: str) -> str:
        return f"{self.architecture}.{suffix}"

    def _optional(self, key: str, kind: type[_T]) -> _T | None:
        value = self.metadata.get(key)
        if value is None:
            return None
        if _is_a(value, kind):
            return cast("_T", value)
        raise ModelError(
            f"{self.path}: metadata key {key!r} should hold {_CALLED.get(kind, kind.__name__)}, "
            f"but holds {_shown(value)}; the file is damaged or was converted wrongly, convert it again"
        )

    def _require(self, key: str, kind: type[_T]) -> _T:
        value = self._optional(key, kind)
        if value is None:
            raise ModelError(
                f"{self.path} has no metadata key {key!r}: it is no language model that llama.cpp can run "
                f"(a LoRA adapter, a vision projector or an importance matrix?), or it was "
                f"converted wrongly; convert it again with llama.cpp's convert_hf_to_gguf.py"
            )
        return value

    def _number_or_layers(self, key: str) -> int | tuple[int, ...]:
        if isinstance(array := self.metadata.get(key), GGUFArray):
            if any(not _is_a(count, int) for count in array):
                raise ModelError(
                    f"{self.path}: metadata key {key!r} should hold whole numbers; convert it again"
                )
            return tuple(int(count) for count in array)
        return self._require(key, int)

    def _head_width(self, suffix: str) -> int:
        width = self._optional(self._key(suffix), int)
        if width is not None:
            return width
        heads = self.n_heads
        first = heads if isinstance(heads, int) else next(iter(heads), 0)
        return self.n_embd // first if first > 0 else 0


_CALLED = {str: "text", int: "a whole number", bool: "true or false", GGUFArray: "a list"}


def _is_a(value: object, kind: type) -> bool:
    # True is an int to Python, not to the format.
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def _shown(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, GGUFArray) else repr(value)[:60]
