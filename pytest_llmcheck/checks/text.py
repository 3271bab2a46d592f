"""What the raw text of a reply holds, and whether it is a given one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.spelling import Spelling, common_length
from pytest_llmcheck.engines.places import odds, token_at
from pytest_llmcheck.engines.reply import shorten
from pytest_llmcheck.errors import PatternError
from pytest_llmcheck.patterns import check_pattern, search
from pytest_llmcheck.strict_json import line_and_column, point_at
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check, Judged

_SHOWN = 40
_COMPARED = 500  # characters, for the nearest of several texts; difflib takes the square of it


@dataclass(frozen=True, slots=True)
class Contains:
    """See `contains`."""

    texts: tuple[str, ...]
    ignore_case: bool = False

    @property
    def name(self) -> str:
        """The function's name."""
        return "contains"

    def __repr__(self) -> str:
        return _written("contains", self.texts, ignore_case=self.ignore_case)

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by plain search; the score is the share of the texts that occur."""
        whole = Spelling(reply.text, ignore_case=self.ignore_case)
        places = {text: whole.find(text) for text in self.texts}
        missing = [text for text, place in places.items() if place is None]
        score = 1 - len(missing) / len(places)
        if not missing:
            evidence = {"span": places[self.texts[0]]}
            return Verdict(Status.PASSED, repr(self), "all texts occur", score, evidence)
        wanted = "the text" if len(self.texts) == 1 else f"all {len(self.texts)} texts"
        reason = f"expected {wanted} in the reply; missing: {', '.join(map(repr, missing))}"
        hints = [self._hint(reply.text, text) for text in missing]
        evidence_missing = {"missing": missing}
        return Verdict(Status.FAILED, repr(self), "".join([reason, *hints]), score, evidence_missing)

    def _hint(self, whole: str, text: str) -> str:
        """Where the text occurs, spelt otherwise."""
        if not self.ignore_case and (place := Spelling(whole, ignore_case=True).find(text)):
            where = line_and_column(whole, place[0])
            takes = "contains(..., ignore_case=True) takes that"
            return f"\nin other letter case it has {text!r} at {where}; {takes}"
        if place := Spelling(whole, ignore_case=self.ignore_case, ignore_space=True).find(text):
            where = line_and_column(whole, place[0])
            pattern = r"\s+".join(map(re.escape, text.split()))
            flags = ", re.IGNORECASE" if self.ignore_case else ""
            return (
                f"\nwith other white space it has {text!r} at {where}; matches({pattern!r}{flags}) takes that"
            )
        if _composed(text) in _composed(whole):
            return f"\nit has {text!r} in another Unicode form: accents as characters of their own, or not"
        return ""


def contains(*texts: str, ignore_case: bool = False) -> Check:
    """All the texts occur in the reply, in any order.

    Args:
        texts: searched for as they are, in the raw text.
        ignore_case: compare case-folded, so that "STRASSE" is found in "straße".

    Raises:
        TypeError: a text is no string.
        ValueError: no text, or an empty one, which would be found in anything.
    """
    __tracebackhide__ = True
    for text in texts:
        if not isinstance(text, str):
            message = f"contains takes texts, got {type(text).__name__}: {text!r}"
            raise TypeError(message)
    if not texts or "" in texts:
        message = "contains needs at least one text, and none that is empty"
        raise ValueError(message)
    return Contains(texts, ignore_case)


@dataclass(frozen=True, slots=True)
class Matches:
    """See `matches`."""

    pattern: str
    flags: re.RegexFlag = re.NOFLAG

    @property
    def name(self) -> str:
        """The function's name."""
        return "matches"

    def __repr__(self) -> str:
        return f"matches({self.pattern!r}, {self.flags!r})" if self.flags else f"matches({self.pattern!r})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge as ``re.search`` does, within 10 s.

        Raises:
            PatternError: the pattern takes longer than that.
        """
        if found := search(self.pattern, reply.text, self.flags):
            start, end = found.span()
            reason = f"matched {shorten(found[0], _SHOWN)} at {line_and_column(reply.text, start)}"
            return Verdict(Status.PASSED, repr(self), reason, score=1.0, evidence={"span": [start, end]})
        reason = (
            f"expected a match of the pattern somewhere in the reply; none in {len(reply.text)} characters"
        )
        for flag in (re.IGNORECASE, re.DOTALL, re.MULTILINE):
            if not self.flags & flag and self._would_match(reply.text, flag):
                reason += f"\nwith {flag!r} it would match"
        return Verdict(Status.FAILED, repr(self), reason, score=0.0)

    def _would_match(self, text: str, flag: re.RegexFlag) -> bool:
        try:
            return search(self.pattern, text, self.flags | flag, seconds=1) is not None
        except PatternError:
            return False


def matches(pattern: str, flags: int = 0) -> Check:
    r"""The regular expression matches somewhere in the raw text; anchor it with ``\A`` and ``\Z``.

    It means what it means to Python's `re`; see `pytest_llmcheck.patterns` for how that is kept under a limit
    of time.

    Args:
        pattern: as `re.search` takes it.
        flags: such as ``re.IGNORECASE | re.DOTALL``.

    Raises:
        TypeError: the pattern is no string.
        ValueError: the pattern is not valid.
    """
    __tracebackhide__ = True
    if not isinstance(pattern, str):
        message = f"matches takes a pattern as text, got {type(pattern).__name__}"
        raise TypeError(message)
    check = Matches(pattern, re.RegexFlag(flags))
    try:
        check_pattern(pattern, flags)
    except ValueError as error:
        message = f"matches({pattern!r}): not a valid regular expression: {error}"
        raise ValueError(message) from None
    return check


@dataclass(frozen=True, slots=True)
class OneOf:
    """See `one_of` and `equals`."""

    texts: tuple[str, ...]
    ignore_case: bool = False
    ignore_space: bool = False
    name: str = "one_of"

    def __repr__(self) -> str:
        return _written(self.name, self.texts, ignore_case=self.ignore_case, ignore_space=self.ignore_space)

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by comparison; a failure points to the first difference from the nearest text."""
        came = self._spelt(reply.text)
        for text in self.texts:
            if self._spelt(text).text == came.text:
                return Verdict(Status.PASSED, repr(self), f"the reply is {shorten(text, _SHOWN)}", score=1.0)
        nearest = max(self.texts, key=lambda text: _likeness(self._spelt(text).text, came.text))
        if self.name == "equals":
            reason = "expected this text and nothing else; "
        else:
            shown = shorten(nearest, _SHOWN * 2)
            reason = f"expected one of {len(self.texts)} texts and nothing else; nearest is {shown}: "
        return Verdict(
            Status.FAILED,
            repr(self),
            f"{reason}{self._difference(nearest, reply)}{self._hint(reply.text)}",
            score=0.0,
            evidence={"nearest": nearest},
        )

    def _spelt(self, text: str) -> Spelling:
        return Spelling(text, ignore_case=self.ignore_case, ignore_space=self.ignore_space)

    def _difference(self, text: str, reply: Judged) -> str:
        wanted, came = self._spelt(text), self._spelt(reply.text)
        same = common_length(wanted.text, came.text)
        at = came.places[same]
        missing, extra = text[wanted.places[same] :], reply.text[at:]
        where = line_and_column(reply.text, at)
        told = f"it differs at {where}: expected {_rest(missing)}, got {_rest(extra)}"
        if reply.text:
            told += f"\n{point_at(reply.text, at)}"
        token = token_at(reply, at)
        return told if token is None else f"{told}\nthe token there: {odds(token)}"

    def _hint(self, came: str) -> str:
        """Which of the options would make it pass; one alone rather than both."""
        for more in (
            {"ignore_case": True},
            {"ignore_space": True},
            {"ignore_case": True, "ignore_space": True},
        ):
            given = {"ignore_case": self.ignore_case, "ignore_space": self.ignore_space, **more}
            spelt = Spelling(came, **given).text
            if any(Spelling(text, **given).text == spelt for text in self.texts):
                return f"\n{self.name}(..., {', '.join(f'{option}=True' for option in more)}) takes that"
        if any(_composed(text) == _composed(came) for text in self.texts):
            return "\nit looks the same: one of the two has accents as characters of their own (Unicode NFD)"
        return ""


