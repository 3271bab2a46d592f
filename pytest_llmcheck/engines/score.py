"""What a model thinks of a given continuation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmcheck.engines.types import Fingerprint, Prompt, Timings, Token


@dataclass(frozen=True, slots=True, repr=False)
class Score:
    """Log-probabilities of a continuation that was given, not generated (teacher forcing).

    Scores are to be compared with scores: the same model gives slightly other numbers while it generates.

    Attributes:
        tokens: those of the continuation, each with `logprob` in nats and the `top` alternatives.
        prompt: text and token ids that came before.
        timings: seconds; `decode` is 0.
        fingerprint: what made it; `max_tokens` is 0.
        divergence: with ``against=``, for each token the KL divergence of this model from the other, in nats,
            over the whole vocabulary.
        same_top: with ``against=``, for each token whether both models find the same one most likely.
        cached: whether it came from the reply cache.
    """

    tokens: tuple[Token, ...]
    prompt: Prompt
    timings: Timings
    fingerprint: Fingerprint
    divergence: tuple[float, ...] = ()
    same_top: tuple[bool, ...] = ()
    cached: bool = field(default=False, compare=False)

    @property
    def text(self) -> str:
        """The continuation's pieces, control tokens included."""
        return "".join(token.text for token in self.tokens)

    @property
    def logprob(self) -> float:
        """Natural logarithm of the probability of the whole continuation."""
        return math.fsum(token.logprob for token in self.tokens)

    @property
    def perplexity(self) -> float:
        """Exp of the mean negative log-probability of a token."""
        return math.exp(-self.logprob / len(self.tokens))

    @property
    def mean_divergence(self) -> float:
        """Mean of `divergence`, in nats.

        Raises:
            ValueError: it was not scored against another model.
        """
        if not self.divergence:
            raise ValueError("no divergence: score with against=llms[...]")
        return math.fsum(self.divergence) / len(self.divergence)

    def __repr__(self) -> str:
        made = self.fingerprint.model
        return f"<score of {made}: {len(self.tokens)} tokens, log-probability {self.logprob:.4f}>"
