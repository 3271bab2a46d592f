"""Model families besides Llama's: what llama.cpp says of each, and what its memory keeps and gives back.

These tests stand on llama.cpp alone. They hold down the facts that the engine's rules are built on.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from tests.support import families
from tests.support.gguf_files import N_VOCAB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Row = NDArray[np.float32]

GRID = 64
WIDTH = 4


@dataclass(frozen=True)
class Family:
    """A generated file's maker, and what llama.cpp says of the file."""

    make: Callable[..., Path]
    recurrent: bool = False
    hybrid: bool = False
    encoder: bool = False
    diffusion: bool = False
    window: int = 0
    memory: bool = True


FAMILIES = {
    "gemma3": Family(families.tiny_gemma3, window=32),
    "qwen3moe": Family(families.tiny_qwen3moe),
    "mamba": Family(families.tiny_mamba, recurrent=True),
    "jamba": Family(families.tiny_jamba, hybrid=True),
    "lfm2": Family(families.tiny_lfm2, hybrid=True),
    "dream": Family(families.tiny_dream, diffusion=True, memory=False),
    # To llama.cpp an encoder is only what a decoder listens to: BERT is none.
    "bert": Family(families.tiny_bert, memory=False),
    "t5": Family(families.tiny_t5, encoder=True),
}
CHATTING = ["gemma3", "qwen3moe", "mamba", "jamba", "lfm2"]


class Bare:
    """A file in llama.cpp without any rule of ours but the parameters of its context."""

    def __init__(self, path: Path, *, width: int = WIDTH, embeddings: bool = False) -> None:
        llama.llama_backend_init()
        weights = llama.llama_model_default_params()
        weights.use_extra_bufts = False
        self.model: Any = llama.llama_model_load_from_file(str(path).encode(), weights)
        assert self.model, path
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max = 1024 * width, width
        params.n_batch = params.n_ubatch = 256
        params.n_threads = params.n_threads_batch = 1
        params.kv_unified, params.swa_full = False, True
        params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.embeddings = embeddings
        self.context: Any = llama.llama_init_from_model(self.model, params)
        assert self.context, path
        self.memory: Any = llama.llama_get_memory(self.context)
        self._batch: Any = llama.llama_batch_init(256, 0, 1)

    def close(self) -> None:
        llama.llama_batch_free(self._batch)
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)

    def run(self, rows: Sequence[tuple[int, int, int, bool]], *, encode: bool = False) -> dict[int, Row]:
        """Rows of (token, position, slot, wants logits) -> logits by slot."""
        self._batch.n_tokens = len(rows)
        for i, (token, position, slot, wanted) in enumerate(rows):
            self._batch.token[i], self._batch.pos[i] = token, position
            self._batch.n_seq_id[i], self._batch.seq_id[i][0] = 1, slot
            self._batch.logits[i] = wanted
        call = llama.llama_encode if encode else llama.llama_decode
        assert call(self.context, self._batch) == 0
        if encode:
            return {}
        return {slot: self._row(i) for i, (_, _, slot, wanted) in enumerate(rows) if wanted}

    def _row(self, i: int) -> Row:
        return np.ctypeslib.as_array(llama.llama_get_logits_ith(self.context, i), (N_VOCAB,)).copy()

    def prefill(self, slot: int, tokens: Sequence[int], start: int = 0) -> Row:
        rows: dict[int, Row] = {}
        for a in range(start, len(tokens), GRID):
            b = min(a + GRID, len(tokens))
            rows = self.run([(tokens[i], i, slot, i == len(tokens) - 1) for i in range(a, b)])
        return rows[slot]

    def remove(self, slot: int, start: int = -1) -> bool:
        return bool(llama.llama_memory_seq_rm(self.memory, slot, start, -1))

    def step(self, tokens: dict[int, tuple[int, int]]) -> dict[int, Row]:
        """{slot: (token, position)} -> logits; empty slots are padded, at least two rows."""
        high = max(2, *(slot + 1 for slot in tokens))
        idle = [slot for slot in range(high) if slot not in tokens]
        rows = self.run([(*tokens.get(slot, (0, 0)), slot, True) for slot in range(high)])
        assert all(self.remove(slot) for slot in idle)
        return {slot: rows[slot] for slot in tokens}

    def blob(self, slot: int) -> Any:
        size = llama.llama_state_seq_get_size(self.context, slot)
        out = (ctypes.c_uint8 * size)()
        assert llama.llama_state_seq_get_data(self.context, out, size, slot) == size
        return out

    def restore(self, slot: int, blob: Any) -> None:
        assert llama.llama_state_seq_set_data(self.context, blob, len(blob), slot) == len(blob)


def prompt(length: int, seed: int = 1) -> list[int]:
    """Random printable bytes."""
    return [int(t) for t in np.random.default_rng(seed).integers(35, 128, length)]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Bare]]:
    made: list[Bare] = []

    def open_(name: str, **options: Any) -> Bare:
        path = FAMILIES[name].make(tmp_path / f"{name}.gguf", **options)
        # T5 with several streams ends the process: GGML_ASSERT(ggml_can_repeat(b, a)).
        width = 1 if FAMILIES[name].encoder else WIDTH
        made.append(Bare(path, width=width, embeddings=name == "bert"))
        return made[-1]

    yield open_
    for bare in made:
        bare.close()


