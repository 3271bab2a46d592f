"""The canonical path: a context whose logits do not depend on who else is being served.

llama.cpp alone does not give that: neighbours permute the cells over which attention sums, and its
kernels change with the number of rows. What keeps the bits, measured on SmolLM2 in eight quantisations:

- every slot is a KV stream of its own (``kv_unified=False``), filled from cell 0 and cleared before reuse;
- flash attention is on;
- a prompt is prefilled alone, in chunks of `GRID` tokens from position 0, and no chunk is a single row;
- a decode call holds the slots 0..k without a gap: llama.cpp splits a batch at a gap. Slots among them that
  are idle, or whose prompt is half done, get a dummy token that is removed afterwards;
- `RowRule` says how many rows a decode call has at least.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_llmcheck.engines.llama.bindings import CACHE_TYPES, ROPE_SCALINGS, llama
from pytest_llmcheck.engines.llama.width import repacks
from pytest_llmcheck.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pytest_llmcheck.engines.llama.settings import ContextSettings

    Row = NDArray[np.float32]
    Rows = NDArray[np.float32]
    Blob = NDArray[np.uint8]

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
        splits: llama.cpp splits the attention of a single long row by threads. With flash attention it does
            so for F16 caches only (`ggml_compute_forward_flash_attn_ext_f16` in ggml-cpu/ops.cpp).
    """

    width: int
    always_two: bool
    splits: bool = True

    @property
    def repack(self) -> bool:
        """Whether llama.cpp may repack weights: repacked kernels differ with the rows."""
        return repacks(self.width)

    def at_least(self, longest: int) -> int:
        """Rows for a step in which the longest sequence holds `longest` tokens."""
        if self.repack:
            return self.width
        two = self.always_two or (self.splits and longest >= LONG)
        return min(2 if two else 1, self.width)

    def __str__(self) -> str:
        if self.repack:
            return f"always {self.width}"
        if self.width == 1 or not (self.always_two or self.splits):
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


class Batch:
    """Rows of a llama.cpp batch over arrays of our own, so that filling it costs no call per row."""

    def __init__(self, rows: int) -> None:
        self.token, self.pos, self.n_seq_id, self.seq = (np.zeros(rows, dtype=np.int32) for _ in range(4))
        self.logits = np.zeros(rows, dtype=np.int8)
        self.n_seq_id[:] = 1
        pointer = ctypes.POINTER(ctypes.c_int32)
        first = self.seq.ctypes.data
        self._seq_ids = (pointer * rows)(*(ctypes.cast(first + 4 * row, pointer) for row in range(rows)))
        batch: Any = llama.llama_batch()
        batch.token = self.token.ctypes.data_as(pointer)
        batch.pos = self.pos.ctypes.data_as(pointer)
        batch.n_seq_id = self.n_seq_id.ctypes.data_as(pointer)
        batch.seq_id = ctypes.cast(self._seq_ids, ctypes.POINTER(pointer))
        batch.logits = self.logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        self.c = batch


