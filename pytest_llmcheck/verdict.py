"""The judgement of one check on one reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(StrEnum):
    """How a check ended. Only `FAILED` raises; nothing undecided is ever counted as passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of a reply.

    Attributes:
        status: passed, failed, inconclusive or not applicable.
        check: the check as its user wrote it, such as ``contains('refund')``.
        reason: why, in one or a few lines; what was expected and what came.
        score: share of the check that holds, 0 to 1, where that means something.
        evidence: JSON-like details for reports.
    """

    status: Status
    check: str
    reason: str
    score: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def undecided(self) -> bool:
        """True for inconclusive and not applicable."""
        return self.status in (Status.INCONCLUSIVE, Status.NOT_APPLICABLE)


class Judged(Protocol):
    """What a check may look at: the part of a reply that does not depend on the engine."""

    @property
    def text(self) -> str:
        """The reply verbatim."""

    @property
    def finish_reason(self) -> str:
        """``stop``, ``length`` (cut at max_tokens) or ``context`` (the context was full)."""


class Check(Protocol):
    """A pure object that judges a reply. It holds no state between replies.

    `name` is the short name by which it can be switched off (``without=["finished"]``); `repr` is the
    check as its user wrote it.
    """

    @property
    def name(self) -> str:
        """The field's or the function's name, such as ``contains``."""

    def __call__(self, reply: Judged) -> Verdict:
        """Judge one reply. Never raises for a bad reply: that is a failed verdict."""


class CheckFailed(AssertionError):  # noqa: N818 - an assertion, not a program error
    """At least one check of an `expect` failed; carries all verdicts of that call."""

    def __init__(self, message: str, verdicts: tuple[Verdict, ...]) -> None:
        super().__init__(message)
        self.verdicts = verdicts


def so_many(some: int, all_: int) -> str:
    """How many of the checks, for messages.

    >>> so_many(1, 2), so_many(1, 1)
    ('1 of 2 checks', '1 check')
    """
    if some < all_:
        return f"{some} of {all_} checks"
    return "1 check" if some == 1 else f"{some} checks"


# Shown in every failure: the name under which users import it.
CheckFailed.__module__ = "pytest_llmcheck"
