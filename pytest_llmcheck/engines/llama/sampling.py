"""Choosing the next token from a row of logits, and what else it could have been."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_llmcheck.engines.types import Sampling

    Row = NDArray[np.float32]

BLOCK = 256


def log_normaliser(row: Row) -> float:
    """log(sum(exp(row))): what a logit must be reduced by to become a log-probability, in nats.

    The exponentials are single precision, as the logits are; the sum is double.
    """
    peak = row.max()
    return float(peak) + float(np.log(np.exp(row - peak).sum(dtype=np.float64)))


def largest(row: Row, count: int) -> NDArray[np.intp]:
    """Ids of the `count` largest logits, best first, the lower id first among equals.

    A partition of 50,000 floats for every token would cost more than 2 % of the decode; looking only into
    the blocks with the largest maxima gives the same answer for a tenth of that.
    """
    count = min(count, row.size)
    if count <= 0:
        return np.empty(0, dtype=np.intp)
    whole = row.size // BLOCK * BLOCK
    if whole // BLOCK <= count:
        candidates = np.arange(row.size)
    else:
        maxima = row[:whole].reshape(-1, BLOCK).max(axis=1)
        # Every block that holds one of the winners has a maximum of at least the count-th largest maximum.
        bound = np.partition(maxima, -count)[-count]
        blocks = np.flatnonzero(maxima >= bound)
        inside = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        candidates = np.concatenate([inside, np.arange(whole, row.size)])
    order = np.lexsort((candidates, -row[candidates]))[:count]
    return candidates[order]


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

    def choose(self, row: Row) -> int:
        """The id of the next token."""
        if self._sampling.greedy:
            return int(row.argmax())
        ids, probabilities = distribution(row, self._sampling)
        point = self._random.random()
        chosen = int(np.searchsorted(np.cumsum(probabilities), point, side="right"))
        return int(ids[min(chosen, ids.size - 1)])