class Context:
    """`width` slots over one model's weights. Not thread-safe; rows are valid until the next call.

    Args:
        model: llama.cpp's pointer.
        settings: what to make; its width is that of `rule`.
        n_vocab: size of the vocabulary.
        rule: how many rows a decode call has.
        wipe: whether to overwrite the memory of a slot that is cleared; a recurrent state is only scaled by
            zero otherwise, which leaves what is not finite.
        adapters: llama.cpp's pointers to loaded LoRA adapters, in the order of `settings.adapters`.
    """

    def __init__(
        self,
        model: Any,
        settings: ContextSettings,
        *,
        n_vocab: int,
        rule: RowRule,
        wipe: bool = False,
        adapters: Sequence[Any] = (),
    ) -> None:
        params = context_params(settings, rule)
        self.settings = settings
        self.rule = rule
        self.n_ctx = settings.n_ctx
        self._threads = settings.threads
        self._n_vocab = n_vocab
        self._lengths: dict[int, int] = {}
        self._seen: tuple[int, int] = (0, 0)
        self._rows: Rows = np.empty((0, n_vocab), dtype=np.float32)
        self._ctx = llama.llama_init_from_model(model, params)
        if not self._ctx:
            raise EngineError("llama.cpp cannot make a context for this model")
        self._wipe = wipe
        self._memory = llama.llama_get_memory(self._ctx)
        if not self._memory:
            self.close()
            raise EngineError(
                "llama.cpp keeps no memory of earlier tokens for this architecture: it is an encoder or a "
                "diffusion model; only autoregressive models can chat here"
            )
        if llama.llama_n_ctx_seq(self._ctx) < settings.n_ctx:
            held = llama.llama_n_ctx_seq(self._ctx)
            self.close()
            raise EngineError(
                f"llama.cpp made a context of {held} tokens where {settings.n_ctx} were asked for"
            )
        self._batch = Batch(params.n_batch)
        if adapters:
            self._apply(adapters)

    def _apply(self, adapters: Sequence[Any]) -> None:
        count = len(adapters)
        scales = (ctypes.c_float * count)(*(adapter.scale for adapter in self.settings.adapters))
        pointers = (type(adapters[0]) * count)(*adapters)
        if llama.llama_set_adapters_lora(self._ctx, pointers, count, scales) != 0:
            self.close()
            raise EngineError("llama.cpp cannot apply the LoRA adapters to this model")

    def close(self) -> None:
        """Free the context; the weights stay."""
        if self._ctx:
            llama.llama_free(self._ctx)
            self._ctx = None

    @property
    def width(self) -> int:
        """How many slots there are."""
        return self.rule.width

    def length(self, slot: int) -> int:
        """Tokens that the slot holds."""
        return self._lengths[slot]

    def threads(self, count: int) -> None:
        """Use this many threads from now on."""
        if count != self._threads:
            llama.llama_set_n_threads(self._ctx, count, count)
            self._threads = count

    def chunk(self, slot: int, tokens: Sequence[int], start: int, end: int, wanted: int) -> Rows:
        """Prefill a part of a prompt: ``tokens[start:end]``, one of its `chunks`.

        Args:
            slot: empty if `start` is 0, else it holds exactly the tokens before `start`.
            tokens: the whole prompt.
            start: first position of the chunk.
            end: position after its last.
            wanted: the first position whose logits are wanted; those of all later ones come too.

        Returns:
            Logits of the wanted positions in the chunk, one row each.
        """
        if start == 0:
            self.clear(slot)
        elif self._lengths.get(slot) != start:
            raise EngineError(f"slot {slot} holds {self._lengths.get(slot)} tokens, not {start}")
        rows, batch = end - start, self._batch
        batch.token[:rows] = tokens[start:end]
        batch.pos[:rows] = np.arange(start, end, dtype=np.int32)
        batch.seq[:rows] = slot
        first = min(max(wanted - start, 0), rows)
        batch.logits[:first] = 0
        batch.logits[first:rows] = 1
        self._decode(rows)
        self._lengths[slot] = end
        return self._logits(rows - first)

    def step(self, tokens: Mapping[int, int]) -> Rows:
        """One decode call: the next token of each of these slots; row i has the logits of slot i."""
        lengths, batch = self._lengths, self._batch
        longest = max(lengths[slot] for slot in tokens)
        rows = max(max(tokens) + 1, self.rule.at_least(longest))
        for slot in range(rows):
            batch.token[slot] = tokens.get(slot, 0)
            batch.pos[slot] = lengths.get(slot, 0)
            batch.seq[slot] = slot
            batch.logits[slot] = 1
        self._decode(rows)
        for slot in range(rows):
            if slot in tokens:
                lengths[slot] += 1
            else:
                self._remove(slot, lengths.get(slot, 0))
        return self._logits(rows)

    def state_size(self, slot: int) -> int:
        """Bytes that `save` would take."""
        return int(llama.llama_state_seq_get_size(self._ctx, slot))

    def save(self, slot: int) -> Blob:
        """The state of a slot, for `restore`."""
        size = llama.llama_state_seq_get_size(self._ctx, slot)
        blob = np.empty(size, dtype=np.uint8)
        pointer = blob.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if llama.llama_state_seq_get_data(self._ctx, pointer, size, slot) != size:
            raise EngineError(f"llama.cpp cannot save the state of slot {slot}")
        return blob

    def restore(self, slot: int, blob: Blob, length: int) -> None:
        """Fill a slot with a saved state of `length` tokens."""
        self.clear(slot)
        pointer = blob.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if llama.llama_state_seq_set_data(self._ctx, pointer, blob.size, slot) != blob.size:
            self._remove(slot)
            raise EngineError(f"llama.cpp cannot restore the state of slot {slot}")
        self._lengths[slot] = length

    def clear(self, slot: int) -> None:
        """Empty the slot for another request."""
        if self._wipe:
            llama.llama_memory_clear(self._memory, True)
        else:
            self._remove(slot)
        self._lengths.pop(slot, None)

    def _remove(self, slot: int, start: int = 0) -> None:
        if not llama.llama_memory_seq_rm(self._memory, slot, start or -1, -1):
            raise EngineError(f"llama.cpp cannot clear slot {slot}")

    def _decode(self, rows: int) -> None:
        self._batch.c.n_tokens = rows
        code = llama.llama_decode(self._ctx, self._batch.c)
        if code != 0:
            raise EngineError(f"llama.cpp failed to decode {rows} tokens (code {code})")

    def _logits(self, count: int) -> Rows:
        """The rows that the last call has left, without a copy."""
        if count == 0:
            return self._rows[:0]
        pointer = llama.llama_get_logits(self._ctx)
        address = ctypes.cast(pointer, ctypes.c_void_p).value or 0
        if not address:
            raise EngineError("llama.cpp gives no logits for rows that asked for them")
        # Wrapping a pointer costs more than the whole rest of this; it moves only when the buffer grows.
        if self._seen != (address, count):
            self._rows = np.ctypeslib.as_array(pointer, (count, self._n_vocab))
            self._seen = (address, count)
        return self._rows


def context_params(settings: ContextSettings, rule: RowRule) -> Any:
    """llama.cpp's parameters of a context on the canonical path."""
    params = llama.llama_context_default_params()
    params.n_ctx = settings.n_ctx * rule.width
    params.n_seq_max = rule.width
    params.n_batch = params.n_ubatch = params.n_outputs_max = max(GRID + 1, rule.width)
    params.n_threads = params.n_threads_batch = settings.threads
    params.flash_attn_type = int(settings.flash_attention)
    params.kv_unified = False
    params.swa_full = True
    params.type_k, params.type_v = (CACHE_TYPES[name] for name in settings.kv)
    params.no_perf = True
    rope = settings.rope
    if rope is not None:
        if rope.scaling is not None:
            params.rope_scaling_type = ROPE_SCALINGS[rope.scaling]
        if rope.factor is not None:
            params.rope_freq_scale = 1.0 / rope.factor
        if rope.freq_base is not None:
            params.rope_freq_base = rope.freq_base
        if rope.original_context is not None:
            params.yarn_orig_ctx = rope.original_context
    return params
