"""Numbers in, numbers out: usable from a notebook, with neither pytest nor llama.cpp.

Imported with numpy on first use. Divergence of texts, flips and intervals are to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmcheck.engines.logits import kl_divergence, log_softmax

__all__ = ["kl_divergence", "log_softmax"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_llmcheck.engines import logits

    return getattr(logits, name)
