"""Which token wrote a place in the text of a reply, and what else the model thought of saying there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.types import Token
    from pytest_llmcheck.prompts.forged import Spans

_BROKEN = "\ufffd"


class Written(Protocol):
    """The part of a `Reply` that this needs; see there."""

    @property
    def text(self) -> str:
        """The reply as it is judged."""

    @property
    def raw(self) -> str:
        """All that the model wrote."""

    @property
    def controls(self) -> Spans:
        """Where control tokens stand in `raw`."""

    @property
    def tokens(self) -> Sequence[Token]:
        """What `raw` was made of."""

    @property
    def end(self) -> Token | None:
        """The token that ended the reply."""


def spans_of(tokens: Sequence[Token], raw: str) -> list[tuple[int, int]]:
    """Begin and end of each token in the raw text, in characters.

    Tokens that share a character have the same span.

    Args:
        tokens: of the reply.
        raw: what they say together, control tokens shown.
    """
    spans: list[tuple[int, int]] = []
    at = i = 0
    while i < len(tokens):
        if _BROKEN not in tokens[i].text:
            end = at + len(tokens[i].text)
            spans.append((at, end))
            at, i = end, i + 1
            continue
        j = i
        while j < len(tokens) and _BROKEN in tokens[j].text:
            j += 1
        # The next whole token tells where the shared characters end.
        found = raw.find(tokens[j].text, at) if j < len(tokens) else len(raw)
        end = len(raw) if found < 0 else found
        spans.extend([(at, end)] * (j - i))
        at, i = end, j
    return spans


def index_at(reply: Written, position: int) -> int | None:
    """The index in `reply.tokens` of the token that wrote a place.

    Args:
        reply: a reply with its tokens.
        position: in `reply.text`, in characters.

    Returns:
        None where it is not known: beyond the text, or a reply that was made without tokens.
    """
    if not reply.tokens or not 0 <= position < len(reply.text):
        return None
    hidden = {place for start, end in reply.controls for place in range(start, end)}
    visible = [place for place in range(len(reply.raw)) if place not in hidden]
    start = "".join(reply.raw[place] for place in visible).rfind(reply.text)
    if start < 0:
        return None
    return _index_of(reply, visible[start + position])


def token_at(reply: object, position: int) -> Token | None:
    """The token that wrote a place of the text; at its end, the token that ended the reply.

    Args:
        reply: whatever is judged; only a `Reply` has tokens.
        position: in its text, in characters.

    Returns:
        None where it is not known.
    """
    if not getattr(reply, "tokens", ()):
        return None
    written: Written = reply  # type: ignore[assignment]  # what has tokens is a Reply
    if position == len(written.text):
        return written.end
    index = index_at(written, position)
    return None if index is None else written.tokens[index]


def token_of(reply: object, place: int) -> Token | None:
    """The token that wrote a place of `Reply.raw`; None where it is not known.

    Args:
        reply: whatever is judged; only a `Reply` has tokens.
        place: in what the model wrote, thoughts and control tokens included, in characters.
    """
    if not getattr(reply, "tokens", ()):
        return None
    written: Written = reply  # type: ignore[assignment]  # what has tokens is a Reply
    index = _index_of(written, place)
    return None if index is None else written.tokens[index]


def _index_of(reply: Written, place: int) -> int | None:
    for index, (begin, end) in enumerate(spans_of(reply.tokens, reply.raw)):
        if begin <= place < end:
            return index
    return None


def odds(token: Token, most: int = 3) -> str:
    r"""A token and its likeliest rivals with their probabilities, such as ``'\n' 0.47, ',' 0.41``.

    The token that was chosen comes first. Probabilities are before temperature, filters and grammars.

    Args:
        token: with its alternatives.
        most: how many to show, itself included.
    """
    rivals = [(other.text, other.logprob) for other in token.top if other.id != token.id]
    shown = [(token.text, token.logprob), *rivals][:most]
    return ", ".join(f"{text!r} {math.exp(logprob):.2f}" for text, logprob in shown)
