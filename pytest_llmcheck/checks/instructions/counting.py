r"""How much a reply says: words, sentences, paragraphs.

The definitions are those of IFEval's official code (Zhou et al. 2023, arXiv:2311.07911), where "less than
n" is ``at_most=n - 1`` here.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions.base import (
    Bounds,
    Counted,
    Finding,
    Instruction,
    bounds,
    phrase,
    whole,
    written,
)
from pytest_llmcheck.checks.instructions.called import by_name
from pytest_llmcheck.checks.instructions.sentence_ends import sentence_starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import regex

    from pytest_llmcheck.verdict import Check

_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_WORD_ENDS = re.compile(r"[.,?!'\"]")


@dataclass(frozen=True, repr=False)
class Words(Counted):
    """See `words`."""

    name = "words"
    _nouns = ("word", "words")

    def _places(self, text: str) -> Sequence[int]:
        return [match.start() for match in _words().finditer(text)]


@dataclass(frozen=True, repr=False)
class Sentences(Counted):
    """See `sentences`."""

    name = "sentences"
    _nouns = ("sentence", "sentences")

    def _places(self, text: str) -> Sequence[int]:
        return sentence_starts(text)


@dataclass(frozen=True, repr=False)
class Paragraphs(Counted):
    """See `paragraphs`."""

    name = "paragraphs"
    _nouns = ("paragraph", "paragraphs")

    def _look(self, text: str) -> Finding:
        parts = _split(_DIVIDER, text)
        for start, part in parts[1:-1]:
            if not part.strip():
                evidence = {"count": len(self._places(text))}
                return Finding(False, "expected text between two dividers (***), none here:", start, evidence)
        return super()._look(text)

    def _places(self, text: str) -> Sequence[int]:
        return [start for start, part in _split(_DIVIDER, text) if part.strip()]


@dataclass(frozen=True, repr=False)
class NthParagraphStartsWith(Instruction):
    """See `nth_paragraph_starts_with`."""

    nth: int
    word: str
    bounds: Bounds | None
    name = "nth_paragraph_starts_with"

    def __repr__(self) -> str:
        paragraphs = None if self.bounds is None else self.bounds.at_least
        return written(self.name, self.nth, self.word, paragraphs=paragraphs)

    def _look(self, text: str) -> Finding:
        parts = _split(re.compile("\n\n"), text)
        count = sum(1 for _, part in parts if part.strip())
        evidence: dict[str, object] = {"count": count}
        if self.bounds is not None and not self.bounds.hold(count):
            wanted = self.bounds.of("paragraph", "paragraphs")
            return Finding(False, f"expected {wanted} (parted by blank lines), got {count}", None, evidence)
        if self.nth > count:
            reason = f"expected a paragraph {self.nth} (parted by blank lines), got {count}"
            return Finding(False, reason, None, evidence)
        start, paragraph = parts[self.nth - 1]
        if not paragraph.strip():
            reason = (
                f"paragraph {self.nth} is empty: more than one blank line in a row, or one at the beginning"
            )
            return Finding(False, reason, evidence=evidence)
        first = paragraph.split()[0]
        if self.word in _bare_words(first):
            return Finding(True, f"paragraph {self.nth} starts with {self.word!r}", None, evidence)
        place = start + paragraph.index(first)
        reason = f"expected paragraph {self.nth} to start with the word {self.word!r}, got {first[:40]!r}"
        return Finding(False, reason, place, evidence | {"first_word": first})


@by_name
def words(*, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None) -> Check:
    r"""So many words: runs of letters, digits and underscores (``\w+``), so that "don't" is two.

    The marks on a letter belong to it, as Unicode has it: a word of Hindi is one. IFEval:
    ``length_constraints:number_words``.

    Args:
        at_least: lowest number of words.
        at_most: highest number of words.
        exactly: both at once.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Words(bounds("words", at_least, at_most, exactly))


@by_name
def sentences(
    *, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None
) -> Check:
    """So many sentences.

    IFEval: ``length_constraints:number_sentences``.

    Args:
        at_least: lowest number of sentences.
        at_most: highest number of sentences.
        exactly: both at once.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Sentences(bounds("sentences", at_least, at_most, exactly))


@by_name
def paragraphs(
    exactly: int | None = None, *, at_least: int | None = None, at_most: int | None = None
) -> Check:
    """So many paragraphs, parted by the Markdown divider ``***``.

    A divider at the very beginning or end parts nothing; two dividers with nothing between them fail.
    IFEval: ``length_constraints:number_paragraphs``, which is exact.

    Args:
        exactly: number of paragraphs.
        at_least: lowest number of paragraphs.
        at_most: highest number of paragraphs.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Paragraphs(bounds("paragraphs", at_least, at_most, exactly))


@by_name
def nth_paragraph_starts_with(nth: int, word: str, *, paragraphs: int | None = None) -> Check:
    r"""The n-th paragraph starts with a word, in any letter case; paragraphs are parted by ``\n\n``.

    Quotation marks before the word and punctuation after it do not matter. More than one blank line in a row
    makes an empty paragraph that takes a number, as in the official code. IFEval:
    ``length_constraints:nth_paragraph_first_word``, which always gives the number of paragraphs too.

    Args:
        nth: the number of the paragraph, from 1.
        word: the word, without spaces.
        paragraphs: how many paragraphs, exactly, the reply has; those that are empty do not count.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the word has a space, or `nth` is not between 1 and `paragraphs`.
    """
    __tracebackhide__ = True
    name = "nth_paragraph_starts_with"
    whole(f"{name}: nth", nth, least=1)
    word = phrase(f"{name}: word", word).lower()
    if len(word.split()) > 1:
        message = f"{name}: word takes one word, got {word!r}"
        raise ValueError(message)
    if paragraphs is None:
        return NthParagraphStartsWith(nth, word, None)
    whole(f"{name}: paragraphs", paragraphs, least=1)
    if nth > paragraphs:
        message = f"{name}: there is no paragraph {nth} of {paragraphs}"
        raise ValueError(message)
    return NthParagraphStartsWith(nth, word, Bounds(paragraphs, paragraphs))


@functools.cache
def _words() -> regex.Pattern[str]:
    """Not with `re`, which cuts a word of many scripts at each mark; imported on first use."""
    import regex

    return regex.compile(r"\w+")


def _split(divider: re.Pattern[str], text: str) -> list[tuple[int, str]]:
    """The parts of a text with the places where they begin."""
    edges = [0, *(edge for match in divider.finditer(text) for edge in match.span()), len(text)]
    return [(start, text[start:end]) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _bare_words(first: str) -> set[str]:
    """How the first piece of a paragraph may be read as a word, lower-cased."""
    word = first.lower().lstrip("'").lstrip('"')
    # The official code cuts at the first punctuation mark: "don't" is "don". A wanted "don't" is found too.
    return {_WORD_ENDS.split(word, maxsplit=1)[0], word.rstrip(".,?!'\"")}
