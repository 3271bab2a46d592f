"""Choosing the next token from a row of logits, and what else it could have been."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pytest_llmcheck.engines.types import Alternative, Token
from pytest_llmcheck.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_llmcheck.engines.llama.vocabulary import Vocabulary
    from pytest_llmcheck.engines.types import Sampling

    Row = NDArray[np.float32]

COLUMNS = 192
"""How many groups a row is divided into to find its largest logits; see `largest`."""


def log_normaliser(row: Row, peak: float | None = None, scratch: Row | None = None) -> float:
    """log(sum(exp(row))): what a logit must be reduced by to become a log-probability, in nats.

    In single precision, as the logits are; numpy sums pairwise, so that the error stays at about 1e-7.

    Args:
        row: logits.
        peak: the largest of them, where it is known.
        scratch: of the same shape, to be overwritten: fresh memory costs as much as the sum.
    """
    if peak is None:
        peak = float(row.max())
    shifted = np.subtract(row, np.float32(peak), out=scratch)
    np.exp(shifted, out=shifted)
    return peak + math.log(float(shifted.sum()))


def largest(row: Row, count: int) -> NDArray[np.intp]:
    """Ids of the `count` largest logits, best first, the lower id first among equals.

    A partition of 50,000 floats for every token would cost more than 2 % of the decode. The count-th largest
    maximum of groups is a bound that all winners reach and few others do; group i holds every 192nd logit
    from i on, so that the maxima are those of columns, which numpy finds fastest.
    """
    count = min(count, row.size)
    if count <= 0:
        return np.empty(0, dtype=np.intp)
    if count == 1:
        return np.array([row.argmax()], dtype=np.intp)
    whole = row.size // COLUMNS * COLUMNS
    if count >= COLUMNS or whole == 0:
        candidates = np.arange(row.size)
    else:
        maxima = row[:whole].reshape(-1, COLUMNS).max(axis=0)
        candidates = np.flatnonzero(row >= np.partition(maxima, -count)[-count])
    order = np.lexsort((candidates, -row[candidates]))[:count]
    return candidates[order]


class Describer:
    """Makes log-probabilities of rows of logits, with memory of its own for the work.

    Args:
        vocabulary: for the texts of tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._shown = vocabulary.shown
        self._scratch = np.empty(vocabulary.size, dtype=np.float32)

    def describe(self, row: Row, chosen: int, count: int, best: int) -> Token:
        """A token at a position, with the most likely ones there.

        Args:
            row: logits of the position.
            chosen: the token.
            count: how many of the most likely ones.
            best: the most likely one.

        Raises:
            EngineError: the logits are not finite.
        """
        peak = float(row[best])
        # A NaN is the largest to numpy, so that it shows here too.
        normaliser = log_normaliser(row, peak, self._scratch) if math.isfinite(peak) else peak
        if not math.isfinite(normaliser):
            raise EngineError(
                "the model's logits are not finite: the weights are damaged or overflow on this device"
            )
        shown = self._shown
        ids = largest(row, count)
        top = tuple(
            Alternative(i, shown(i), logit - normaliser)
            for i, logit in zip(ids.tolist(), row[ids].tolist(), strict=True)
        )
        return Token(chosen, shown(chosen), float(row[chosen]) - normaliser, top)


def distribution(row: Row, sampling: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Candidate ids, best first, and their probabilities after top-k, top-p, min-p and temperature.

    The order and the definitions are those of llama.cpp's samplers (llama-sampler.cpp), each with
    min_keep 1: top-p keeps the smallest set of best tokens whose probability is at least p; min-p keeps
    tokens whose probability is at least p times the best one's.
    """
    ids = largest(row, sampling.top_k or row.size)
    logits = row[ids].astype(np.float64)
    if sampling.top_p < 1:
        cumulative = np.cumsum(_softmax(logits))
        keep = int(np.searchsorted(cumulative, sampling.top_p)) + 1
        ids, logits = ids[:keep], logits[:keep]
    if sampling.min_p > 0:
        keep = int(np.count_nonzero(logits >= logits[0] + np.log(sampling.min_p)))
        ids, logits = ids[: max(keep, 1)], logits[: max(keep, 1)]
    return ids, _softmax(logits / sampling.temperature)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


class Sampler:
    """Chooses the tokens of one request; the generator belongs to the request alone."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        # Philox is counter-based and specified: equal seeds give equal draws on every platform.
        self._random = np.random.Generator(np.random.Philox(sampling.seed))

    @property
    def greedy(self) -> bool:
        """Whether it always picks the largest logit."""
        return self._sampling.greedy

    def choose(self, row: Row, best: int | None = None) -> int:
        """The id of the next token; `best` is the largest logit's, where it is known."""
        if self._sampling.greedy:
            return int(row.argmax()) if best is None else best
        ids, probabilities = distribution(row, self._sampling)
        point = self._random.random()
        chosen = int(np.searchsorted(np.cumsum(probabilities), point, side="right"))
        return int(ids[min(chosen, ids.size - 1)])
