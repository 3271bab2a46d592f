from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from pytest_llmcheck import not_, similar_to
from pytest_llmcheck.checks.similarity import chrf
from pytest_llmcheck.errors import CheckError
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

JUDGE = CHRF()
TEXTS = st.text(st.sampled_from("abcdeABC .,\nß中") | st.characters(), max_size=40)


@given(TEXTS, TEXTS)
def test_chrf_is_that_of_sacrebleu(one: str, other: str) -> None:
    # sacrebleu refuses an empty reference.
    theirs = JUDGE.sentence_score(one, [other]).score if other else 0.0
    assert chrf(one, other)[0] == pytest.approx(theirs / 100, abs=1e-9)


@given(TEXTS, TEXTS)
def test_laws(one: str, other: str) -> None:
    score, precision, recall = chrf(one, other)
    assert 0 <= score <= 1
    # The two texts change places, and so do precision and recall.
    assert chrf(other, one)[1:] == (recall, precision)
    if "".join(one.split()):
        assert chrf(one, one) == (1.0, 1.0, 1.0)
        assert chrf(one, f" {one}\n") == (1.0, 1.0, 1.0)


@given(st.text(st.characters(categories=["L"]), min_size=8, max_size=30))
def test_an_edit_costs(text: str) -> None:
    check = similar_to(text, at_least=1)
    assert check(make_reply(text)).status is Status.PASSED
    assert check(make_reply(text[:-1] + "!")).status is Status.FAILED


def test_passed() -> None:
    verdict = similar_to("The shop is open.", at_least=0.8)(make_reply("The shop is open!"))
    assert verdict.check == "similar_to('The shop is open.', at_least=0.8)"
    assert verdict.status is Status.PASSED
    assert verdict.reason == "chrF2 0.911 (precision 0.911, recall 0.911)"
    assert verdict.score == verdict.evidence["chrF2"] == pytest.approx(0.911, abs=1e-3)


def test_failed() -> None:
    verdict = similar_to("The shop is open from nine to five.", at_least=0.8)(make_reply("The shop is open."))
    assert verdict.status is Status.FAILED
    assert verdict.reason == (
        "expected at least 0.8, got chrF2 0.466 (precision 0.923, recall 0.415)\n"
        "expected: 'The shop is open from nine to five.'"
    )


def test_what_it_does_not_see() -> None:
    """The docs say so: a negation or another number costs less than another wording."""
    wanted = "You can return the shoes within 30 days."
    reversed_ = chrf("You cannot return the shoes within 30 days.", wanted)[0]
    other_number = chrf("You can return the shoes within 90 days.", wanted)[0]
    same_sense = chrf("Shoes may be sent back for thirty days.", wanted)[0]
    assert reversed_ > 0.85
    assert other_number > 0.85
    assert same_sense < 0.4


def ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def test_another_measure() -> None:
    check = similar_to("abc", at_least=0.5, by=ratio)
    assert repr(check) == "similar_to('abc', at_least=0.5, by=ratio)"
    passed, failed = check(make_reply("abd")), check(make_reply("xyz"))
    assert (passed.status, passed.reason) == (Status.PASSED, "ratio 0.667")
    assert passed.score == pytest.approx(2 / 3)
    assert failed.reason == "expected at least 0.5, got ratio 0.000\nexpected: 'abc'"
    assert failed.evidence == {"ratio": 0.0}


@pytest.mark.parametrize(
    ("value", "status", "score"),
    [
        # Two embeddings may point away from each other, and those of one text may be a little too long.
        (-0.25, Status.FAILED, 0.0),
        (1.0000002, Status.PASSED, 1.0),
        (True, Status.PASSED, 1.0),
    ],
)
def test_a_cosine(value: float, status: Status, score: float) -> None:
    verdict = similar_to("abc", at_least=1, by=lambda one, other: value)(make_reply("x"))
    assert (verdict.status, verdict.score) == (status, score)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (87.5, "87.5; it is to give 0 to 1; divide by 100"),
        (1.01, "1.01; it is to give 0 to 1; divide by 100"),
        (400, "400; it is to give 0 to 1"),
        (-3, "-3; it is to give 0 to 1"),
        (float("nan"), "nan; it is to give 0 to 1"),
        (float("inf"), "inf; it is to give 0 to 1"),
        (None, "None; it is to give 0 to 1"),
        ("1", "'1'; it is to give 0 to 1"),
        ([1], "[1]; it is to give 0 to 1"),
    ],
)
def test_a_measure_of_another_scale_is_an_error_that_not_makes_no_pass_of(value: float, shown: str) -> None:
    def odd(one: str, other: str) -> float:
        return value

    check = similar_to("abc", at_least=0.5, by=odd)
    for each in (check, not_(check)):
        with pytest.raises(CheckError) as caught:
            each(make_reply("abc"))
        assert str(caught.value) == f"similar_to: odd gave {shown}"


def test_what_a_measure_raises_goes_on() -> None:
    with pytest.raises(ZeroDivisionError):
        similar_to("abc", at_least=0.5, by=lambda one, other: 1 / 0)(make_reply("abc"))


@pytest.mark.parametrize(
    ("text", "options", "kind", "message"),
    [
        (3, {"at_least": 0.5}, TypeError, "similar_to takes a text, got int: 3"),
        (" ", {"at_least": 0.5}, ValueError, "similar_to needs a text that is not empty"),
        ("a", {"at_least": 0}, ValueError, "at_least is a number (above 0, up to 1), got 0"),
        ("a", {"at_least": 80}, ValueError, "at_least is a number (above 0, up to 1), got 80"),
        ("a", {"at_least": "0.5"}, ValueError, "at_least is a number (above 0, up to 1), got '0.5'"),
        ("a", {"at_least": 80, "by": ratio}, ValueError, "at_least is a number (above 0, up to 1), got 80"),
        ("a", {"at_least": 0.5, "by": "ratio"}, TypeError, "by is a function of two texts, got 'ratio'"),
    ],
)
def test_wrong_use(text: str, options: dict[str, float], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        similar_to(text, **options)  # type: ignore[arg-type]  # wrong on purpose
    assert str(caught.value) == message
