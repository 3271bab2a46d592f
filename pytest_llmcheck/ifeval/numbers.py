"""From verdicts to the four published numbers, and to what changed between two models.

Prompt level: the share of prompts all of whose instructions are followed. Instruction level: the share of
all instructions that are followed. Both strictly and loosely (Zhou et al. 2023, arXiv:2311.07911). What is
undecided counts as not followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pytest_llmcheck.compare import (
    Interval,
    clustered,
    clustered_difference,
    flips,
    mcnemar,
    paired_difference,
    wilson,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.checks.instructions import Judgement
    from pytest_llmcheck.ifeval.judging import Judged


class Metric(NamedTuple):
    """One of the four numbers.

    Attributes:
        name: what lm-eval calls it.
        title: for people.
        whole: prompt level, not instruction level.
        strict: not loose.
    """

    name: str
    title: str
    whole: bool
    strict: bool

    def verdicts(self, judgement: Judgement) -> tuple[bool, ...]:
        """What it counts of one response."""
        if self.whole:
            return (bool(judgement.all_strict if self.strict else judgement.all_loose),)
        return tuple(map(bool, judgement.strict if self.strict else judgement.loose))


METRICS = (
    Metric("prompt_level_strict_acc", "prompt level, strict", whole=True, strict=True),
    Metric("inst_level_strict_acc", "instruction level, strict", whole=False, strict=True),
    Metric("prompt_level_loose_acc", "prompt level, loose", whole=True, strict=False),
    Metric("inst_level_loose_acc", "instruction level, loose", whole=False, strict=False),
)
"""The four numbers, in the order of the paper."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval.

    Attributes:
        followed: how many are.
        of: of how many.
        interval: Wilson's at the prompt level, that of `compare.clustered` at the instruction level.
    """

    followed: int
    of: int
    interval: Interval

    @property
    def value(self) -> float:
        """The share, from 0 to 1."""
        return self.followed / self.of


@dataclass(frozen=True, slots=True)
class Summary:
    """What one model's responses come to.

    Attributes:
        rates: the four numbers, in the order of `METRICS`.
        undecided_strict: instructions of which the strict verdict is open.
        undecided_loose: instructions of which the loose verdict is open.
        cut_off: responses that were cut off; None where nothing is known of any.
        types: for each instruction id how many are followed strictly, loosely, and how many there are.
    """

    rates: tuple[Rate, ...]
    undecided_strict: int
    undecided_loose: int
    cut_off: int | None
    types: Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Change:
    """How one of the four numbers differs between two models.

    Attributes:
        right_to_wrong: keys of the prompts of what only the reference follows; at the instruction level, once
            for each instruction.
        wrong_to_right: the same of what only the candidate follows.
        difference: candidate less reference, from -1 to 1.
        interval: 95 % interval of the difference, that of `compare.paired_difference` at the prompt level and
            of `compare.clustered_difference` at the instruction level; None where it cannot be told.
        p: McNemar's exact p-value at the prompt level; None at the instruction level, where pairs depend on
            each other.
    """

    right_to_wrong: tuple[int | str, ...]
    wrong_to_right: tuple[int | str, ...]
    difference: float
    interval: Interval | None
    p: float | None


def summarise(judged: Sequence[Judged]) -> Summary:
    """The four numbers with their intervals, and what to know of them.

    Args:
        judged: at least one.
    """
    judgements = [one.judgement for one in judged]
    known = [cut for one in judged if (cut := one.response.cut_off) is not None]
    types: dict[str, list[int]] = {}
    for one in judged:
        for id_, strict, loose in zip(
            one.example.ids, one.judgement.strict, one.judgement.loose, strict=True
        ):
            counts = types.setdefault(id_, [0, 0, 0])
            for at, holds in enumerate((bool(strict), bool(loose), True)):
                counts[at] += holds
    return Summary(
        rates=tuple(_rate(metric, judgements) for metric in METRICS),
        undecided_strict=sum(judgement.strict.count(None) for judgement in judgements),
        undecided_loose=sum(judgement.loose.count(None) for judgement in judgements),
        cut_off=sum(known) if known else None,
        types={id_: (strict, loose, of) for id_, (strict, loose, of) in sorted(types.items())},
    )


def compare(before: Sequence[Judged], after: Sequence[Judged]) -> tuple[Change, ...]:
    """What changed between two models, in the order of `METRICS`.

    Args:
        before: the reference's responses.
        after: the candidate's, to the same prompts in the same order.

    Raises:
        ValueError: they are not about the same prompts.
    """
    if [one.example.prompt for one in before] != [one.example.prompt for one in after]:
        raise ValueError("two models are compared on the same prompts in the same order")
    return tuple(_change(metric, before, after) for metric in METRICS)


def _rate(metric: Metric, judgements: Sequence[Judgement]) -> Rate:
    each = [metric.verdicts(judgement) for judgement in judgements]
    followed, sizes = [sum(verdicts) for verdicts in each], [len(verdicts) for verdicts in each]
    total, of = sum(followed), sum(sizes)
    return Rate(total, of, wilson(total, of) if metric.whole else clustered(followed, sizes))


def _change(metric: Metric, before: Sequence[Judged], after: Sequence[Judged]) -> Change:
    keys = [one.example.key for one in before for _ in metric.verdicts(one.judgement)]
    olds, news = ([metric.verdicts(one.judgement) for one in side] for side in (before, after))
    old, new = ([verdict for verdicts in side for verdict in verdicts] for side in (olds, news))
    flipped = flips(old, new)
    if metric.whole:
        interval: Interval | None = paired_difference(old, new)
        p = mcnemar(len(flipped.wrong_to_right), len(flipped.right_to_wrong))
    else:
        sizes = [len(verdicts) for verdicts in olds]
        interval = clustered_difference([sum(one) for one in olds], [sum(one) for one in news], sizes)
        p = None
    return Change(
        right_to_wrong=tuple(keys[at] for at in flipped.right_to_wrong),
        wrong_to_right=tuple(keys[at] for at in flipped.wrong_to_right),
        difference=(sum(new) - sum(old)) / len(old),
        interval=interval,
        p=p,
    )
