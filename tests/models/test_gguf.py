"""The header reader: equal to the `gguf` package's on good files, and clear about bad ones."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import pytest

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import read_gguf
from pytest_llmcheck.models.arrays import GGUFArray
from tests.support.gguf_files import CHATML, array, entry, header, made, string, tensor, text, tiny_llama, u32


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- good files


def assert_as_judged(path: Path) -> None:
    judge, ours = gguf.GGUFReader(path), read_gguf(path)
    theirs = [
        (t.name, tuple(int(n) for n in t.shape), t.tensor_type.name, t.data_offset, t.n_bytes, t.n_elements)
        for t in judge.tensors
    ]
    mine = [(t.name, t.shape, t.type_name, t.offset, t.n_bytes, t.n_params) for t in ours.tensors]
    assert mine == theirs
    keys = [key for key in judge.fields if not key.startswith("GGUF.")]
    assert list(ours.metadata) == keys
    for key in keys:
        value: Any = ours.metadata[key]
        assert (list(value) if isinstance(value, GGUFArray) else value) == judge.fields[key].contents(), key


def test_tiny_file_reads_as_the_gguf_package_reads_it(tiny: Path) -> None:
    assert_as_judged(tiny)


def test_real_file_reads_as_the_gguf_package_reads_it(smollm2: Path) -> None:
    assert_as_judged(smollm2)


def test_properties_of_a_tiny_file(tiny: Path) -> None:
    head = read_gguf(str(tiny))
    assert (head.path, head.version, head.size) == (tiny, 3, tiny.stat().st_size)
    assert (head.architecture, head.name, head.context_length) == ("llama", "tiny", 512)
    assert (head.n_layers, head.n_embd, head.n_heads, head.n_kv_heads, head.n_vocab) == (2, 64, 4, 2, 259)
    assert (head.key_length, head.value_length, head.kv_heads_by_layer) == (16, 16, (2, 2))
    assert (head.bos_token_id, head.eos_token_id, head.add_bos) == (1, 2, False)
    assert (head.bos_token, head.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert head.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    assert head.control_tokens == {0: "<|endoftext|>", 1: "<|im_start|>", 2: "<|im_end|>"}
    assert head.token(3 + ord("A")) == "A"
    assert head.chat_templates == {"default": CHATML}
    assert (head.quant, head.declared_quant) == ("F16", "F16")
    assert head.n_params == sum(count.params for count in head.histogram.values())
    assert head.weight_bytes < head.size
    assert 16 < head.bits_per_weight < 17


def test_what_a_file_may_leave_out(tmp_path: Path) -> None:
    head = read_gguf(made(tmp_path, header(string("general.architecture", "llama"))))
    assert head.name is None
    assert (head.chat_templates, head.special_tokens, head.control_tokens) == ({}, {}, {})
    assert (head.bos_token, head.eos_token, head.bos_token_id, head.add_bos) == (None, None, None, None)
    assert (head.n_params, head.bits_per_weight, head.quant) == (0, 0.0, "no weights")
    assert head.declared_quant is None


def test_named_chat_templates(tmp_path: Path) -> None:
    templates = [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
    head = read_gguf(tiny_llama(tmp_path / "t.gguf", chat_template=templates))
    assert head.chat_templates == {"default": "A", "tool_use": "B"}


def test_heads_by_layer_and_own_head_width(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        header(
            string("general.architecture", "x"),
            u32("x.block_count", 3),
            u32("x.embedding_length", 64),
            array("x.attention.head_count", 4, 3, struct.pack("<3I", 8, 8, 8)),
            array("x.attention.head_count_kv", 4, 3, struct.pack("<3I", 2, 0, 2)),
            u32("x.attention.value_length", 24),
        ),
    )
    head = read_gguf(path)
    assert (head.n_heads, head.n_kv_heads, head.kv_heads_by_layer) == ((8, 8, 8), (2, 0, 2), (2, 0, 2))
    assert (head.key_length, head.value_length) == (8, 24)


def test_header_larger_than_the_first_window(tmp_path: Path) -> None:
    words = b"".join(text(f"word{i:04}" * 200) for i in range(4000))
    parts = [string("general.architecture", "llama"), array("tokenizer.ggml.tokens", 8, 4000, words)]
    head = read_gguf(made(tmp_path, header(*parts)))
    assert head.size > 5 << 20
    assert (head.n_vocab, head.token(3999)) == (4000, "word3999" * 200)


def test_version_2_and_every_scalar_type(tmp_path: Path) -> None:
    values: dict[int, tuple[str, int | float | bool]] = {
        0: ("B", 255), 1: ("b", -1), 2: ("H", 65535), 3: ("h", -2), 4: ("I", 1 << 31), 5: ("i", -3),
        6: ("f", 0.5), 7: ("?", True), 10: ("Q", 1 << 63), 11: ("q", -(1 << 62)), 12: ("d", 0.1),
    }  # fmt: skip
    one = [entry(f"k{kind}", kind, struct.pack("<" + code, v)) for kind, (code, v) in values.items()]
    many = [array(f"a{kind}", kind, 2, struct.pack("<2" + code, v, v)) for kind, (code, v) in values.items()]
    head = read_gguf(made(tmp_path, header(*one, *many, version=2)))
    assert head.version == 2
    for kind, (_, value) in values.items():
        assert head.metadata[f"k{kind}"] == value
        assert head.metadata[f"a{kind}"] == [value, value]


def test_arrays_are_sequences(tmp_path: Path) -> None:
    items = b"".join(map(text, ("a", "bé", "", "d")))
    found = read_gguf(made(tmp_path, header(array("k", 8, 4, items)))).metadata["k"]
    assert isinstance(found, GGUFArray)
    assert (found[1], found[-1], found[1:3], list(found)) == ("bé", "d", ("bé", ""), ["a", "bé", "", "d"])
    assert repr(found) == "<4 items: 'a', 'bé', '', ...>"
    assert found != "abc"
    with pytest.raises(IndexError, match="outside an array of 4"):
        found[4]


def test_other_alignment(tmp_path: Path) -> None:
    parts = [u32("general.alignment", 64)]
    tensors = [tensor("a", [3]), tensor("b", [3], offset=64)]
    head = read_gguf(made(tmp_path, header(*parts, tensors=tensors, data=bytes(128), alignment=64)))
    assert [t.offset % 64 for t in head.tensors] == [0, 0]


# --- files that are no GGUF


def test_missing_file(tmp_path: Path) -> None:
    assert "does not exist; correct the path" in refused(tmp_path / "no.gguf")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder; name the .gguf file in it" in refused(tmp_path)


def test_name_that_no_file_can_have() -> None:
    with pytest.raises(ModelError, match="is not a file name"):
        read_gguf("a\0b")


def test_name_too_long(tmp_path: Path) -> None:
    assert "cannot be read: File name too long" in refused(tmp_path / ("x" * 300))


def test_no_read_permission(tmp_path: Path) -> None:
    path = made(tmp_path, header())
    path.chmod(0)
    if os.geteuid() != 0:
        assert "may not be read by this user; give it read permission" in refused(path)
        return
    # Permission bits do not bind root, so another user has to try, in a folder that it can enter.
    code = (
        "import os, sys; from pytest_llmcheck.models.gguf import read_gguf; os.setuid(65534)\n"
        "try: read_gguf(sys.argv[1])\nexcept Exception as error: print(type(error).__name__, error)"
    )
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        path = made(Path(name), header())
        path.chmod(0)
        said = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
    assert said.startswith(f"ModelError {path} may not be read by this user; give it read permission")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty; download or convert it again"),
        (b"GG", "is cut off: it has only 2 bytes"),
        (b"GGUF\x03\0\0\0", "is cut off: it has only 8 bytes"),
        (
            b"hello world, this is text",
            "is not a GGUF file: it begins with b'hello world,', not with b'GGUF'",
        ),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer, run 'git lfs pull'"),
        (b"<!doctype html><html>", "it is a web page: the download went wrong"),
        (b"PK\x03\x04" + bytes(30), "convert them with convert_hf_to_gguf.py"),
        (struct.pack("<Q", 900) + b'{"__metadata__":{}}', "safetensors weights"),
        (b"tjgg" + bytes(30), "before GGUF, convert it from the original weights"),
        (header(version=1), "of version 1; versions 2 and 3 can be read: convert it again"),
        (header(version=0), "of version 0; versions 2 and 3 can be read: convert it again"),
        (header(version=4), "of version 4; versions 2 and 3 can be read: it needs a newer llama.cpp"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is a big-endian GGUF file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_gguf(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in refused(made(tmp_path, content))
