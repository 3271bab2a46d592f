"""Tiny GGUF files: a whole llama model that loads and decodes, and the same model spoilt in many ways."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BOS, EOS = 1, 2
N_VOCAB = len(CONTROL_TOKENS) + 256


def byte_tokens() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    own = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    stand_ins = iter(range(256, 512))
    return [chr(byte if byte in own else next(stand_ins)) for byte in range(256)]


def tiny_llama(
    path: Path,
    *,
    n_vocab: int = N_VOCAB,
    n_layers: int = 2,
    n_embd: int = 64,
    n_heads: int = 4,
    n_kv_heads: int = 2,
    n_ff: int = 128,
    context: int = 512,
    chat_template: str | Sequence[Mapping[str, str]] | None = CHATML,
    tensor_type: Literal["F32", "F16"] = "F16",
    architecture: str = "llama",
    add_bos: bool | None = False,
    file_type: int | None = None,
    name: str = "tiny",
    metadata: Mapping[str, str | int | float | bool | list[str] | list[int]] | None = None,
    seed: int = 0,
    control: Sequence[str] = CONTROL_TOKENS,
    extra: Sequence[str] = (),
    bos: int = BOS,
    eos: int = EOS,
) -> Path:
    """Write a random model of a few hundred KB that llama.cpp loads and decodes, the same for the same seed.

    Ids 0-2 are the control tokens, id 3+b is byte b, further ids are unused tokens. Only printable ASCII
    and the control tokens have a say in the output layer, so greedy replies are always valid text.
    The model repeats nothing and means nothing. `metadata` adds keys. `control` names ids 0-2 otherwise, and
    `extra` adds control tokens after the bytes.
    """
    model = ModelWriter(
        path, architecture, name=name, tensor_type=tensor_type, file_type=file_type, seed=seed
    )
    keys = model.keys
    n_vocab += len(extra)
    keys.add_vocab_size(n_vocab)
    keys.add_context_length(context)
    keys.add_embedding_length(n_embd)
    keys.add_block_count(n_layers)
    keys.add_feed_forward_length(n_ff)
    keys.add_head_count(n_heads)
    keys.add_head_count_kv(n_kv_heads)
    keys.add_rope_dimension_count(n_embd // n_heads)
    keys.add_rope_freq_base(10000.0)
    keys.add_layer_norm_rms_eps(1e-5)
    model.speech(
        n_vocab=n_vocab,
        add_bos=add_bos,
        chat_template=chat_template,
        control=control,
        extra=extra,
        bos=bos,
        eos=eos,
    )
    model.metadata(metadata or {})

    model.matrix("token_embd.weight", n_vocab, n_embd, scale=8.0)
    for layer in range(n_layers):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", n_embd)
        model.attention(f"{block}attn_", n_embd, n_heads, n_kv_heads)
        model.vector(f"{block}ffn_norm.weight", n_embd)
        model.feed_forward(block, n_embd, n_ff)
    model.vector("output_norm.weight", n_embd)
    model.output(n_vocab, n_embd)
    return model.finish()


class ModelWriter:
    """A tiny model in the making: its metadata in `keys`, its random tensors in the order they are drawn."""

    def __init__(
        self,
        path: Path,
        architecture: str,
        *,
        name: str = "tiny",
        tensor_type: Literal["F32", "F16"] = "F16",
        file_type: int | None = None,
        seed: int = 0,
    ) -> None:
        self.path = path
        self.keys = gguf.GGUFWriter(path, architecture)
        self.keys.add_name(name)
        default_type = gguf.LlamaFileType.ALL_F32 if tensor_type == "F32" else gguf.LlamaFileType.MOSTLY_F16
        self.keys.add_file_type(default_type if file_type is None else file_type)
        self._type = np.float16 if tensor_type == "F16" else np.float32
        self._random = np.random.default_rng(seed)

    def speech(
        self,
        *,
        n_vocab: int = N_VOCAB,
        add_bos: bool | None = False,
        chat_template: str | Sequence[Mapping[str, str]] | None = CHATML,
        control: Sequence[str] = CONTROL_TOKENS,
        extra: Sequence[str] = (),
        bos: int = BOS,
        eos: int = EOS,
    ) -> None:
        """The byte-level tokenizer and the chat template."""
        _add_tokenizer(self.keys, n_vocab, add_bos, control, extra, (bos, eos))
        if chat_template is not None:
            self.keys.add_chat_template(chat_template)

    def metadata(self, entries: Mapping[str, str | int | float | bool | list[str] | list[int]]) -> None:
        """Further keys."""
        for key, value in entries.items():
            _add_any(self.keys, key, value)

    def matrix(self, label: str, rows: int, columns: int, scale: float = 1.0) -> None:
        """Random weights that keep the size of what they multiply, times `scale`."""
        self.keys.add_tensor(label, self._normal((rows, columns), scale / columns**0.5).astype(self._type))

    def experts(self, label: str, count: int, rows: int, columns: int, scale: float = 1.0) -> None:
        """As many matrices in one tensor."""
        values = self._normal((count, rows, columns), scale / columns**0.5)
        self.keys.add_tensor(label, values.astype(self._type))

    def vector(self, label: str, size: int, value: float = 1.0) -> None:
        """The weights of a norm, or a bias: one value everywhere."""
        self.tensor(label, np.full(size, value, dtype=np.float32))

    def tensor(self, label: str, values: NDArray[np.float32]) -> None:
        """A tensor that llama.cpp wants as F32 whatever the type of the matrices."""
        self.keys.add_tensor(label, values)

    def attention(
        self, prefix: str, n_embd: int, n_heads: int, n_kv_heads: int, *, head: int = 0, out: str = "output"
    ) -> None:
        """Queries, keys, values and the way out; `head` is the size of one head if not n_embd / n_heads."""
        head = head or n_embd // n_heads
        self.matrix(f"{prefix}q.weight", head * n_heads, n_embd)
        self.matrix(f"{prefix}k.weight", head * n_kv_heads, n_embd)
        self.matrix(f"{prefix}v.weight", head * n_kv_heads, n_embd)
        self.matrix(f"{prefix}{out}.weight", n_embd, head * n_heads, scale=4.0)

    def feed_forward(self, block: str, n_embd: int, n_ff: int) -> None:
        """The gated feed-forward network of a block."""
        self.matrix(f"{block}ffn_gate.weight", n_ff, n_embd)
        self.matrix(f"{block}ffn_up.weight", n_ff, n_embd)
        self.matrix(f"{block}ffn_down.weight", n_embd, n_ff, scale=4.0)

    def output(self, n_vocab: int, n_embd: int, scale: float = 3.0) -> None:
        """The output layer, in which only printable ASCII and the control tokens have a say."""
        values = self._normal((n_vocab, n_embd), scale / n_embd**0.5)
        values[_silent_ids(n_vocab)] = 0
        self.keys.add_tensor("output.weight", values.astype(self._type))

    def finish(self) -> Path:
        """Write the file."""
        self.keys.write_header_to_file()
        self.keys.write_kv_data_to_file()
        self.keys.write_tensors_to_file()
        self.keys.close()
        return self.path

    def _normal(self, shape: tuple[int, ...], deviation: float) -> NDArray[np.float32]:
        return self._random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def _add_tokenizer(
    writer: gguf.GGUFWriter,
    n_vocab: int,
    add_bos: bool | None,
    control: Sequence[str],
    extra: Sequence[str],
    ends: tuple[int, int],
) -> None:
    unused = [f"[unused{i}]" for i in range(n_vocab - N_VOCAB - len(extra))]
    tokens = [*control, *byte_tokens(), *extra, *unused][:n_vocab]
    kinds = [3] * len(control) + [1] * 256 + [3] * len(extra) + [5] * len(unused)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds[:n_vocab])
    # The writer refuses an empty array, and llama.cpp a file without merges: this one never applies.
    writer.add_token_merges(["\u0100 \u0100"])
    bos, eos = ends
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    if add_bos is not None:
        writer.add_add_bos_token(add_bos)


def _silent_ids(n_vocab: int) -> list[int]:
    loud = {*range(len(CONTROL_TOKENS)), *(3 + byte for byte in (*range(0x20, 0x7F), ord("\n")))}
    return [token for token in range(n_vocab) if token not in loud]


def _add_any(
    writer: gguf.GGUFWriter, key: str, value: str | int | float | bool | list[str] | list[int]
) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


# Hand-made headers, for files that the writer of the `gguf` package refuses to write.


def text(value: str | bytes) -> bytes:
    """A GGUF string: its length in 8 bytes, then its bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    """A metadata entry of value type `kind` (4: uint32, 8: string, 9: array) with its packed value."""
    return text(key) + struct.pack("<I", kind) + value


