"""The language of a reply, told by py3langid, which is imported on first use."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.instructions.base import Finding, Instruction, phrase, written
from pytest_llmcheck.errors import did_you_mean

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check


@dataclass(frozen=True, repr=False)
class Language(Instruction):
    """See `language`."""

    code: str
    name = "language"

    def __repr__(self) -> str:
        return written(self.name, self.code)

    def _look(self, text: str) -> Finding:
        guess, odds = identify(text)
        if odds < 0.9:
            return Finding(None, f"cannot tell the language: {guess} at {odds:.2f}")
        return Finding(guess == self.code, f"expected {self.code}, got {guess}")


def language(code: str) -> Check:
    """The reply is in one language.

    Args:
        code: of ISO 639-1, such as ``de``.

    Raises:
        TypeError: the code is no text.
        ValueError: the code is not known.
    """
    __tracebackhide__ = True
    return Language(known_code("language", code))


def known_code(what: str, code: object) -> str:
    """A code of a language that can be told.

    Raises:
        TypeError: not a text.
        ValueError: not such a code.
    """
    __tracebackhide__ = True
    code = phrase(what, code)
    known = _identifier().labels
    if code not in known:
        message = f"{what} takes a code of ISO 639-1, got {code!r}; {did_you_mean(code, known)}"
        raise ValueError(message)
    return code


def identify(text: str) -> tuple[str, float]:
    """The likeliest language and its probability."""
    guess, odds = _identifier().classify(text.lower())
    return str(guess), float(odds)


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
