"""Damaged and hostile files: refused with the fault and the remedy, and nothing worse."""

from __future__ import annotations

import os
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import GGUFHeader, read_gguf
from tests.support.gguf_files import array, entry, header, made, string, tensor, text, u32

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


HUGE = (1 << 63) + 5


def one_tensor(shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    return header(tensors=[tensor("t", shape, kind, offset)], data=bytes(64))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (header(n_metadata=HUGE), f"it claims {HUGE:,} metadata entries"),
        (header(n_tensors=HUGE), f"it claims {HUGE:,} tensors"),
        (header(u32("k", 1), struct.pack("<Q", 900)), "name of metadata entry 1 needs 949 bytes, but"),
        (header(array("k", 8, HUGE, b"")), f"it claims {HUGE:,} strings in metadata key 'k'"),
        (header(array("k", 4, HUGE, b"")), "metadata key 'k' needs"),
        (header(array("k", 8, 2, struct.pack("<QQ", HUGE, HUGE))), "metadata key 'k' needs"),
        (header(array("k", 8, 3, struct.pack("<QQQ", 1 << 40, 1 << 40, 0))), "metadata key 'k' needs"),
        (header(entry("k", 8, struct.pack("<Q", HUGE))), "metadata key 'k' needs"),
        (header(struct.pack("<Q", 1 << 20) + bytes(99)), "1,048,576 bytes long, at most 65535 are possible"),
        (header(entry("k", 13, b"12345678")), "metadata key 'k' has the unknown value type 13"),
        (header(array("k", 77, 0, b"")), "metadata key 'k' is a list of the unknown value type 77"),
        (header(array("k", 9, 1, struct.pack("<IQ", 4, 0))), "metadata key 'k' is a list of lists"),
        (header(u32("k", 1), u32("k", 1)), "metadata key 'k' occurs twice"),
        (header(u32("", 1)), "a metadata key is empty"),
        (header(u32(b"\xff\xfe", 1)), "the name of metadata entry 0 is not valid UTF-8: b'\\xff\\xfe'"),
        (header(string("k", b"\xc3(")), "metadata key 'k' is not valid UTF-8: b'\\xc3('"),
        (header(u32("general.alignment", 33)), "'general.alignment' is 33, not a power of two"),
        (header(u32("general.alignment", 0)), "'general.alignment' is 0, not a power of two"),
        (header(string("general.alignment", "x")), "'general.alignment' is 'x', not a power of two"),
        (header(u32("split.count", 3)), "is one of 3 files of a split model, which cannot be read yet; join"),
        (header(tensors=[tensor("t", [8])] * 2, data=bytes(64)), "tensor 't' occurs twice"),
        (header(tensors=[tensor("x" * 64, [8])], data=bytes(64)), "64 bytes long, at most 63 are possible"),
        (header(tensors=[tensor(b"\xff", [8])], data=bytes(64)), "the name of tensor 0 is not valid UTF-8"),
        (one_tensor([1] * 5), "tensor 't' has 5 dimensions, at most 4"),
        (one_tensor([1 << 63]), "tensor 't' has the impossible shape"),
        (one_tensor([1 << 32] * 4), "tensor 't' has the impossible shape"),
        (one_tensor([8], kind=4), "tensor 't' has the unknown type 4"),
        (one_tensor([8], kind=99), "tensor 't' has the unknown type 99"),
        (one_tensor([33], kind=8), "rows of 33 values, which Q8_0 cannot hold"),
        (one_tensor([8], offset=32), "begins at byte 32 of the weights instead of 0"),
        (one_tensor([99]), "cut off: tensor 't' ends at byte 460, but the file has 128 bytes; download"),
        (one_tensor([1 << 40]), "is cut off: tensor 't' ends at byte"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_damage_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in refused(made(tmp_path, content))


def test_a_header_beyond_all_bounds_is_not_read(tmp_path: Path) -> None:
    path = made(tmp_path, header(entry("k", 8, struct.pack("<Q", 300 << 20))))
    os.truncate(path, 400 << 20)  # sparse: takes no disk
    tracemalloc.start()
    try:
        assert "would make the header larger than 256 MiB" in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_bad_token_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    items = text("a") + text(b"\xff")
    path = made(
        tmp_path, header(string("general.architecture", "x"), array("tokenizer.ggml.tokens", 8, 2, items))
    )
    head = read_gguf(path)
    assert head.token(0) == "a"
    with pytest.raises(ModelError, match=r"'tokenizer.ggml.tokens'\[1\] is not valid UTF-8: b'\\xff'"):
        head.token(1)
    with pytest.raises(ModelError, match="token id 2 is outside the vocabulary of 2 tokens"):
        head.token(2)


@pytest.mark.parametrize(
    ("ask", "key"),
    [
        (lambda head: head.context_length, "x.context_length"),
        (lambda head: head.n_layers, "x.block_count"),
        (lambda head: head.n_embd, "x.embedding_length"),
        (lambda head: head.n_heads, "x.attention.head_count"),
        (lambda head: head.n_kv_heads, "x.attention.head_count"),
        (lambda head: head.key_length, "x.attention.head_count"),
        (lambda head: head.n_vocab, "x.vocab_size"),
        (lambda head: head.token(0), "tokenizer.ggml.tokens"),
    ],
)
def test_missing_key_is_named(tmp_path: Path, ask: Any, key: str) -> None:
    head = read_gguf(made(tmp_path, header(string("general.architecture", "x"))))
    with pytest.raises(ModelError, match=f"has no metadata key '{key}'"):
        ask(head)


def test_file_without_architecture(tmp_path: Path) -> None:
    head = read_gguf(made(tmp_path, header(u32("k", 1))))
    with pytest.raises(
        ModelError, match=r"has no metadata key 'general.architecture': it is no language model"
    ):
        _ = head.context_length


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            string("x.context_length", "long"),
            "'x.context_length' should hold a whole number, but holds 'long'",
        ),
        (entry("x.context_length", 7, b"\1"), "should hold a whole number, but holds True"),
        (array("x.context_length", 4, 0, b""), "should hold a whole number, but holds a list of 0"),
    ],
)
def test_key_of_the_wrong_type_is_named(tmp_path: Path, part: bytes, expected: str) -> None:
    head = read_gguf(made(tmp_path, header(string("general.architecture", "x"), part)))
    with pytest.raises(ModelError) as caught:
        _ = head.context_length
    assert expected in str(caught.value)


