"""The shape of a reply: bullets, highlights, sections, a title, placeholders, JSON, two responses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions.base import Counted, Finding, Instruction, bounds, phrase, written
from pytest_llmcheck.checks.instructions.called import by_name
from pytest_llmcheck.strict_json import NotJSONError, line_and_column, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_llmcheck.verdict import Check

_SINGLE = re.compile(r"\*[^\n\*]*\*")
_DOUBLE = re.compile(r"\*\*[^\n\*]*\*\*")
_FENCES = ("```json", "```Json", "```JSON", "```")
_SEPARATOR = "******"


@dataclass(frozen=True, repr=False)
class Bullets(Counted):
    """See `bullets`."""

    name = "bullets"
    _nouns = ("bullet point", "bullet points")

    def _places(self, text: str) -> Sequence[int]:
        found = []
        below_a_lone_star = False
        for start, line in _lines(text):
            said = line.lstrip()
            place = start + len(line) - len(said)
            if said.startswith("-"):
                found.append(place)
            elif said.startswith("*") and said[1:2] != "*" and not below_a_lone_star:
                # To the official pattern a lone star goes on in the next line, and is none in the last.
                below_a_lone_star = said == "*"
                if not below_a_lone_star or start + len(line) < len(text):
                    found.append(place)
                continue
            below_a_lone_star = False
        return found


@dataclass(frozen=True, repr=False)
class Highlighted(Counted):
    """See `highlighted`."""

    name = "highlighted"
    _nouns = ("highlighted part", "highlighted parts")

    def _places(self, text: str) -> Sequence[int]:
        found = [match for match in _SINGLE.finditer(text) if match[0].strip("*").strip()]
        found += [match for match in _DOUBLE.finditer(text) if match[0][2:-2].strip()]
        return sorted(match.start() for match in found)


@dataclass(frozen=True, repr=False)
class Sections(Counted):
    """See `sections`."""

    marker: str
    name = "sections"
    _nouns = ("section", "sections")

    def __repr__(self) -> str:
        marker = None if self.marker == "Section" else self.marker
        return written(self.name, marker=marker, **self.bounds.arguments())

    @cached_property
    def _heading(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.marker)}\s?\d+")

    def _places(self, text: str) -> Sequence[int]:
        return [match.start() for match in self._heading.finditer(text)]


@dataclass(frozen=True, repr=False)
class Placeholders(Counted):
    """See `placeholders`."""

    name = "placeholders"
    _nouns = ("placeholder", "placeholders")

    def _places(self, text: str) -> Sequence[int]:
        # By hand, as in what follows: a pattern takes minutes for a reply that repeats "[" without end.
        found = []
        for start, line in _lines(text):
            opening = line.find("[")
            while opening >= 0 and (closing := line.find("]", opening)) >= 0:
                found.append(start + opening)
                opening = line.find("[", closing)
        return found


@dataclass(frozen=True, repr=False)
class Title(Instruction):
    """See `title`."""

    name = "title"

    def __repr__(self) -> str:
        return "title()"

    def _look(self, text: str) -> Finding:
        for _, line in _lines(text):
            opening, closing = line.find("<<"), line.rfind(">>")
            if opening >= 0 and closing > opening + 2:
                found = line[opening:closing].lstrip("<").rstrip(">").strip()
                if found:
                    return Finding(True, f"the title is {found[:80]!r}", evidence={"title": found})
        return Finding(False, "expected a title in double angular brackets, such as <<a title>>, got none")


@dataclass(frozen=True, repr=False)
class IsJSON(Instruction):
    """See `is_json`."""

    name = "is_json"

    def __repr__(self) -> str:
        return "is_json()"

    def _look(self, text: str) -> Finding:
        bare = text.strip()
        for fence in _FENCES:
            bare = bare.removeprefix(fence)
        bare = bare.removesuffix("```").strip()
        if not bare:
            return Finding(False, "expected JSON, in a fence or without; the fence is empty")
        try:
            parse(bare)
        except NotJSONError as error:
            place = text.find(bare) + error.position
            at = line_and_column(text, place)
            return Finding(False, f"expected JSON, in a fence or without; {error} at {at}", place)
        return Finding(True, "the reply is JSON")


@dataclass(frozen=True, repr=False)
class TwoResponses(Instruction):
    """See `two_responses`."""

    name = "two_responses"

    def __repr__(self) -> str:
        return "two_responses()"

    def _look(self, text: str) -> Finding:
        parts = text.split(_SEPARATOR)
        given = [part.strip() for part in parts if part.strip()]
        evidence = {"count": len(given)}
        if any(not part.strip() for part in parts[1:-1]):
            return Finding(False, f"expected text between two separators ({_SEPARATOR})", evidence=evidence)
        if len(given) != 2:
            reason = f"expected 2 responses, parted by {_SEPARATOR}, got {len(given)}"
            return Finding(False, reason, evidence=evidence)
        if given[0] == given[1]:
            return Finding(False, "expected 2 different responses, got the same twice", evidence=evidence)
        return Finding(True, "2 different responses", evidence=evidence)


@by_name
def bullets(exactly: int | None = None, *, at_least: int | None = None, at_most: int | None = None) -> Check:
    """So many Markdown bullet points: lines that begin with ``*`` (and no second one) or ``-``.

    As in the official code no space is asked for after the sign, so ``---`` and ``-5`` count too.
    IFEval: ``detectable_format:number_bullet_lists``, which is exact.

    Args:
        exactly: number of bullet points.
        at_least: lowest number of them.
        at_most: highest number of them.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Bullets(bounds("bullets", at_least, at_most, exactly))


