"""What the raw text of a reply holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check, Judged


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
        given = [repr(text) for text in self.texts]
        return f"contains({', '.join([*given, 'ignore_case=True'] if self.ignore_case else given)})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by plain search; the score is the share of the texts that occur."""
        folded = reply.text.casefold()
        if self.ignore_case:
            missing = [text for text in self.texts if text.casefold() not in folded]
        else:
            missing = [text for text in self.texts if text not in reply.text]
        score = 1 - len(missing) / len(self.texts)
        if not missing:
            return Verdict(Status.PASSED, repr(self), "all texts occur", score=score)
        wanted = "the text" if len(self.texts) == 1 else f"all {len(self.texts)} texts"
        reason = f"expected {wanted} in the reply; missing: {', '.join(map(repr, missing))}"
        other_case = [text for text in missing if not self.ignore_case and text.casefold() in folded]
        if other_case:
            shown = ", ".join(map(repr, other_case))
            reason += f"\nin other letter case it has {shown}; contains(..., ignore_case=True) takes that"
        return Verdict(Status.FAILED, repr(self), reason, score=score, evidence={"missing": missing})


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


@dataclass(frozen=True)
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

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern, ready for use."""
        return re.compile(self.pattern, self.flags)

    def __call__(self, reply: Judged) -> Verdict:
        """Judge with ``re.search``."""
        if found := self.compiled.search(reply.text):
            start, end = found.span()
            reason = f"matched characters {start} to {end}"
            return Verdict(Status.PASSED, repr(self), reason, score=1.0, evidence={"span": [start, end]})
        reason = (
            f"expected a match of the pattern somewhere in the reply; none in {len(reply.text)} characters"
        )
        for flag in (re.IGNORECASE, re.DOTALL, re.MULTILINE):
            if not self.flags & flag and re.search(self.pattern, reply.text, self.flags | flag):
                reason += f"\nwith {flag!r} it would match"
        return Verdict(Status.FAILED, repr(self), reason, score=0.0)


def matches(pattern: str, flags: int = 0) -> Check:
    r"""The regular expression matches somewhere in the raw text; anchor it with ``\A`` and ``\Z``.

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
        _ = check.compiled
    except (re.error, OverflowError, RecursionError) as error:
        message = f"matches({pattern!r}): not a valid regular expression: {error}"
        raise ValueError(message) from None
    return check
