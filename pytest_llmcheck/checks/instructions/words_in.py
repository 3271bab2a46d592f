"""Words and phrases that a reply must have, must not have, or has so often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions.base import (
    Counted,
    Finding,
    Instruction,
    bounds,
    phrase,
    phrases,
    written,
)
from pytest_llmcheck.checks.instructions.called import by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.verdict import Check


@dataclass(frozen=True, repr=False)
class Keywords(Instruction):
    """See `keywords`."""

    words: tuple[str, ...]
    name = "keywords"

    def __repr__(self) -> str:
        return written(self.name, *self.words)

    def _look(self, text: str) -> Finding:
        missing = [word for word in self.words if not _anywhere(word).search(text)]
        if not missing:
            return Finding(True, "all keywords occur")
        wanted = "the keyword" if len(self.words) == 1 else f"all {len(self.words)} keywords"
        reason = f"expected {wanted} in the reply; missing: {', '.join(map(repr, missing))}"
        return Finding(False, reason, evidence={"missing": missing})


@dataclass(frozen=True, repr=False)
class Forbidden(Instruction):
    """See `forbidden`."""

    words: tuple[str, ...]
    name = "forbidden"

    def __repr__(self) -> str:
        return written(self.name, *self.words)

    @cached_property
    def _whole_words(self) -> re.Pattern[str]:
        # As \b where a word begins and ends with a letter; \b would never find "C++" before a space.
        either = "|".join(map(re.escape, sorted(self.words, key=len, reverse=True)))
        return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)

    def _look(self, text: str) -> Finding:
        found = list(self._whole_words.finditer(text))
        if not found:
            return Finding(True, "no forbidden word occurs")
        told = list(dict.fromkeys(match[0] for match in found))
        shown = ", ".join(map(repr, told))
        reason = f"expected none of the forbidden words, got {shown}{'; the first' if found[1:] else ''}:"
        return Finding(False, reason, found[0].start(), {"found": told})


@dataclass(frozen=True, repr=False)
class KeywordFrequency(Counted):
    """See `keyword_frequency`."""

    word: str
    name = "keyword_frequency"

    def __repr__(self) -> str:
        return written(self.name, self.word, **self.bounds.arguments())

    @property
    def _nouns(self) -> tuple[str, str]:
        return (f"occurrence of {self.word!r}", f"occurrences of {self.word!r}")

    def _places(self, text: str) -> Sequence[int]:
        return [match.start() for match in _anywhere(self.word).finditer(text)]


@dataclass(frozen=True, repr=False)
class OneOfAnswers(Instruction):
    """See `one_of_answers`."""

    answers: tuple[str, ...]
    name = "one_of_answers"

    def __repr__(self) -> str:
        return written(self.name, *self.answers)

    def _look(self, text: str) -> Finding:
        found = [answer for answer in self.answers if answer in text]
        if found:
            return Finding(True, f"it answers {found[0]!r}", evidence={"found": found})
        return Finding(
            False, f"expected one of these answers: {', '.join(map(repr, self.answers))}; got none"
        )


def keywords(*words: str) -> Check:
    """All the keywords occur, in any letter case, also inside of other words.

    IFEval: ``keywords:existence``.

    Args:
        words: words or phrases, searched for as they are.

    Raises:
        TypeError: one is no text.
        ValueError: none is given, or one is blank.
    """
    __tracebackhide__ = True
    return Keywords(phrases("keywords", words))


def forbidden(*words: str) -> Check:
    """None of the words occurs as a whole word, in any letter case.

    IFEval: ``keywords:forbidden_words``.

    Args:
        words: words or phrases, searched for as they are.

    Raises:
        TypeError: one is no text.
        ValueError: none is given, or one is blank.
    """
    __tracebackhide__ = True
    return Forbidden(phrases("forbidden", words))


@by_name
def keyword_frequency(
    word: str, *, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None
) -> Check:
    """A keyword occurs so often, in any letter case, also inside of other words.

    IFEval: ``keywords:frequency``.

    Args:
        word: a word or phrase, searched for as it is.
        at_least: lowest number of times.
        at_most: highest number of times.
        exactly: both at once.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a blank word, no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    limits = bounds("keyword_frequency", at_least, at_most, exactly)
    return KeywordFrequency(limits, phrase("keyword_frequency", word))


def one_of_answers(*answers: str) -> Check:
    """One of the answers occurs, letter by letter; text around it does not matter.

    IFEval: ``detectable_format:constrained_response``, whose answers are "My answer is yes.", "My answer is
    no." and "My answer is maybe.".

    Args:
        answers: searched for as they are.

    Raises:
        TypeError: one is no text.
        ValueError: none is given, or one is blank.
    """
    __tracebackhide__ = True
    return OneOfAnswers(phrases("one_of_answers", answers))


def _anywhere(word: str) -> re.Pattern[str]:
    return re.compile(re.escape(word), re.IGNORECASE)
