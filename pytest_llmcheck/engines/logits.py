"""Numbers from rows of logits, the same for every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Logarithms of the probabilities that logits stand for, along the last axis, in double precision."""
    row = np.asarray(logits, dtype=np.float64)
    shifted = row - row.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def kl_divergence(reference: ArrayLike, candidate: ArrayLike) -> Any:
    """Kullback-Leibler divergence of a candidate's distribution from the reference's, in nats.

    sum over tokens of p * (log p - log q), p being the reference's probabilities (Kullback and Leibler,
    1951); what ``llama-perplexity --kl-divergence`` prints as KLD.

    Args:
        reference: logits or log-probabilities over the whole vocabulary, last axis; any scale or shift of the
            normaliser drops out.
        candidate: of the same shape.

    Returns:
        A float for single rows, an array for several. At least 0 up to rounding.
    """
    p, q = log_softmax(reference), log_softmax(candidate)
    if p.shape != q.shape:
        raise ValueError(f"distributions over different vocabularies: shapes {p.shape} and {q.shape}")
    divergence = (np.exp(p) * (p - q)).sum(axis=-1)
    return float(divergence) if divergence.ndim == 0 else divergence
