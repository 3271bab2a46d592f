"""Token ids are llama.cpp's: against its own test data, and against the way llama-server takes a prompt.

The judge is the llama-cpp-python source archive: `models/ggml-vocab-*.gguf` with the `.inp` and `.out` of
llama.cpp's `test-tokenizer-0`.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.vocabulary import Vocabulary
from pytest_llmcheck.engines.llama.words import Text, ask
from tests.support.archive import archive
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAIRED = (
    "bert-bge",
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gemma-4",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
)
SEPARATOR = "\n__ggml_vocab_test__\n"

# Of each kind of vocabulary, and of each way to begin a text.
SERVED = ("llama-spm", "llama-bpe", "phi-3", "gemma-4", "qwen2", "deepseek-llm", "command-r", "falcon")


@pytest.fixture(scope="session")
def vocabularies() -> Path:
    return archive() / "vendor" / "llama.cpp" / "models"


def test_no_pair_is_left_out(vocabularies: Path) -> None:
    found = {path.name for path in vocabularies.glob("ggml-vocab-*.gguf.inp")}
    assert found == {f"ggml-vocab-{name}.gguf.inp" for name in PAIRED}


@pytest.mark.parametrize("name", PAIRED)
def test_ids_are_those_of_the_pairs(vocabularies: Path, name: str) -> None:
    """As `read_tests` of llama.cpp's test-tokenizer-0.cpp reads them; nothing added, nothing parsed."""
    path = vocabularies / f"ggml-vocab-{name}.gguf"
    inputs = path.with_name(f"{path.name}.inp").read_bytes().decode().split(SEPARATOR)
    lines = path.with_name(f"{path.name}.out").read_text().splitlines()
    if inputs[-1] == "" and len(inputs) == len(lines) + 1:
        inputs.pop()
    assert len(inputs) == len(lines) > 40
    told = ask(path, [Text(text, "plain") for text in inputs])
    wanted = [tuple(map(int, line.split())) for line in lines]
    assert [tokens.ids for tokens in told.texts] == wanted


@pytest.fixture(scope="module", params=SERVED)
def served(request: pytest.FixtureRequest, vocabularies: Path) -> Iterator[Any]:
    yield from loaded(vocabularies / f"ggml-vocab-{request.param}.gguf")


def loaded(path: Path) -> Iterator[Any]:
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(os.fsencode(path), params)
    assert model
    yield model
    llama.llama_model_free(model)


def as_server(vocabulary: Vocabulary, text: str) -> list[int]:
    """llama-server's way from a rendered prompt to ids.

    `common_chat_template_direct_apply_impl` (common/chat.cpp) takes one BOS off the text, and an EOS, where
    the vocabulary adds them; `tokenize_input_prompts(..., add_special=true, parse_special=true)` (server)
    adds them. The EOS at the end is left out here: that is where we differ on purpose.
    """
    if vocabulary.adds_bos and vocabulary.bos is not None:
        text = text.removeprefix(vocabulary.shown(vocabulary.bos))
    if vocabulary.adds_eos and vocabulary.eos is not None:
        text = text.removesuffix(vocabulary.shown(vocabulary.eos))
    raw = text.encode()
    buffer = (ctypes.c_int32 * (len(raw) + 8))()
    count = llama.llama_tokenize(vocabulary.pointer, raw, len(raw), buffer, len(buffer), True, True)
    assert count >= 0
    ids = list(buffer[:count])
    if vocabulary.adds_eos:
        assert ids.pop() == vocabulary.eos
    return ids


def prompts(vocabulary: Vocabulary) -> list[str]:
    bos = "" if vocabulary.bos is None else vocabulary.shown(vocabulary.bos)
    eos = "" if vocabulary.eos is None else vocabulary.shown(vocabulary.eos)
    return [
        "",
        bos,
        "Hello",
        " Hello",
        "\nHello",
        f"{bos}Hello",
        f"{bos} Hello",
        f"{bos}\nHello{eos}\n",
        f"{bos}{bos}Hello",
        f" {bos}Hello",
        f"Hello{bos}",
        f"{bos}[INST] Hello [/INST] Hi{eos}{bos}[INST] Bye [/INST]",
        f"{bos}<|user|>\nHello<|end|>\n<|assistant|>\n",
        f"{bos}<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>",
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
        f"{bos}<|turn>user\nHéllo 🦙<turn|>\n",
    ]


def test_prompts_are_those_of_llama_server(served: Any) -> None:
    vocabulary = Vocabulary(served)
    for text in prompts(vocabulary):
        assert vocabulary.tokenise(text) == as_server(vocabulary, text), text


def test_both_ways_to_begin_are_covered(vocabularies: Path) -> None:
    assert {"llama-spm", "qwen2"} < {*SERVED}
    assert ask(vocabularies / "ggml-vocab-llama-spm.gguf").adds_bos
    assert not ask(vocabularies / "ggml-vocab-qwen2.gguf").adds_bos


@pytest.mark.parametrize("adds_eos", [False, True])
@pytest.mark.parametrize("adds_bos", [False, True])
def test_generated_vocabularies(tmp_path: Path, adds_bos: bool, adds_eos: bool) -> None:
    path = tiny_llama(
        tmp_path / "tiny.gguf", add_bos=adds_bos, bos=0, metadata={"tokenizer.ggml.add_eos_token": adds_eos}
    )
    for model in loaded(path):
        vocabulary = Vocabulary(model)
        assert (vocabulary.adds_bos, vocabulary.adds_eos) == (adds_bos, adds_eos)
        for text in prompts(vocabulary):
            assert vocabulary.tokenise(text) == as_server(vocabulary, text), text


class TestWhereServersAndTransformersDiffer:
    """A template without BOS on a vocabulary that asks for one.

    transformers tokenises a rendered chat with ``add_special_tokens=False``: it would be left without.
    """

    def test_one_is_added(self, vocabularies: Path) -> None:
        path = vocabularies / "ggml-vocab-llama-bpe.gguf"
        chatml = "<|im_start|>user\nHello<|im_end|>\n"
        told = ask(path, [chatml, Text(chatml, "special"), f"<|begin_of_text|>{chatml}"])
        as_prompt, alone, with_bos = (tokens.ids for tokens in told.texts)
        assert told.bos == 128000
        assert as_prompt == (told.bos, *alone) == with_bos
        assert told.bos not in alone

    def test_what_the_template_doubles_stays(self, vocabularies: Path) -> None:
        """llama-server and transformers send both; the audit says so."""
        told = ask(vocabularies / "ggml-vocab-llama-bpe.gguf", ["<|begin_of_text|><|begin_of_text|>Hello"])
        assert told.texts[0].ids[:2] == (told.bos, told.bos)
        assert told.texts[0].ids.count(told.bos or -1) == 2
