"""Tokenising a prompt in which some control tokens are no more than letters."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pytest_llmcheck.prompts.forged import Spans


# What isspace of C knows.
_SPACE = re.compile(r"[ \t\n\v\f\r]*")


class Tokenise(Protocol):
    """Token ids of a text; control tokens in it are parsed as such only if `special`."""

    def __call__(self, text: str, *, special: bool) -> list[int]:
        """Nothing is added at either end."""


def tokenise_mixed(
    tokenise: Tokenise,
    text: str,
    plain: Spans,
    control: re.Pattern[str],
    *,
    stripping: Container[str] = (),
    stubborn: Container[str] = (),
) -> list[int]:
    """Token ids of a text in which control tokens count, except in some places.

    llama.cpp cuts a text at its control tokens and tokenises what lies between, each piece by itself. So
    the text is cut at the control tokens that count, and a piece that holds one which does not is tokenised
    without looking for any: the bytes around it merge as they would around other letters.

    Args:
        tokenise: of the model.
        text: the rendered prompt.
        plain: the control tokens that are letters only, in order, in characters of `text`.
        control: matches the control tokens of the vocabulary.
        stripping: those after which llama.cpp drops white space, as it does for Phi-3.
        stubborn: tokens that llama.cpp finds in any text, as it does gpt-oss's ``<|channel|>``.

    Returns:
        The ids; nothing is added at the front.
    """
    ids: list[int] = []
    real = _real(text, plain, control)
    starts = {stop: start for start, stop in real}
    for begin, end, special in _pieces(text, plain, real):
        # The control token before such a piece is not tokenised along with it.
        if not special and text[starts.get(begin, begin) : begin] in stripping:
            begin = _SPACE.match(text, begin, end).end()  # type: ignore[union-attr]  # it matches anything
        # Cut behind its first character, such a token is not found.
        cuts = [] if special else _inside(text, plain, begin, end, stubborn)
        for start, stop in pairwise((begin, *cuts, end)):
            if start < stop:
                ids += tokenise(text[start:stop], special=special)
    return ids


def _inside(text: str, plain: Spans, begin: int, end: int, stubborn: Container[str]) -> list[int]:
    spans = plain[bisect_left(plain, (begin, 0)) : bisect_left(plain, (end, 0))]
    return [start + 1 for start, stop in spans if text[start:stop] in stubborn]


def _real(text: str, plain: Spans, control: re.Pattern[str]) -> list[tuple[int, int]]:
    """The control tokens that count: those that lie between the plain ones."""
    found = []
    edges = [0, *(edge for span in plain for edge in span), len(text)]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        found += [match.span() for match in control.finditer(text, begin, end)]
    return found


def _pieces(text: str, plain: Spans, real: list[tuple[int, int]]) -> Iterable[tuple[int, int, bool]]:
    """Begin and end of the pieces to tokenise by themselves, and whether control tokens count in them."""
    stops = [0, *(stop for _, stop in real)]
    starts = [*(start for start, _ in real), len(text)]
    at = 0
    for begin, end in plain:
        if begin < at:
            continue  # in the piece of the one before
        left = stops[bisect_right(stops, begin) - 1]
        right = starts[bisect_left(starts, end)]
        yield at, left, True
        yield left, right, False
        at = right
    yield at, len(text), True