def equals(text: str, *, ignore_case: bool = False, ignore_space: bool = False) -> Check:
    """The reply is this text, from its first to its last character.

    Args:
        text: the whole reply.
        ignore_case: compare case-folded.
        ignore_space: any run of white space counts as one space, and none counts at either end.

    Raises:
        TypeError: it is no string.
    """
    __tracebackhide__ = True
    _check_texts("equals", (text,))
    return OneOf((text,), ignore_case, ignore_space, "equals")


def one_of(*texts: str, ignore_case: bool = False, ignore_space: bool = False) -> Check:
    """The reply is one of these texts, from its first to its last character.

    Args:
        texts: such as ``"yes", "no"``.
        ignore_case: compare case-folded.
        ignore_space: any run of white space counts as one space, and none counts at either end.

    Raises:
        TypeError: a text is no string.
        ValueError: fewer than two texts.
    """
    __tracebackhide__ = True
    _check_texts("one_of", texts)
    if len(set(texts)) < 2:
        raise ValueError("one_of needs at least two different texts; equals('text') is for one")
    return OneOf(texts, ignore_case, ignore_space)


def _check_texts(name: str, texts: tuple[str, ...]) -> None:
    __tracebackhide__ = True
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name} takes text, got {type(text).__name__}: {text!r}")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one[:_COMPARED], other[:_COMPARED], autojunk=False).ratio()


def _rest(text: str) -> str:
    return repr(text[:_SHOWN]) + "..." * (len(text) > _SHOWN) if text else "the end"


def _written(name: str, texts: tuple[str, ...], **options: bool) -> str:
    given = [*map(repr, texts), *(f"{option}=True" for option, value in options.items() if value)]
    return f"{name}({', '.join(given)})"