def test_layers_that_do_not_add_up(tmp_path: Path) -> None:
    parts = [
        string("general.architecture", "x"),
        u32("x.block_count", 4),
        array("x.attention.head_count_kv", 4, 2, struct.pack("<2I", 1, 1)),
    ]
    head = read_gguf(made(tmp_path, header(*parts)))
    with pytest.raises(ModelError, match="lists 2 layers, but the model has 4"):
        _ = head.kv_heads_by_layer


# --- laws

_LAW = settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reads_or_refuses(path: Path) -> GGUFHeader | None:
    tracemalloc.start()
    try:
        found = read_gguf(path)
        # Everything that is decoded late must fail as cleanly.
        for ask in (
            "chat_templates",
            "control_tokens",
            "special_tokens",
            "kv_heads_by_layer",
            "key_length",
            "quant",
        ):
            getattr(found, ask)
    except ModelError as error:
        message = str(error)
    else:
        return found
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20
    assert str(path) in message
    return None


@_LAW
@given(data=st.data())
def test_cut_off_anywhere_is_refused(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = tiny.read_bytes()
    # The last tensor's padding may be missing, as for llama.cpp; nothing before it.
    end = max(t.offset + t.n_bytes for t in read_gguf(tiny).tensors)
    length = data.draw(st.one_of(st.integers(0, 12_000), st.integers(0, end - 1)))
    assert reads_or_refuses(made(tmp_path, whole[:length])) is None


@_LAW
@given(data=st.data())
def test_flipped_bytes_never_do_more_than_refuse(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    spoilt = bytearray(tiny.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, 11_000))] = data.draw(st.integers(0, 255))
    reads_or_refuses(made(tmp_path, bytes(spoilt)))


@_LAW
@given(
    noise=st.binary(max_size=400),
    version=st.sampled_from([2, 3]),
    counts=st.tuples(*[st.integers(0, 40)] * 2),
)
def test_noise_never_does_more_than_refuse(
    tmp_path: Path, noise: bytes, version: int, counts: tuple[int, int]
) -> None:
    reads_or_refuses(made(tmp_path, struct.pack("<4sIQQ", b"GGUF", version, *counts) + noise))
