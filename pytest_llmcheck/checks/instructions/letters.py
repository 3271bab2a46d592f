"""The letters of a reply: their case, how often one occurs, commas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions.base import Counted, Finding, Instruction, bounds, phrase, written
from pytest_llmcheck.checks.instructions.called import by_name
from pytest_llmcheck.checks.instructions.languages import Language, known_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.verdict import Check

_CAPITAL_WORD = re.compile(r"\w+(?:[-./]\w+)*")


@dataclass(frozen=True, repr=False)
class NoCommas(Instruction):
    """See `no_commas`."""

    name = "no_commas"

    def __repr__(self) -> str:
        return "no_commas()"

    def _look(self, text: str) -> Finding:
        count = text.count(",")
        if not count:
            return Finding(True, "no comma", evidence={"count": 0})
        told = "1 comma" if count == 1 else f"{count} commas; the first"
        return Finding(False, f"expected no comma, got {told}:", text.index(","), {"count": count})


@dataclass(frozen=True, repr=False)
class LetterFrequency(Counted):
    """See `letter_frequency`."""

    letter: str
    name = "letter_frequency"

    def __repr__(self) -> str:
        return written(self.name, self.letter, **self.bounds.arguments())

    @property
    def _nouns(self) -> tuple[str, str]:
        return (f"occurrence of {self.letter!r}", f"occurrences of {self.letter!r}")

    def _places(self, text: str) -> Sequence[int]:
        return [place for place, letter in enumerate(text) if self.letter in letter.lower()]


@dataclass(frozen=True, repr=False)
class CapitalWords(Counted):
    """See `capital_words`."""

    name = "capital_words"
    _nouns = ("word in capital letters", "words in capital letters")

    def _places(self, text: str) -> Sequence[int]:
        return [match.start() for match in _CAPITAL_WORD.finditer(text) if match[0].isupper()]


@dataclass(frozen=True, repr=False)
class InCase(Instruction):
    """See `uppercase` and `lowercase`."""

    upper: bool
    language: Language | None

    @property
    def name(self) -> str:  # type: ignore[override]  # one class, two functions
        """The function's name."""
        return "uppercase" if self.upper else "lowercase"

    def __repr__(self) -> str:
        return written(self.name, language=None if self.language is None else self.language.code)

    def _look(self, text: str) -> Finding:
        wanted, other = ("capital", "lower-case") if self.upper else ("lower-case", "capital")
        wrong = [place for place, letter in enumerate(text) if self._is_other(letter)]
        if wrong:
            told = f"got 1 {other} letter" if len(wrong) == 1 else f"got {len(wrong)} {other} ones; the first"
            reason = f"expected only {wanted} letters, {told}:"
            return Finding(False, reason, wrong[0], {"count": len(wrong)})
        if not (text.isupper() if self.upper else text.islower()):
            return Finding(False, f"expected {wanted} letters, got no letter that has a case")
        if self.language is not None and not (found := self.language.judge(text)).followed:
            return found
        return Finding(True, f"only {wanted} letters")

    def _is_other(self, letter: str) -> bool:
        # A letter that has a case and is not of the wanted one: the digraph "ǅ" is of neither.
        cased = letter.islower() or letter.isupper() or letter.istitle()
        return cased and not (letter.isupper() if self.upper else letter.islower())


def no_commas() -> Check:
    """No comma (``,``) anywhere; the commas of other scripts (``،``, ``、``) are not looked for.

    IFEval: ``punctuation:no_comma``.
    """
    return NoCommas()


@by_name
def letter_frequency(
    letter: str, *, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None
) -> Check:
    """A letter occurs so often, in either case.

    IFEval: ``keywords:letter_frequency``.

    Args:
        letter: one character; a sign such as ``#`` is counted too.
        at_least: lowest number of times.
        at_most: highest number of times.
        exactly: both at once.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: more than one character, no limit, or limits that no or every reply would hold to.
    """
    __tracebackhide__ = True
    limits = bounds("letter_frequency", at_least, at_most, exactly)
    letter = phrase("letter_frequency", letter)
    if len(letter) > 1:
        message = f"letter_frequency takes one letter, got {letter!r}; for more there is keyword_frequency"
        raise ValueError(message)
    return LetterFrequency(limits, letter.lower())


@by_name
def capital_words(
    *, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None
) -> Check:
    """So many words of capital letters only, such as "NASA", "I" or "COVID-19".

    IFEval: ``change_case:capital_word_frequency``.

    Args:
        at_least: lowest number of such words.
        at_most: highest number of such words.
        exactly: both at once.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return CapitalWords(bounds("capital_words", at_least, at_most, exactly))


@by_name
def uppercase(*, language: str | None = None) -> Check:
    """Every letter that has a case is a capital, and there is one.

    IFEval: ``change_case:english_capital``, which is ``uppercase(language="en")``.

    Args:
        language: the text is in this language too; see `language`.

    Raises:
        TypeError: the language is no text.
        ValueError: the language is not known.
    """
    __tracebackhide__ = True
    return InCase(True, _language("uppercase", language))


@by_name
def lowercase(*, language: str | None = None) -> Check:
    """Every letter that has a case is a small one, and there is one.

    IFEval: ``change_case:english_lowercase``, which is ``lowercase(language="en")``.

    Args:
        language: the text is in this language too; see `language`.

    Raises:
        TypeError: the language is no text.
        ValueError: the language is not known.
    """
    __tracebackhide__ = True
    return InCase(False, _language("lowercase", language))


def _language(function: str, code: str | None) -> Language | None:
    __tracebackhide__ = True
    return None if code is None else Language(known_code(f"{function}: language", code))
