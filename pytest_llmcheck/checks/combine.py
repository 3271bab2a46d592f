"""Checks made of checks, by the strong three-valued logic of Kleene.

Inconclusive and not applicable are both "unknown"; where both occur, inconclusive is said. With an unknown
part the whole is unknown too, unless the others decide it: one failed part of `all_of`, one passed part of
`any_of`.

Sources: S. C. Kleene, *Introduction to Metamathematics* (1952), §64, for statuses; L. A. Zadeh, "Fuzzy sets"
(1965), for scores: the lowest, the highest, and 1 minus the score. Both keep De Morgan's laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.judging import is_check, no_check
from pytest_llmcheck.strict_json import line_and_column, point_at
from pytest_llmcheck.verdict import Status, Verdict, so_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_llmcheck.verdict import Check, Judged

_UNKNOWN = (Status.INCONCLUSIVE, Status.NOT_APPLICABLE)
_WORST = (Status.FAILED, *_UNKNOWN, Status.PASSED)
_BEST = (Status.PASSED, *_UNKNOWN, Status.FAILED)
_NOT = {Status.FAILED: Status.PASSED, Status.PASSED: Status.FAILED}


def worst(verdicts: Sequence[Verdict]) -> Status:
    """What the verdicts say together, if all must hold."""
    return worst_of(verdict.status for verdict in verdicts)


def worst_of(statuses: Iterable[Status]) -> Status:
    """The status of what takes all of these to hold; passed where there is none."""
    return min(statuses, key=_WORST.index, default=Status.PASSED)


def best(verdicts: Sequence[Verdict]) -> Status:
    """What the verdicts say together, if one must hold."""
    return min((verdict.status for verdict in verdicts), key=_BEST.index)


def lowest(verdicts: Sequence[Verdict]) -> float | None:
    """The lowest score; None where any verdict has none."""
    scores = _scores(verdicts)
    return None if scores is None else min(scores)


def told(verdicts: Sequence[Verdict], status: Status) -> str:
    """What the checks that ended in this way say, one after the other; further lines of each are indented."""
    return "\n".join(
        "\n  ".join([f"{verdict.check}: {first}", *rest])
        for verdict in verdicts
        if verdict.status is status
        for first, *rest in [verdict.reason.splitlines() or [""]]
    )


@dataclass(frozen=True, slots=True)
class AllOf:
    """See `all_of`."""

    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """The function's name."""
        return "all_of"

    def __repr__(self) -> str:
        return f"all_of({', '.join(map(repr, self.checks))})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by every check; the worst verdict counts."""
        verdicts = [check(reply) for check in self.checks]
        status = worst(verdicts)
        reason = told(verdicts, status)
        if status is Status.PASSED:
            reason = f"{so_many(len(verdicts), len(verdicts))} held"
        return Verdict(status, repr(self), reason, lowest(verdicts), _evidence(verdicts))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """See `any_of`."""

    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """The function's name."""
        return "any_of"

    def __repr__(self) -> str:
        return f"any_of({', '.join(map(repr, self.checks))})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by every check; the best verdict counts."""
        verdicts = [check(reply) for check in self.checks]
        status = best(verdicts)
        reason = told(verdicts, status)
        if status is Status.FAILED:
            reason = f"expected at least one of {len(verdicts)} checks to hold; none does\n{reason}"
        scores = _scores(verdicts)
        score = None if scores is None else max(scores)
        return Verdict(status, repr(self), reason, score, _evidence(verdicts))


@dataclass(frozen=True, slots=True)
class Not:
    """See `not_`."""

    check: Check

    @property
    def name(self) -> str:
        """The function's name."""
        return "not_"

    def __repr__(self) -> str:
        return f"not_({self.check!r})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by the check, and turn what it decides round."""
        inner = self.check(reply)
        status = _NOT.get(inner.status, inner.status)
        reason = inner.reason
        if status is Status.FAILED:
            reason = f"expected this not to hold, but: {inner.reason}{_shown(inner, reply.text)}"
        elif status is Status.PASSED:
            reason = f"as wanted, it does not hold: {inner.reason}"
        score = None if inner.score is None else 1 - inner.score
        return Verdict(status, repr(self), reason, score, _evidence([inner]))


def all_of(*checks: Check) -> Check:
    """All the checks hold.

    Failed where one of them failed, else undecided where one of them is. ``expect`` takes several checks by
    itself; this is for a group inside `any_of` and `not_`. The score is the lowest.

    Args:
        checks: such as ``contains("refund"), contains("14 days")``.

    Raises:
        TypeError: something is no check.
        ValueError: no check is given.
    """
    __tracebackhide__ = True
    return AllOf(checked("all_of", checks))


def any_of(*checks: Check) -> Check:
    """At least one of the checks holds.

    Passed where one of them passed, else undecided where one of them is. The score is the highest.

    Args:
        checks: such as ``contains("refund"), contains("money back")``.

    Raises:
        TypeError: something is no check.
        ValueError: no check is given.
    """
    __tracebackhide__ = True
    return AnyOf(checked("any_of", checks))


def not_(check: Check) -> Check:
    """The check does not hold.

    What is undecided stays undecided. The score is 1 minus the score of the check.

    Args:
        check: such as ``contains("sorry", ignore_case=True)``.

    Raises:
        TypeError: it is no check.
    """
    __tracebackhide__ = True
    if isinstance(check, list | tuple):
        raise TypeError("not_ takes one check: make one of them, such as not_(any_of(*[...]))")
    return Not(*checked("not_", (check,)))


def checked(name: str, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The checks that were given to a function of this name, if they are some.

    Raises:
        TypeError: something is no check.
        ValueError: no check is given.
    """
    __tracebackhide__ = True
    if not checks:
        raise ValueError(f"{name}() judges nothing; give checks, such as {name}(contains('refund'))")
    for check in checks:
        if not is_check(check):
            raise TypeError(no_check(name, check))
    return checks


def _scores(verdicts: Sequence[Verdict]) -> list[float] | None:
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return scores if len(scores) == len(verdicts) else None


def _evidence(verdicts: Sequence[Verdict]) -> Mapping[str, object]:
    """What each part said."""
    parts = [
        {
            "check": verdict.check,
            "status": str(verdict.status),
            "reason": verdict.reason,
            "score": verdict.score,
        }
        | ({"evidence": verdict.evidence} if verdict.evidence else {})
        for verdict in verdicts
    ]
    return {"parts": parts}


def _shown(verdict: Verdict, text: str) -> str:
    """Where it holds, for a check that says so."""
    place = _place(verdict.evidence)
    return "" if place is None else f"\nat {line_and_column(text, place)}:\n{point_at(text, place)}"


def _place(evidence: Mapping[str, Any]) -> int | None:
    if "span" in evidence:
        return int(evidence["span"][0])
    passed = (
        part.get("evidence", {}) for part in evidence.get("parts", ()) if part["status"] == Status.PASSED
    )
    return next((place for part in passed if (place := _place(part)) is not None), None)
