"""The judgement of one check on one reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(StrEnum):
    """How a check ended. Only `FAILED` raises; nothing undecided is ever counted as passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not applicable"


_ENDED = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.INCONCLUSIVE: "is inconclusive",
    Status.NOT_APPLICABLE: "is not applicable",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of a reply.

    Attributes:
        status: passed, failed, inconclusive or not applicable.
        check: the check as its user wrote it, such as ``contains('refund')``.
        reason: why, in one or a few lines; what was expected and what came.
        score: share of the check that holds, 0 to 1, where that means something.
        evidence: JSON-like details for reports.

    Raises:
        TypeError: the status is none, such as the text ``"failed"``, of which nothing would fail.
    """

    status: Status
    check: str
    reason: str
    score: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        __tracebackhide__ = True
        if not isinstance(self.status, Status):
            raise TypeError(f"the status of a verdict is one such as Status.FAILED, got {self.status!r:.80}")

    @property
    def passed(self) -> bool:
        """True for passed alone: nothing undecided is a pass."""
        return self.status is Status.PASSED

    @property
    def failed(self) -> bool:
        """True for failed alone."""
        return self.status is Status.FAILED

    @property
    def undecided(self) -> bool:
        """True for inconclusive and not applicable."""
        return self.status in (Status.INCONCLUSIVE, Status.NOT_APPLICABLE)

    def __bool__(self) -> NoReturn:
        """Refuse to be taken for yes or no: like any object, a failed verdict would be true.

        Raises:
            TypeError: always; it says what to write instead.
        """
        __tracebackhide__ = True
        check = cut(self.check, 80) or "check"
        raise TypeError(
            f"a verdict is neither true nor false ({check} {_ENDED[self.status]}): write reply."
            f"expect({check}), which fails the test and says why, or ask for .passed, .failed or .status"
        )


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
