"""Prefixes that prompts share: computed once, kept as state blobs, restored bit for bit.

A prefix ends at an edge of the prefill grid, so that what follows it is computed in the same chunks as if
nothing had been restored. The state after a whole prompt is kept with its logits when the same prompt comes
again (the n samples of one prompt).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_llmcheck.engines.llama.canonical import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.llama.canonical import Blob, Row

LIMIT = 256 << 20
"""Bytes of state blobs that a host keeps, at most."""

REMEMBERED = 1 << 15
"""How many prefixes are counted, with or without a blob: a few MB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The state of a sequence.

    Attributes:
        length: tokens that it holds.
        blob: as llama.cpp saved it.
        row: the logits after the last token, where the whole prompt is kept.
    """

    length: int
    blob: Blob
    row: Row | None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.blob.nbytes + (0 if self.row is None else self.row.nbytes)


@dataclass(frozen=True, slots=True)
class Edges:
    """A prompt's prefixes that can be shared: lengths, ascending, with their hashes.

    The last is the whole prompt.
    """

    lengths: tuple[int, ...]
    keys: tuple[bytes, ...]


def edges_of(tokens: Sequence[int]) -> Edges:
    """The prefixes of a prompt that end where one of its prefill chunks does."""
    raw = np.asarray(tokens, dtype=np.int32)
    running = hashlib.blake2b(digest_size=16)
    lengths, keys = [], []
    for start, end in chunks(len(tokens)):
        running.update(raw[start:end].tobytes())
        lengths.append(end)
        keys.append(running.digest())
    # A whole prompt is no prefix of another one: its last chunk is not one of the grid's.
    keys[-1] = hashlib.blake2b(keys[-1] + b"whole", digest_size=16).digest()
    return Edges(tuple(lengths), tuple(keys))


class PrefixStore:
    """Counts which prefixes come again, and keeps their states up to a bound; the least recently used go."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._kept: OrderedDict[bytes, Entry] = OrderedDict()
        self.size = 0

    @property
    def largest(self) -> int:
        """Bytes that a single state may have: half of all, so that more than one is kept."""
        return self._limit // 2

    def expect(self, edges: Edges) -> None:
        """A prompt with these prefixes is waiting."""
        for key in edges.keys:
            self._counts[key] = self._counts.pop(key, 0) + 1
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def longest(self, edges: Edges, limit: int) -> Entry | None:
        """The longest state of at most `limit` tokens that is kept of a prompt."""
        for length, key in zip(reversed(edges.lengths), reversed(edges.keys), strict=True):
            if length <= limit and (entry := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return entry
        return None

    def worth_keeping(self, edges: Edges, limit: int) -> dict[int, bytes]:
        """Lengths of at most `limit` at which to save this prompt's state, with the keys to keep it under.

        That is where it parts from others that share what is before: with 64 prompts behind one system
        prompt, the last edge inside the system prompt and none of those before.
        """
        found: dict[int, bytes] = {}
        deeper = 1
        for length, key in zip(reversed(edges.lengths), reversed(edges.keys), strict=True):
            count = self._counts.get(key, 0)
            if length <= limit and count > deeper:
                deeper = count
                if key not in self._kept:
                    found[length] = key
        return found

    def keep(self, key: bytes, entry: Entry) -> None:
        """Keep a state under a key of `worth_keeping`, unless it alone would take half the room."""
        if entry.size > self.largest or key in self._kept:
            return
        self._kept[key] = entry
        self.size += entry.size
        while self.size > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.size

    def clear(self) -> None:
        """Forget all states; the counts stay."""
        self._kept.clear()
        self.size = 0
