"""How a reply begins and ends: given words, the repeated prompt, quotation marks, a postscript."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions.base import Finding, Instruction, phrase, written
from pytest_llmcheck.engines.reply import shorten

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

_SHOWN = 60
_POSTSCRIPTS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}


@dataclass(frozen=True, repr=False)
class StartsWith(Instruction):
    """See `starts_with` and `repeats_prompt`."""

    text: str
    name: str = "starts_with"  # type: ignore[misc]  # one class, two functions

    def __repr__(self) -> str:
        # A prompt may be a page long.
        return f"{self.name}({shorten(self.text, 120)})"

    def _look(self, text: str) -> Finding:
        said, wanted = text.strip(), self.text
        if said.lower().startswith(wanted.lower()):
            return Finding(True, "the reply starts with it")
        start = len(text) - len(text.lstrip())
        same = _common_beginning(said, wanted)
        if not same:
            reason = f"expected the reply to start with {wanted[:_SHOWN]!r}, got {said[:_SHOWN]!r}"
            return Finding(False, reason, start)
        left, got = wanted[same : same + _SHOWN], said[same : same + _SHOWN]
        reason = f"expected {left!r} after the first {same} characters, got {got!r}"
        return Finding(False, reason, start + same, {"same": same})


@dataclass(frozen=True, repr=False)
class EndsWith(Instruction):
    """See `ends_with`."""

    text: str
    name = "ends_with"

    def __repr__(self) -> str:
        return written(self.name, self.text)

    def _look(self, text: str) -> Finding:
        if text.strip().strip('"').lower().endswith(self.text.lower()):
            return Finding(True, "the reply ends with it")
        reason = f"expected the reply to end with {self.text!r}, got {text.rstrip()[-_SHOWN:]!r}"
        if self.text.lower() in text.lower():
            reason += "\nit has that text, and goes on after it"
        return Finding(False, reason)


@dataclass(frozen=True, repr=False)
class Quoted(Instruction):
    """See `quoted`."""

    name = "quoted"

    def __repr__(self) -> str:
        return "quoted()"

    def _look(self, text: str) -> Finding:
        said = text.strip()
        if len(said) > 1 and said[0] == said[-1] == '"':
            return Finding(True, "the reply is in double quotation marks")
        where = [where for where, mark in (("beginning", said[0]), ("end", said[-1])) if mark != '"']
        missing = " and at the ".join(where or ["end"])
        return Finding(
            False, f'expected the whole reply in double quotation marks ("), none at the {missing}'
        )


@dataclass(frozen=True, repr=False)
class Postscript(Instruction):
    """See `postscript`."""

    marker: str
    name = "postscript"

    def __repr__(self) -> str:
        return written(self.name, self.marker)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(_POSTSCRIPTS.get(self.marker, re.escape(self.marker.lower())))

    def _look(self, text: str) -> Finding:
        if self._pattern.search(text.lower()):
            return Finding(True, f"there is a postscript with {self.marker!r}")
        return Finding(False, f"expected a postscript that begins with {self.marker!r}, got none")


def starts_with(text: str) -> Check:
    """The reply begins with a text, in any letter case; space before it does not matter.

    Not one of IFEval's 25; it has `nth_paragraph_starts_with` and `repeats_prompt`.

    Args:
        text: what it begins with.

    Raises:
        TypeError: no text.
        ValueError: blank.
    """
    __tracebackhide__ = True
    return StartsWith(phrase("starts_with", text))


def repeats_prompt(prompt: str) -> Check:
    """The reply first repeats the prompt, in any letter case, then answers.

    IFEval: ``combination:repeat_prompt``.

    Args:
        prompt: what is to be repeated: the request without the instruction to repeat it.

    Raises:
        TypeError: no text.
        ValueError: blank.
    """
    __tracebackhide__ = True
    return StartsWith(phrase("repeats_prompt", prompt), "repeats_prompt")


def ends_with(text: str) -> Check:
    """The reply ends with a text, in any letter case; space and ``"`` after it do not matter.

    IFEval: ``startend:end_checker``.

    Args:
        text: what it ends with.

    Raises:
        TypeError: no text.
        ValueError: blank.
    """
    __tracebackhide__ = True
    return EndsWith(phrase("ends_with", text))


def quoted() -> Check:
    """The whole reply is in double quotation marks (``"``).

    IFEval: ``startend:quotation``.
    """
    return Quoted()


def postscript(marker: str = "P.S.") -> Check:
    """There is a postscript: the marker, in any letter case, anywhere in the reply.

    In ``P.S.`` and ``P.P.S`` a space may follow the inner dots. IFEval: ``detectable_content:postscript``.

    Args:
        marker: what the postscript begins with.

    Raises:
        TypeError: no text.
        ValueError: blank.
    """
    __tracebackhide__ = True
    return Postscript(phrase("postscript", marker))


def _common_beginning(one: str, other: str) -> int:
    """How many characters are the same, letter case aside."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a.lower() != b.lower():
            return place
    return min(len(one), len(other))
