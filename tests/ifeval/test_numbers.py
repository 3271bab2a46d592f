"""The four numbers, by hand and as lm-eval adds them up; what changes between two models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.checks.instructions import Judgement, bullets, language, no_commas, words
from pytest_llmcheck.compare import clustered, clustered_difference, mcnemar, paired_difference, wilson
from pytest_llmcheck.ifeval import (
    METRICS,
    Example,
    Judged,
    Response,
    compare,
    judge_all,
    read_examples,
    summarise,
)
from tests.support.ifeval_corpus import PROMPTS, prompts, replies
from tests.support.official_ifeval import lm_eval_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = (
    Example(1, "a", ("x:comma", "x:words"), (no_commas(), words(at_most=3)), "p:1"),
    Example(2, "b", ("x:words",), (words(at_most=3),), "p:2"),
    Example(3, "c", ("x:language", "x:comma", "x:bullets"), (language("de"), no_commas(), bullets(1)), "p:3"),
)
DEVIATES = {
    "change_case:english_capital",
    "change_case:english_lowercase",
    "keywords:existence",
    "keywords:letter_frequency",
    "language:response_language",
    "length_constraints:number_sentences",
}
NO_LANGUAGE = "* 1 2 3"
"""In no language at all, so the check of the third example's language decides nothing."""


def judged(*texts: str, reasons: Sequence[str | None] = (None, None, None)) -> tuple[Judged, ...]:
    return judge_all(EXAMPLES, [Response(text, why) for text, why in zip(texts, reasons, strict=True)])


class TestSummary:
    def test_by_hand(self) -> None:
        """Loosely, the first reply's commas and words go with its first line."""
        summary = summarise(judged("Well, here you are:\nall fine", "one two three four", NO_LANGUAGE))
        assert [(rate.followed, rate.of) for rate in summary.rates] == [(0, 3), (2, 6), (1, 3), (4, 6)]
        assert (summary.undecided_strict, summary.undecided_loose) == (1, 1)
        assert summary.types == {
            "x:bullets": (1, 1, 1),
            "x:comma": (1, 2, 2),
            "x:language": (0, 0, 1),
            "x:words": (0, 1, 2),
        }

    def test_intervals(self) -> None:
        summary = summarise(judged("all fine", "one two three four", NO_LANGUAGE))
        whole, each = summary.rates[:2]
        assert whole.interval == wilson(1, 3)
        assert each.interval == clustered([2, 0, 2], [2, 1, 3])
        assert each.value == 4 / 6

    @pytest.mark.parametrize(
        ("reasons", "cut_off"),
        [
            ((None, None, None), None),
            (("stop", "length", "context"), 2),
            (("stop", None, None), 0),
        ],
    )
    def test_cut_off(self, reasons: tuple[str | None, ...], cut_off: int | None) -> None:
        assert summarise(judged("a", "b", "c", reasons=reasons)).cut_off == cut_off

    def test_nothing_undecided_counts(self) -> None:
        """However a verdict is open, the number is that of a failure."""
        (one,) = judged("a", "b", NO_LANGUAGE)[2:]
        assert one.judgement.all_strict is None
        failed = replace(one, judgement=_decided(one.judgement))
        assert summarise([one]).rates == summarise([failed]).rates

    def test_as_lm_eval_says(self) -> None:
        """From prompts and responses to numbers, where verdicts do not differ (see docs/ifeval.md)."""
        examples = [example for example in read_examples(PROMPTS) if not DEVIATES & set(example.ids)]
        said = {
            reply["key"]: reply["response"]
            for reply in replies()
            if (reply["model"], reply["seed"]) == ("q4_1", None)
        }
        responses = [said[int(example.key)] for example in examples]
        expected = lm_eval_numbers([prompts()[int(example.key)] for example in examples], responses)
        summary = summarise(judge_all(examples, [Response(text) for text in responses]))
        assert len(examples) > 90
        for metric, rate in zip(METRICS, summary.rates, strict=True):
            assert 0.0 < rate.value < 1.0
            assert rate.value == pytest.approx(expected[metric.name])


class TestCompare:
    BEFORE = ("all fine", "one two three", NO_LANGUAGE)
    AFTER = ("all, fine", "one two three", "Das ist ein ganz einfacher deutscher Satz ohne Punkt")

    def test_by_hand(self) -> None:
        """The third reply gains the language and loses the bullet, and fails before and after."""
        before, after = judged(*self.BEFORE), judged(*self.AFTER)
        whole, each, *_ = compare(before, after)
        assert (whole.right_to_wrong, whole.wrong_to_right) == ((1,), ())
        assert whole.difference == pytest.approx(-1 / 3)
        assert whole.p == mcnemar(0, 1) == 1.0
        assert whole.interval == paired_difference([True, True, False], [False, True, False])
        assert (each.right_to_wrong, each.wrong_to_right) == ((1, 3), (3,))
        assert each.difference == pytest.approx(-1 / 6)
        assert each.p is None
        assert each.interval == clustered_difference([2, 1, 2], [1, 1, 2], [2, 1, 3])

    def test_turned_round(self) -> None:
        before, after = judged(*self.BEFORE), judged(*self.AFTER)
        for there, back in zip(compare(before, after), compare(after, before), strict=True):
            assert there.difference == -back.difference
            assert there.right_to_wrong == back.wrong_to_right
            assert there.p == back.p

    def test_nothing_changed(self) -> None:
        same = judged(*self.BEFORE)
        for metric, change in zip(METRICS, compare(same, same), strict=True):
            assert (change.right_to_wrong, change.wrong_to_right, change.difference) == ((), (), 0.0)
            assert (change.interval is None) is not metric.whole

    def test_other_prompts(self) -> None:
        with pytest.raises(ValueError, match="on the same prompts in the same order"):
            compare(judged("a", "b", "c"), judged("a", "b", "c")[::-1])


def test_a_response_is_missing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        judge_all(EXAMPLES, [Response("a")])


def _decided(judgement: Judgement) -> Judgement:
    return replace(
        judgement, strict=tuple(map(bool, judgement.strict)), loose=tuple(map(bool, judgement.loose))
    )
