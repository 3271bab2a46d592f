"""How much a reply is like a text, in letters.

chrF is the F-score of character n-grams (M. Popović, "chrF: character n-gram F-score for automatic MT
evaluation", WMT 2015), here as chrF2: n from 1 to 6, recall weighs twice as much as precision, white space
does not count (M. Popović, "chrF deconstructed", WMT 2016). An order that one of the texts is too short for
is left out, as `sacrebleu` does. The tests hold the figures to that library; it is none of ours, since it
would bring 14 MB (lxml and more) for what is 20 lines.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.reply import shorten
from pytest_llmcheck.errors import CheckError
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.verdict import Check, Judged

_LONGEST = 6
_BETA = 2
_ROUNDING = 1e-3
"""By so much a cosine may exceed 1; half precision has three digits."""


def chrf(hypothesis: str, reference: str) -> tuple[float, float, float]:
    """chrF2 of two texts, with its precision and recall, each from 0 to 1.

    Args:
        hypothesis: what came.
        reference: what it is held against.

    Returns:
        Score, precision (share of the n-grams of the hypothesis that the reference has) and recall (share of
        those of the reference that the hypothesis has), both as means over the orders.
    """
    came, wanted = "".join(hypothesis.split()), "".join(reference.split())
    precisions, recalls = [], []
    for order in range(1, min(_LONGEST, len(came), len(wanted)) + 1):
        ours, theirs = _ngrams(came, order), _kept_ngrams(wanted, order)
        both = sum(min(count, theirs[ngram]) for ngram, count in ours.items() if ngram in theirs)
        precisions.append(both / (len(came) - order + 1))
        recalls.append(both / (len(wanted) - order + 1))
    if not precisions:
        return 0.0, 0.0, 0.0
    precision, recall = math.fsum(precisions) / len(precisions), math.fsum(recalls) / len(recalls)
    if not precision:
        return 0.0, 0.0, 0.0
    weight = _BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall), precision, recall


@dataclass(frozen=True, slots=True)
class SimilarTo:
    """See `similar_to`."""

    text: str
    at_least: float
    by: Callable[[str, str], float] | None = None

    @property
    def name(self) -> str:
        """The function's name."""
        return "similar_to"

    def __repr__(self) -> str:
        by = "" if self.by is None else f", by={_called(self.by)}"
        return f"similar_to({shorten(self.text, 80)}, at_least={self.at_least:g}{by})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by the measure.

        Raises:
            CheckError: the user's measure gave no number up to 1; what it raises itself goes on.
        """
        if self.by is None:
            value, precision, recall = chrf(reply.text, self.text)
            measured, score = f"chrF2 {value:.3f} (precision {precision:.3f}, recall {recall:.3f})", value
            evidence = {"chrF2": value, "precision": precision, "recall": recall}
        else:
            value = _measured(self.by, reply.text, self.text)
            measured, score = f"{_called(self.by)} {value:.3f}", max(0.0, value)
            evidence = {_called(self.by): value}
        if value >= self.at_least:
            return Verdict(Status.PASSED, repr(self), measured, score, evidence)
        reason = f"expected at least {self.at_least:g}, got {measured}\nexpected: {shorten(self.text, 160)}"
        return Verdict(Status.FAILED, repr(self), reason, score, evidence)


def similar_to(text: str, *, at_least: float, by: Callable[[str, str], float] | None = None) -> Check:
    """The reply is as similar to a text as this.

    Without `by`, it is chrF2: overlap of character n-grams, 0 to 1. It knows nothing of meaning: a "not" more
    or less, or another number, hardly changes it; hold those with `contains` and `mentions_numbers`.

    Args:
        text: a good reply.
        at_least: the lowest score that passes; above 0, up to 1.
        by: another measure, of the reply and the text, such as the cosine of two embeddings: 1 for the same,
            0 and below for nothing in common. Where it gives anything else, such as a percentage, judging
            raises `CheckError`, which fails the test whatever the check is part of, ``not_`` included.

    Raises:
        TypeError: the text is no string, or `by` no function.
        ValueError: the text has no letters, or `at_least` is not in its range.
    """
    __tracebackhide__ = True
    if not isinstance(text, str):
        raise TypeError(f"similar_to takes a text, got {type(text).__name__}: {text!r}")
    if not text.strip():
        raise ValueError("similar_to needs a text that is not empty")
    if by is not None and not callable(by):
        raise TypeError(f"by is a function of two texts, got {by!r}")
    if not _is_number(at_least) or not 0 < at_least <= 1:
        raise ValueError(f"at_least is a number (above 0, up to 1), got {at_least!r}")
    return SimilarTo(text, at_least, by)


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter([text[start : start + order] for start in range(len(text) - order + 1)])


# Many replies are held against one text.
_kept_ngrams = lru_cache(maxsize=60)(_ngrams)


def _measured(by: Callable[[str, str], float], came: str, wanted: str) -> float:
    __tracebackhide__ = True
    value: object = by(came, wanted)
    try:
        number = math.nan if isinstance(value, str) else float(value)  # type: ignore[arg-type]  # as numpy's are
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= 1 + _ROUNDING:
        scale = "; divide by 100" if 1 < number <= 100 else ""
        raise CheckError(f"similar_to: {_called(by)} gave {value!r:.80}; it is to give 0 to 1{scale}")
    return min(1.0, number)


def _called(by: Callable[[str, str], float]) -> str:
    return getattr(by, "__name__", type(by).__name__)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
