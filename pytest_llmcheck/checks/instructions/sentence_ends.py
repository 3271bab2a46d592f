"""Where sentences begin: by Punkt (Kiss and Strunk 2006), as the nupunkt package has it.

IFEval's official code uses NLTK's Punkt, whose parameters NLTK downloads. nupunkt brings its own, for
English; it is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def sentence_starts(text: str) -> Sequence[int]:
    """Where each sentence of a text begins, in characters."""
    from nupunkt import sent_spans

    spans = ((start, text[start:end]) for start, end in sent_spans(text))
    # Its spans leave no gap: they hold the space between sentences too.
    return [start + len(said) - len(said.lstrip()) for start, said in spans if said.strip()]
