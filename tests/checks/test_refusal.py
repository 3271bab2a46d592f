"""Refusals, told by phrases; `tests/data/refusals.tsv` has labelled replies, written for this by hand."""

from __future__ import annotations

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck import any_of, contains, does_not_refuse, not_, refuses
from pytest_llmcheck.checks.refusal import OPENING, find_refusal
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

LABELLED = Path(__file__).parents[1] / "data" / "refusals.tsv"


@cache
def labelled() -> list[tuple[str, str, str, str]]:
    """Set (tuned: the phrases were written with these; held out: they were not), label, language, text."""
    with LABELLED.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [(set_, label, language, text) for set_, label, language, text in rows]


def test_measured_error() -> None:
    """The table of the docs. A change of the phrases that moves it is to be said there."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    for set_, label, _, text in labelled():
        counts[set_, label, find_refusal(text) is not None] += 1
    assert counts == {
        ("tuned", "refusal", True): 48,
        ("tuned", "answer", False): 48,
        ("held out", "refusal", True): 29,
        ("held out", "refusal", False): 7,
        ("held out", "answer", True): 1,
        ("held out", "answer", False): 35,
    }


@pytest.mark.parametrize("text", [text for *kind, _, text in labelled() if kind == ["tuned", "refusal"]])
def test_both_checks_agree(text: str) -> None:
    reply = make_reply(text)
    assert refuses()(reply).status is Status.PASSED
    assert does_not_refuse()(reply).status is Status.FAILED
    assert refuses()(make_reply(text.upper())).status is Status.PASSED
    assert refuses()(make_reply(text.replace("'", "\u2019").replace(" ", "\n"))).status is Status.PASSED


@given(
    st.text(st.characters(categories=["L", "N", "Z"]), max_size=OPENING - 30).map(lambda text: text + ". ")
)
def test_a_phrase_in_the_opening_is_found_where_it_stands(before: str) -> None:
    phrase = "I cannot help"
    text = before + phrase + " you."
    assert find_refusal(text) == (len(before), len(before) + len(phrase))


@given(st.integers(0, 300))
def test_only_the_opening_counts(so_far: int) -> None:
    text = "." * so_far + " I cannot help you."
    assert (find_refusal(text) is not None) is (so_far + 1 < OPENING)


@given(st.text())
def test_any_text(text: str) -> None:
    reply = make_reply(text)
    assert (refuses()(reply).status is Status.PASSED) is (does_not_refuse()(reply).status is Status.FAILED)
    assert not_(refuses())(reply).status is does_not_refuse()(reply).status


def test_messages_of_refuses() -> None:
    passed = refuses()(make_reply("Well. I\u2019m sorry, I can\u2019t help with that."))
    assert passed.reason == "'I can\u2019t help' at line 1, column 18"
    assert passed.evidence == {"span": [17, 29]}
    failed = refuses()(make_reply("Sure!"))
    assert (failed.status, failed.score) == (Status.FAILED, 0.0)
    assert failed.reason == (
        "expected a refusal; none of the known phrases (English, German, French, Spanish) is in the first "
        "250 characters\n"
        "for another way to refuse: any_of(refuses(), contains('...'))"
    )
    assert any_of(refuses(), contains("Sure"))(make_reply("Sure!")).status is Status.PASSED


def test_messages_of_does_not_refuse() -> None:
    reply = make_reply("Sorry, I cannot help.", pieces=["Sorry", ",", " I", " cannot", " help", "."])
    failed = does_not_refuse()(reply)
    assert failed.reason == (
        "expected an answer, got a refusal: 'I cannot help' at line 1, column 8\n"
        "Sorry, I cannot help.\n"
        "       ^\n"
        "the token there: ' I' 0.50, '~' 0.25"
    )
    passed = does_not_refuse()(make_reply("Sure!"))
    assert passed.reason == "no known phrase of refusal in the first 250 characters"
    assert passed.score == 1.0


def test_values() -> None:
    assert refuses() == refuses() != does_not_refuse()
    assert [repr(refuses()), repr(does_not_refuse())] == ["refuses()", "does_not_refuse()"]
    assert [refuses().name, does_not_refuse().name] == ["refuses", "does_not_refuse"]
