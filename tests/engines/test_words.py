"""The tokenizer without the weights, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.engines.llama.words import Text, ask
from pytest_llmcheck.errors import EngineError
from tests.support.gguf_files import BOS, EOS, N_VOCAB, byte_tokens, tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

BYTE = 3  # the id of byte 0 in the tiny model


def spelt(text: str) -> tuple[int, ...]:
    """The tiny model has a token for each byte."""
    return tuple(BYTE + byte for byte in text.encode())


class TestTexts:
    def test_each_as_it_is_asked(self, tiny: Path) -> None:
        told = ask(
            tiny,
            [
                "<|im_start|>Hi<|im_end|>",
                Text("<|im_end|>", "special"),
                Text("<|im_end|>", "plain"),
                Text("", "plain"),
                Text("é", "plain"),
            ],
        )
        assert [tokens.ids for tokens in told.texts] == [
            (BOS, *spelt("Hi"), EOS),
            (EOS,),
            spelt("<|im_end|>"),
            (),
            spelt("é"),
        ]
        assert told.texts[0].pieces == (b"<|im_start|>", b"H", b"i", b"<|im_end|>")
        assert told.texts[4].pieces == (b"\xc3", b"\xa9")

    def test_a_missing_bos_is_added_to_prompts_only(self, tmp_path: Path) -> None:
        path = tiny_llama(tmp_path / "adds.gguf", add_bos=True, bos=0)
        told = ask(path, ["Hi", "<|endoftext|>Hi", Text("Hi", "special"), Text("Hi", "plain"), ""])
        assert [tokens.ids for tokens in told.texts] == [
            (0, *spelt("Hi")),
            (0, *spelt("Hi")),
            spelt("Hi"),
            spelt("Hi"),
            (0,),
        ]
        assert told.adds_bos

    def test_no_eos_is_added(self, tmp_path: Path) -> None:
        path = tiny_llama(tmp_path / "eos.gguf", metadata={"tokenizer.ggml.add_eos_token": True})
        told = ask(path, ["Hi"])
        assert told.adds_eos
        assert told.texts[0].ids == spelt("Hi")


class TestFacts:
    def test_of_a_generated_file(self, tiny: Path) -> None:
        told = ask(tiny)
        assert (told.texts, told.size) == ((), N_VOCAB)
        assert (told.bos, told.eos, told.adds_bos, told.adds_eos) == (BOS, EOS, False, False)
        assert told.control == {0: "<|endoftext|>", 1: "<|im_start|>", 2: "<|im_end|>"}
        assert told.end_of_generation == {0: "<|endoftext|>", 2: "<|im_end|>"}
        assert told.user_defined == {}

    def test_llama_cpp_corrects_types(self, tmp_path: Path) -> None:
        """It knows <|channel|> by its name, whatever the file says of it."""
        told = ask(tiny_llama(tmp_path / "own.gguf", extra=("<|channel|>", "<|mine|>")))
        assert told.user_defined == {N_VOCAB: "<|channel|>"}
        assert told.control[N_VOCAB + 1] == "<|mine|>"

    def test_of_smollm(self, smollm: Path) -> None:
        told = ask(smollm, ["Hello, world"])
        assert told.end_of_generation == {0: "<|endoftext|>", 2: "<|im_end|>", 4: "<reponame>"}
        assert b"".join(told.texts[0].pieces) == b"Hello, world"
        assert told.size == 49152

    def test_a_vocabulary_of_no_model(self, tmp_path: Path) -> None:
        """Byte tokens of a vocabulary are its stand-in letters; pieces are the bytes."""
        told = ask(tiny_llama(tmp_path / "tiny.gguf"), [Text(" ", "plain")])
        assert byte_tokens()[0x20] != " "
        assert told.texts[0].pieces == (b" ",)


class TestTrouble:
    def test_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "no.gguf").write_bytes(b"GGUF nothing")
        problem = r"llama\.cpp cannot read the vocabulary of .*no\.gguf: "
        with pytest.raises(EngineError, match=problem) as caught:
            ask(tmp_path / "no.gguf")
        assert not caught.value.passing

    def test_an_unknown_tokenizer(self, tmp_path: Path) -> None:
        path = tiny_llama(tmp_path / "odd.gguf")
        path.write_bytes(path.read_bytes().replace(b"gpt2", b"gptX", 1))
        problem = r"unknown tokenizer: 'gptX'.*; download or convert the file again"
        with pytest.raises(EngineError, match=problem):
            ask(path)

    def test_a_crash_is_told(self, tmp_path: Path) -> None:
        """Without a tokenizer llama.cpp aborts when it is asked about one."""
        path = tiny_llama(tmp_path / "none.gguf")
        path.write_bytes(path.read_bytes().replace(b"gpt2", b"none", 1))
        problem = r"was killed by SIGABRT reading the vocabulary of .*none\.gguf: "
        with pytest.raises(EngineError, match=problem):
            ask(path)

    def test_a_process_that_cannot_be_started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tiny_llama(tmp_path / "tiny.gguf")
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(EngineError, match="/nowhere/python cannot be started: No such file") as caught:
            ask(path)
        assert caught.value.passing

    def test_a_name_that_is_not_utf_8(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"odd-\xff.gguf")
        try:
            tiny_llama(tmp_path / "tiny.gguf").rename(path)
        except OSError:
            pytest.skip("this file system takes no such name")
        assert ask(path).size == N_VOCAB


def test_the_way_in_loads_no_engine() -> None:
    code = "import sys, pytest_llmcheck.engines.llama.words; print('llama_cpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"