@pytest.mark.parametrize("name", FAMILIES)
def test_what_llama_cpp_says_of_each(name: str, opened: Callable[..., Bare]) -> None:
    family, bare = FAMILIES[name], opened(name)
    assert llama.llama_model_is_recurrent(bare.model) == family.recurrent
    assert llama.llama_model_is_hybrid(bare.model) == family.hybrid
    assert llama.llama_model_has_encoder(bare.model) == family.encoder
    assert llama.llama_model_has_decoder(bare.model)
    assert llama.llama_model_is_diffusion(bare.model) == family.diffusion
    assert llama.llama_model_n_swa(bare.model) == family.window
    assert bool(bare.memory) == family.memory


@pytest.mark.parametrize("name", [*CHATTING, "dream"])
def test_logits_are_numbers_that_depend_on_the_prompt(name: str, opened: Callable[..., Bare]) -> None:
    bare = opened(name)
    one, other = bare.prefill(0, prompt(200)), bare.prefill(1, prompt(200, seed=2))
    assert np.isfinite(one).all()
    assert not np.array_equal(one, other)


def test_an_encoder_decoder_decodes_what_it_encoded(opened: Callable[..., Bare]) -> None:
    bare = opened("t5")
    bare.run([(token, i, 0, True) for i, token in enumerate(prompt(40))], encode=True)
    start = llama.llama_model_decoder_start_token(bare.model)
    row = bare.run([(start, 0, 0, True)])[0]
    assert np.isfinite(row).all()
    assert row.any()


def test_an_encoder_embeds(opened: Callable[..., Bare]) -> None:
    bare = opened("bert")
    bare.run([(token, i, 0, True) for i, token in enumerate(prompt(40))], encode=True)
    found = llama.llama_get_embeddings_seq(bare.context, 0)
    values = np.ctypeslib.as_array(found, (families.N_EMBD,))
    assert np.isfinite(values).all()
    assert values.any()


@pytest.mark.parametrize("name", CHATTING)
def test_greedy_replies_wander(name: str, opened: Callable[..., Bare]) -> None:
    bare, tokens = opened(name), prompt(100)
    row, reply = bare.prefill(0, tokens), []
    for i in range(40):
        reply.append(int(row.argmax()))
        row = bare.step({0: (reply[-1], len(tokens) + i)})[0]
    assert len(set(reply)) > 10


def replay(bare: Bare, slot: int, tokens: Sequence[int], start: int = 0, steps: int = 4) -> list[Row]:
    """Logits of the prompt and of a fixed continuation."""
    rows = [bare.prefill(slot, tokens, start)]
    for i in range(steps):
        rows.append(bare.step({slot: (40 + i, len(tokens) + i)})[slot])
    return rows


def same(left: Sequence[Row], right: Sequence[Row]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("name", CHATTING)
def test_bits_hold_in_another_slot_after_reuse_and_in_company(name: str, opened: Callable[..., Bare]) -> None:
    bare, tokens = opened(name), prompt(150)
    alone = replay(bare, 0, tokens)
    assert bare.remove(0)
    assert same(alone, replay(bare, 0, tokens))
    assert bare.remove(0)
    assert same(alone, replay(bare, 3, tokens))
    assert bare.remove(3)
    long = prompt(600, seed=3)
    bare.prefill(0, long)
    rows = [bare.prefill(1, tokens)]
    for i in range(4):
        if i == 2:
            assert bare.remove(0)
        neighbour = {0: (60, len(long) + i)} if i < 2 else {}
        rows.append(bare.step({**neighbour, 1: (40 + i, len(tokens) + i)})[1])
    assert same(alone, rows)


@pytest.mark.parametrize("name", ["qwen3moe", "mamba", "jamba", "lfm2"])
def test_a_prefix_comes_back_bit_for_bit(name: str, opened: Callable[..., Bare]) -> None:
    bare, tokens = opened(name), prompt(200)
    whole = replay(bare, 0, tokens)
    assert bare.remove(0)
    bare.prefill(0, tokens[:GRID])
    blob = bare.blob(0)
    assert bare.remove(0)
    bare.restore(2, blob)
    assert same(whole, replay(bare, 2, tokens, start=GRID))


@pytest.mark.parametrize(
    ("window", "prefix", "holds"),
    [(128, 256, True), (64, 256, True), (100, 64, True), (100, 256, False), (32, 64, False)],
)
def test_a_window_off_the_grid_moves_the_cells_of_a_restored_prefix(
    window: int, prefix: int, holds: bool, opened: Callable[..., Bare]
) -> None:
    """A blob leaves out the cells that the window has passed and is restored from cell 0 on.

    That puts positions into other tiles of the attention unless whole tiles of 64 cells were left out.
    """
    bare, tokens = opened("gemma3", window=window), prompt(400)
    whole = replay(bare, 0, tokens)
    assert bare.remove(0)
    bare.prefill(0, tokens[:prefix])
    blob = bare.blob(0)
    assert bare.remove(0)
    bare.restore(1, blob)
    assert same(whole, replay(bare, 1, tokens, start=prefix)) == holds


@pytest.mark.parametrize("name", ["mamba", "jamba", "lfm2"])
def test_recurrent_memory_cannot_be_shortened(name: str, opened: Callable[..., Bare]) -> None:
    bare, tokens = opened(name), prompt(100)
    before = bare.prefill(0, tokens)
    assert not bare.remove(0, start=64)
    assert llama.llama_memory_seq_pos_max(bare.memory, 0) == 99
    assert bare.remove(0)
    assert np.array_equal(before, bare.prefill(0, tokens))