def u32(key: str | bytes, value: int) -> bytes:
    """A metadata entry that holds an unsigned 32-bit number."""
    return entry(key, 4, struct.pack("<I", value))


def string(key: str | bytes, value: str | bytes) -> bytes:
    """A metadata entry that holds a string."""
    return entry(key, 8, text(value))


def array(key: str | bytes, kind: int, count: int, items: bytes) -> bytes:
    """A metadata entry that holds an array which claims `count` items of value type `kind`."""
    return entry(key, 9, struct.pack("<IQ", kind, count) + items)


def tensor(name: str | bytes, shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    """A tensor's description; `kind` is ggml's type id (0: F32), `offset` counts from the data section."""
    return text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", kind, offset)


def header(
    *parts: bytes,
    tensors: Sequence[bytes] = (),
    version: int = 3,
    n_metadata: int | None = None,
    n_tensors: int | None = None,
    data: bytes = b"",
    alignment: int = 32,
) -> bytes:
    """A GGUF file from hand-made parts; the counts may lie."""
    n_metadata = len(parts) if n_metadata is None else n_metadata
    n_tensors = len(tensors) if n_tensors is None else n_tensors
    head = struct.pack("<4sIQQ", b"GGUF", version, n_tensors, n_metadata) + b"".join([*parts, *tensors])
    return head + bytes(-len(head) % alignment) + data


def made(folder: Path, content: bytes) -> Path:
    """A file with this content."""
    path = folder / "made.gguf"
    path.write_bytes(content)
    return path
