"""Does the law of company hold here? Tried once for each file, build, device and settings, and remembered.

A sequence of each length is decoded alone, and then in other company: in another slot, beside longer
neighbours that come and go, with another number of threads. On the canonical path every logit stays as it
was. Where one does not, the largest difference of a log-probability is the noise that comparisons must
allow for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from pytest_llmcheck.engines.llama.canonical import chunks
from pytest_llmcheck.engines.llama.machine import library_hash, machine_identity
from pytest_llmcheck.engines.logits import log_softmax
from pytest_llmcheck.models.store import cache_dir, make_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_llmcheck.engines.llama.canonical import Blob, Context, Row
    from pytest_llmcheck.engines.llama.settings import Settings
    from pytest_llmcheck.engines.llama.weights import Model

VERSION = 2
LENGTHS = (40, 150, 600)
"""Below and above the lengths at which llama.cpp changes its kernels: 256 and 512 cells."""

STEPS = 4
CONSIDERED = 32
"""Tokens whose log-probabilities are compared: the most likely ones, which decide what is said."""


def noise_of(context: Context, model: Model, settings: Settings, working: Callable[[], None]) -> float:
    """The largest difference that company makes to a log-probability, in nats; 0.0 where it makes none.

    Args:
        context: empty; it is left empty.
        model: whose vocabulary gives the tokens.
        settings: part of the key under which the result is remembered.
        working: called before each call of llama.cpp.
    """
    path = cache_dir() / "probes" / f"{_key(settings)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads(path.read_bytes())["noise"])
    noise = _Probe(context, model.vocabulary.size, working, reusable=model.reusable).run()
    with contextlib.suppress(Exception):
        make_folder(path.parent)
        write_whole(path, json.dumps({"noise": noise, "file": settings.host.path}).encode())
    return noise


def _key(settings: Settings) -> str:
    host, context = settings.host, settings.context
    parts = (
        VERSION,
        settings.weights,
        library_hash(),
        machine_identity(),
        (host.device, host.repack, host.gpu_layers, host.main_gpu, host.split_mode, host.tensor_split),
        (min(context.n_ctx, 1024), context.width, context.threads, context.kv, context.flash_attention),
        repr(context.rope),
        [(adapter.sha256, adapter.scale) for adapter in context.adapters],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class _Probe:
    def __init__(
        self, context: Context, n_vocab: int, working: Callable[[], None], *, reusable: float
    ) -> None:
        self.context = context
        self.n_vocab = n_vocab
        self.working = working
        self.reusable = reusable
        self.states: dict[tuple[int, ...], tuple[int, Blob]] = {}

    def run(self) -> float:
        lengths = [length for length in LENGTHS if length + 2 * STEPS < self.context.n_ctx]
        return max((self._try(length) for length in lengths or [self.context.n_ctx // 2]), default=0.0)

    def _try(self, length: int) -> float:
        context, threads = self.context, self.context.settings.threads
        prompt = self._tokens(length, seed=length)
        alone = list(self._decode(0, prompt))
        variants = [self._decode(0, prompt, forced=alone)]
        if context.width > 1:
            top = context.width - 1
            variants.append(self._decode(top, prompt, forced=alone, neighbours=range(top)))
            variants.append(self._decode(1, prompt, forced=alone, neighbours=(0,), leaves=True))
        worst = 0.0
        for variant in variants:
            worst = max(worst, _difference(alone, variant))
        if threads > 1 and context.width > 1:
            context.threads(1)
            worst = max(worst, _difference(alone, self._decode(0, prompt, forced=alone)))
            context.threads(threads)
        return worst

    def _decode(
        self,
        slot: int,
        prompt: Sequence[int],
        *,
        forced: Sequence[Row] | None = None,
        neighbours: Sequence[int] = (),
        leaves: bool = False,
    ) -> Iterator[Row]:
        """Rows after the prompt and after each of the next tokens, those of `forced` where they are given."""
        context = self.context
        for neighbour in neighbours:
            # One that is longer than what is tried, the others short.
            length = min(280, context.n_ctx // 2) if neighbour == 0 else 20
            self._prefill(neighbour, self._tokens(length, seed=neighbour))
        row = self._prefill(slot, prompt)
        yield row
        for step in range(STEPS):
            if leaves and step == STEPS // 2:
                for neighbour in neighbours:
                    context.clear(neighbour)
                neighbours = ()
            token = int((row if forced is None else forced[step]).argmax())
            self.working()
            tokens = {slot: token, **dict.fromkeys(neighbours, token)}
            row = context.step(tokens)[slot].copy()
            yield row
        for used in {slot, *neighbours}:
            context.clear(used)

    def _prefill(self, slot: int, tokens: Sequence[int]) -> Row:
        """Prefill all, or the last chunk alone where the state before it is known."""
        context, key = self.context, tuple(tokens)
        *before, (last, end) = chunks(len(tokens))
        self.working()
        if key in self.states:
            edge, blob = self.states[key]
            context.restore(slot, blob, edge)
        else:
            for start, stop in before:
                self.working()
                context.chunk(slot, tokens, start, stop, len(tokens))
            if before and last <= self.reusable:
                self.states[key] = (last, context.save(slot))
        row: Row = context.chunk(slot, tokens, last, end, len(tokens) - 1)[-1].copy()
        return row

    def _tokens(self, count: int, seed: int) -> list[int]:
        random = np.random.default_rng(seed)
        return [int(token) for token in random.integers(0, self.n_vocab, count)]


def _difference(alone: Sequence[Row], other: Iterator[Row]) -> float:
    """The largest difference between log-probabilities of likely tokens; 0.0 for equal bits."""
    worst = 0.0
    for expected, row in zip(alone, other, strict=True):
        if np.array_equal(expected, row):
            continue
        likely = np.argpartition(expected, -CONSIDERED)[-CONSIDERED:]
        moved = np.abs(log_softmax(expected)[likely] - log_softmax(row)[likely]).max()
        # Unequal bits are never called equal, however little they weigh.
        worst = max(worst, float(moved), 1e-9)
    return worst