@by_name
def highlighted(
    *, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None
) -> Check:
    """So many parts highlighted with Markdown, ``*like this*`` or ``**like this**``, within one line.

    As in the official code every pair of stars counts, also one of the star of a bullet point and another.
    IFEval: ``detectable_format:number_highlighted_sections``.

    Args:
        at_least: lowest number of highlighted parts.
        at_most: highest number of them.
        exactly: both at once.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Highlighted(bounds("highlighted", at_least, at_most, exactly))


@by_name
def sections(
    *,
    marker: str = "Section",
    at_least: int | None = None,
    at_most: int | None = None,
    exactly: int | None = None,
) -> Check:
    """So many sections, each marked by a word and a number, such as "Section 1".

    The marker is found in its own letter case, anywhere in a line. IFEval:
    ``detectable_format:multiple_sections``, which is "at least".

    Args:
        marker: the word before the number.
        at_least: lowest number of sections.
        at_most: highest number of sections.
        exactly: both at once.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a blank marker, no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Sections(bounds("sections", at_least, at_most, exactly), phrase("sections: marker", marker))


@by_name
def placeholders(
    *, at_least: int | None = None, at_most: int | None = None, exactly: int | None = None
) -> Check:
    """So many placeholders in square brackets, such as ``[address]``, each within one line.

    IFEval: ``detectable_content:number_placeholders``, which is "at least".

    Args:
        at_least: lowest number of placeholders.
        at_most: highest number of placeholders.
        exactly: both at once.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit, or limits that no reply or every reply would hold to.
    """
    __tracebackhide__ = True
    return Placeholders(bounds("placeholders", at_least, at_most, exactly))


def title() -> Check:
    """A title in double angular brackets, such as ``<<poem of joy>>``, within one line.

    IFEval: ``detectable_format:title``.
    """
    return Title()


def is_json() -> Check:
    """The whole reply is JSON, of any kind, alone or in a ``` fence.

    What is JSON is said at `matches_schema`, which takes no fence. IFEval: ``detectable_format:json_format``.
    """
    return IsJSON()


def two_responses() -> Check:
    """Two different responses, parted by six asterisks (``******``).

    A separator at the very beginning or end parts nothing. IFEval: ``combination:two_responses``.
    """
    return TwoResponses()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    r"""The lines of a text and where they begin; as in the official code, only ``\n`` ends one."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1
