"""The canonical path: a context whose logits do not depend on who else is being served.

llama.cpp alone does not give that: neighbours permute the cells over which attention sums, and its
kernels change with the number of rows. What keeps the bits, measured on SmolLM2 in eight quantisations:

- every slot is a KV stream of its own (``kv_unified=False``), filled from cell 0 and cleared before reuse;
- flash attention is on;
- a prompt is prefilled alone, in chunks of `GRID` tokens from position 0, and no chunk is a single row;
- a decode call holds the slots 0..k without a gap: llama.cpp splits a batch at a gap. Idle slots among
  them get a dummy token that is removed afterwards;
- `RowRule` says how many rows a decode call has at least.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_llmcheck.engines.llama.bindings import FLASH_ATTENTION_ON, GGML_TYPE_F16, llama
from pytest_llmcheck.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Row = NDArray[np.float32]

GRID = 64
"""Tokens of one prefill chunk. Part of the numerics: recorded baselines depend on it.

On SmolLM2 64 costs 14 % of the prefill speed of 512; a stored prefix can be reused up to every 64th
token.
"""

LONG = 256
"""From this length on llama.cpp splits the attention of a single row by threads."""


@dataclass(frozen=True, slots=True)
class RowRule:
    """How many rows a decode call has at least, so that the kernels do not change with the company.

    Attributes:
        width: KV streams of the context.
        always_two: the file holds F32, F16 or BF16 matrices, for which one row takes another kernel than two.
    """

    width: int
    always_two: bool

    @property
    def repack(self) -> bool:
        """Whether llama.cpp may repack weights: repacked kernels differ with the rows."""
        return self.width > 4

    def at_least(self, longest: int) -> int:
        """Rows for a step in which the longest sequence holds `longest` tokens."""
        if self.width > 4:
            return self.width
        two = self.always_two or longest >= LONG
        return min(2 if two else 1, self.width)

    def __str__(self) -> str:
        if self.width > 4:
            return f"always {self.width}"
        if self.width == 1:
            return "1"
        return "2" if self.always_two else f"1, 2 from {LONG}"


def chunks(length: int, grid: int = GRID) -> Iterator[tuple[int, int]]:
    """The half-open ranges in which a prompt of `length` tokens is prefilled.

    A remainder of one token joins the chunk before it: a single row takes another kernel.
    """
    edges = [*range(0, length, grid), length]
    if len(edges) > 2 and edges[-1] - edges[-2] == 1:
        del edges[-2]
    return itertools.pairwise(edges)


class Context:
    """`width` slots over one model's weights. Not thread-safe; rows are valid until the next call."""

    def __init__(self, model: Any, *, n_ctx: int, n_vocab: int, threads: int, rule: RowRule) -> None:
        params = llama.llama_context_default_params()
        params.n_ctx = n_ctx * rule.width
        params.n_seq_max = rule.width
        params.n_batch = params.n_ubatch = params.n_outputs_max = max(GRID + 1, rule.width)
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = FLASH_ATTENTION_ON
        params.kv_unified = False
        params.swa_full = True
        params.type_k = params.type_v = GGML_TYPE_F16
        params.no_perf = True
        self.rule = rule
        self.n_ctx = n_ctx
        self._n_vocab = n_vocab
        self._lengths: dict[int, int] = {}
        self._batch: Any = None
        self._ctx = llama.llama_init_from_model(model, params)
        if not self._ctx:
            raise EngineError("llama.cpp cannot make a context for this model")
        self._memory = llama.llama_get_memory(self._ctx)
        if llama.llama_n_ctx_seq(self._ctx) < n_ctx:
            held = llama.llama_n_ctx_seq(self._ctx)
            raise EngineError(f"llama.cpp made a context of {held} tokens where {n_ctx} were asked for")
        self._batch = llama.llama_batch_init(params.n_batch, 0, 1)

    def close(self) -> None:
        """Free the context; the weights stay."""
        if self._batch is not None:
            llama.llama_batch_free(self._batch)
            self._batch = None
        if self._ctx:
            llama.llama_free(self._ctx)
            self._ctx = None

    def length(self, slot: int) -> int:
        """Tokens that the slot holds."""
        return self._lengths[slot]

    def prefill(self, slot: int, tokens: Sequence[int], go_on: Callable[[], None]) -> Row:
        """Fill an empty slot with a prompt; the logits after its last token.

        Args:
            slot: 0 to width - 1.
            tokens: at least one, at most n_ctx.
            go_on: called before every chunk; raises to give up.
        """
        self.clear(slot)
        self._lengths[slot] = 0
        rows: dict[int, Row] = {}
        for start, end in chunks(len(tokens)):
            go_on()
            rows = self._decode([(tokens[i], i, slot, i == len(tokens) - 1) for i in range(start, end)])
        self._lengths[slot] = len(tokens)
        return rows[slot]

    def step(self, tokens: Mapping[int, int]) -> dict[int, Row]:
        """One decode call: the next token of each of these slots; the logits after them, by slot."""
        longest = max(self._lengths[slot] for slot in tokens)
        high = max(max(tokens) + 1, self.rule.at_least(longest))
        # A slot that holds a sequence without taking part would be a gap, or lose its cells as a dummy.
        idle = [slot for slot in range(high) if slot not in tokens]
        if held := [slot for slot in idle if slot in self._lengths]:
            raise EngineError(f"slots {held} hold a sequence but are left out of a step")
        batch = [
            (tokens[slot], self._lengths[slot], slot, True) if slot in tokens else (0, 0, slot, True)
            for slot in range(high)
        ]
        rows = self._decode(batch)
        for slot in idle:
            self._remove(slot)
        for slot in tokens:
            self._lengths[slot] += 1
        return {slot: rows[slot] for slot in tokens}

    def clear(self, slot: int) -> None:
        """Empty the slot for another request."""
        self._remove(slot)
        self._lengths.pop(slot, None)

    def _remove(self, slot: int) -> None:
        if not llama.llama_memory_seq_rm(self._memory, slot, -1, -1):
            raise EngineError(f"llama.cpp cannot clear slot {slot}")

    def _decode(self, batch: list[tuple[int, int, int, bool]]) -> dict[int, Row]:
        """Rows of (token, position, slot, wants logits) -> logits of those that want them, by slot."""
        target = self._batch
        target.n_tokens = len(batch)
        for i, (token, position, slot, wanted) in enumerate(batch):
            target.token[i] = token
            target.pos[i] = position
            target.n_seq_id[i] = 1
            target.seq_id[i][0] = slot
            target.logits[i] = wanted
        code = llama.llama_decode(self._ctx, target)
        if code != 0:
            raise EngineError(f"llama.cpp failed to decode {len(batch)} tokens (code {code})")
        rows: dict[int, Row] = {}
        for i, (_, _, slot, wanted) in enumerate(batch):
            if wanted:
                pointer = llama.llama_get_logits_ith(self._ctx, i)
                if not pointer:
                    raise EngineError("llama.cpp gives no logits for a row that asked for them")
                rows[slot] = np.ctypeslib.as_array(pointer, (self._n_vocab,))
        return rows
