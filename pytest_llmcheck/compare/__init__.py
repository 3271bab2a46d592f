"""Numbers in, numbers out: usable from a notebook, with neither pytest nor llama.cpp.

numpy and scipy are imported by what needs them, on first use. Divergence of texts is to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmcheck.lazy import lazily

if TYPE_CHECKING:
    from pytest_llmcheck.compare.dependent import clustered, clustered_difference, paired_difference
    from pytest_llmcheck.compare.paired import Flips, flips, mcnemar
    from pytest_llmcheck.compare.rates import Interval, clopper_pearson, newcombe, samples_needed, wilson
    from pytest_llmcheck.engines.logits import kl_divergence, log_softmax

__all__ = [
    "Flips",
    "Interval",
    "clopper_pearson",
    "clustered",
    "clustered_difference",
    "flips",
    "kl_divergence",
    "log_softmax",
    "mcnemar",
    "newcombe",
    "paired_difference",
    "samples_needed",
    "wilson",
]

_get, __dir__ = lazily(
    globals(),
    {
        "dependent": ("clustered", "clustered_difference", "paired_difference"),
        "paired": ("Flips", "flips", "mcnemar"),
        "rates": ("Interval", "clopper_pearson", "newcombe", "samples_needed", "wilson"),
    },
)


def __getattr__(name: str) -> Any:
    if name in ("kl_divergence", "log_softmax"):
        from pytest_llmcheck.engines import logits

        return getattr(logits, name)
    return _get(name)
