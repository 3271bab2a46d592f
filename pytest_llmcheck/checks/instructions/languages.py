"""The language of a reply, told by the py3langid package, which is imported on first use."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.instructions.base import Finding, Instruction, phrase, written
from pytest_llmcheck.checks.instructions.language_names import LANGUAGES
from pytest_llmcheck.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.verdict import Check

# Probabilities between these two leave it open. Of passages of the Declaration of Human Rights and of
# Django's translations in IFEval's 30 languages, cut to 40 characters, 0.03 % of those in the language are
# failed and 0.3 % of those in a nearest relative pass; docs/instructions.md has the table. "Four times as
# likely as any other" decides 1 to 3 % more of the short ones, and takes English about Italian for Italian.
_SURE, _RULED_OUT = 0.7, 0.01
# Below it even the likeliest language is a guess, as where the text has no words.
_SOME_LANGUAGE = 0.3
_NO_LANGUAGE = "zxx"
_SUBTAG = re.compile("[-_]")


@dataclass(frozen=True, repr=False)
class Language(Instruction):
    """See `language`."""

    code: str
    name = "language"

    def __repr__(self) -> str:
        return written(self.name, self.code)

    def _look(self, text: str) -> Finding:
        odds = probabilities(text)
        # Equal ones by code: no order of a library's table decides.
        best, second = sorted(odds, key=lambda code: (-odds[code], code))[:2]
        evidence = {"language": best, "probability": round(odds[best], 3)}
        if odds[self.code] >= _SURE:
            return Finding(True, f"{_named(self.code)}, {odds[self.code]:.2f}", evidence=evidence)
        if best == _NO_LANGUAGE or odds[best] < _SOME_LANGUAGE:
            reason = f"expected {_named(self.code)}; no language can be told from this text"
            return Finding(None, reason, evidence=evidence)
        if odds[self.code] <= _RULED_OUT:
            reason = f"expected {_named(self.code)}, got what looks like {_named(best)}, {odds[best]:.2f}"
            return Finding(False, reason, evidence=evidence)
        rival = second if best == self.code else best
        told = ", ".join(f"{_named(code)} {odds[code]:.2f}" for code in (self.code, rival))
        reason = f"expected {_named(self.code)}; too little to be sure: {told}; a longer text would tell"
        return Finding(None, reason, evidence=evidence)


def language(code: str) -> Check:
    """The reply is in one language.

    It passes where py3langid gives the language a probability of at least 0.7, fails where it gives it at
    most 0.01, and is inconclusive between the two and where no language can be told: a short reply often
    is. Letter case does not matter. The text is judged as a whole: a word or a sentence in another language
    goes unnoticed. IFEval: ``language:response_language``.

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
    if code not in LANGUAGES:
        by_name = {name.lower(): known for known, name in LANGUAGES.items()}
        # Of "de-DE", a code of BCP 47, the language comes first.
        meant = _SUBTAG.split(code.lower(), maxsplit=1)[0]
        hint = did_you_mean(by_name.get(code.lower(), meant), LANGUAGES)
        message = f"{what} takes a code of ISO 639-1, such as 'de', got {code!r}; {hint}"
        raise ValueError(message)
    return code


def probabilities(text: str) -> Mapping[str, float]:
    """How likely each of `LANGUAGES` is, and ``zxx``: that the text is in none."""
    # It reads a text of capitals alone as if they were small; one "ß" or Markdown must not change that.
    ranked: list[tuple[str, float]] = _identifier().rank(text.lower())
    return dict(ranked)


def _named(code: str) -> str:
    return "no language" if code == _NO_LANGUAGE else f"{LANGUAGES[code]} ({code})"


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    # Of its own: the one that the package shares can be narrowed by whoever else uses it.
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*LANGUAGES, _NO_LANGUAGE])
    return identifier
