"""Verdicts of checks on several replies, counted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pytest_llmcheck.engines.judging import judge_all
from pytest_llmcheck.engines.reply import LONGEST_CHECK, constraint_note, shorten, shortened
from pytest_llmcheck.verdict import CheckFailed, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.verdict import Check, Verdict

MOST_EXAMPLES = 3
"""How many of the failed samples are shown."""


class Counts(NamedTuple):
    """How often a check, or all together, passed, failed and decided nothing."""

    passed: int
    failed: int
    undecided: int

    @classmethod
    def of(cls, statuses: Iterable[Status]) -> Counts:
        """Of these statuses."""
        known = list(statuses)
        passed, failed = known.count(Status.PASSED), known.count(Status.FAILED)
        return cls(passed, failed, len(known) - passed - failed)


@dataclass(frozen=True)
class Tally:
    """What checks say of several replies.

    Attributes:
        replies: at least one.
        checks: those that were asked for, as their user wrote them.
        verdicts: for each reply those of `judge_all`: of health checks that found something, then of
            `checks`.
    """

    replies: tuple[Reply, ...]
    checks: tuple[str, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]

    @classmethod
    def of(cls, replies: Iterable[Reply], checks: Sequence[Check], without: Collection[str]) -> Tally:
        """Judge replies.

        Raises:
            ValueError: see `judge_all`.
            LlmcheckError: the replies cannot be had.
            Exception: what a check raised.
        """
        __tracebackhide__ = True
        judged = []
        for reply in replies:
            verdicts, error = judge_all(reply, checks, without)
            if error is not None:
                # No rate can be told of replies that were not judged.
                raise error
            judged.append((reply, verdicts))
        shown = tuple(repr(check) for check in checks)
        return cls(tuple(reply for reply, _ in judged), shown, tuple(verdicts for _, verdicts in judged))

    @cached_property
    def statuses(self) -> tuple[Status, ...]:
        """Of each reply: failed if any check failed, passed if all passed, else undecided."""
        return tuple(_together([verdict.status for verdict in verdicts]) for verdicts in self.verdicts)

    @cached_property
    def counts(self) -> Counts:
        """Of all checks together."""
        return Counts.of(self.statuses)

    @cached_property
    def of_each(self) -> tuple[tuple[str, Counts], ...]:
        """Of each check that was asked for, then of each health check that found something."""
        n, given = len(self.replies), len(self.checks)
        counts = [
            (check, Counts.of(verdicts[at - given].status for verdicts in self.verdicts))
            for at, check in enumerate(self.checks)
        ]
        found: dict[str, list[Status]] = {}
        for verdicts in self.verdicts:
            for verdict in verdicts[: len(verdicts) - given]:
                found.setdefault(verdict.check, []).append(verdict.status)
        for check, statuses in found.items():
            healthy = [Status.PASSED] * (n - len(statuses))
            counts.append((check, Counts.of([*statuses, *healthy])))
        return tuple(counts)

    @property
    def different_texts(self) -> int:
        """How many texts there are among the replies."""
        return len({reply.text for reply in self.replies})

    def places(self, *statuses: Status) -> list[int]:
        """The replies with one of these statuses, from 0."""
        return [at for at, status in enumerate(self.statuses) if status in statuses]

    def conclude(self, verdict: Verdict) -> None:
        """Tell the run of a verdict on all of the replies.

        Raises:
            CheckFailed: it is a failed one.
        """
        __tracebackhide__ = True
        first = self.replies[0]
        if first.listener is not None:
            first.listener.heard(first, (verdict,))
        if verdict.status is Status.FAILED:
            raise CheckFailed(self.describe(verdict), (verdict,))

    def describe(self, verdict: Verdict) -> str:
        """A failed verdict on all of them, what each check says, and the first replies that failed."""
        failed = self.places(Status.FAILED)
        made = list(dict.fromkeys(f"{r.fingerprint.model}, {r.fingerprint.quant}" for r in self.replies))
        first, *rest = verdict.reason.splitlines()
        lines = [
            f"too few of {len(self.replies)} samples passed on {'; '.join(made)}"
            f"{constraint_note(self.replies[0])}",
            f"  {shortened(verdict.check)}: {shortened(first)}",
            *(f"    {shortened(line)}" for line in rest),
        ]
        if len(self.of_each) > 1:
            each = "; ".join(
                f"{shortened(check, LONGEST_CHECK)} {counts.passed}" for check, counts in self.of_each
            )
            lines.append(f"  passed, each check by itself: {each}")
        texts = self.different_texts
        lines.append(f"  {texts} different texts" if texts > 1 else "  all texts are the same")
        for at in failed[:MOST_EXAMPLES]:
            reply = self.replies[at]
            lines.append(
                f"  samples[{at}], seed {reply.fingerprint.sampling.seed}: {shorten(reply.text, 200)}"
            )
            for one in self.verdicts[at]:
                if one.status is Status.FAILED:
                    told = (one.reason.splitlines() or [""])[0]
                    lines.append(f"    {shortened(one.check, LONGEST_CHECK)}: {shortened(told)}")
        if len(failed) > MOST_EXAMPLES:
            lines.append(
                f"  and {len(failed) - MOST_EXAMPLES} more that failed; the run record has all replies"
            )
        return "\n".join(lines)


def _together(statuses: Sequence[Status]) -> Status:
    if Status.FAILED in statuses:
        return Status.FAILED
    undecided = {status for status in statuses if status is not Status.PASSED}
    if not undecided:
        return Status.PASSED
    return Status.NOT_APPLICABLE if undecided == {Status.NOT_APPLICABLE} else Status.INCONCLUSIVE
