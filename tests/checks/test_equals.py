from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_llmcheck import equals, one_of
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

TEXTS = st.text(max_size=20)


def test_equal() -> None:
    verdict = equals("Paris")(make_reply("Paris"))
    assert (verdict.status, verdict.check, verdict.reason) == (
        Status.PASSED,
        "equals('Paris')",
        "the reply is 'Paris'",
    )
    assert verdict.score == 1.0


def test_the_first_difference_and_the_token_there() -> None:
    reply = make_reply("It is\nLyon today.", pieces=["It", " is", "\n", "Lyon", " today", "."])
    verdict = equals("It is\nParis today.")(reply)
    assert (verdict.status, verdict.score) == (Status.FAILED, 0.0)
    assert verdict.reason == (
        "expected this text and nothing else; it differs at line 2, column 1: expected 'Paris today.', "
        "got 'Lyon today.'\n"
        "Lyon today.\n"
        "^\n"
        "the token there: 'Lyon' 0.50, '~' 0.25"
    )


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("Paris!", "column 6: expected the end, got '!'\nParis!\n     ^"),
        ("Par", "column 4: expected 'is', got the end\nPar\n   ^"),
        ("", "column 1: expected 'Paris', got the end"),
        (
            "Paris\n",
            "column 6: expected the end, got '\\n'\nParis\n     ^\nequals(..., ignore_space=True) takes that",
        ),
        (
            " paris",
            "column 1: expected 'Paris', got ' paris'\n paris\n^\n"
            "equals(..., ignore_case=True, ignore_space=True) takes that",
        ),
        ("x" * 60, f"column 1: expected 'Paris', got '{'x' * 40}'...\n{'x' * 30}\n^"),
    ],
)
def test_ends(text: str, difference: str) -> None:
    begin = "expected this text and nothing else; it differs at line 1, "
    assert equals("Paris")(make_reply(text)).reason == begin + difference


def test_the_end_token_is_named_where_the_reply_ended_too_soon() -> None:
    verdict = equals("Paris, France")(make_reply("Paris", pieces=["Paris"]))
    assert verdict.reason.endswith("\nthe token there: '<end>' 0.50, '~' 0.25")


def test_one_of() -> None:
    check = one_of("positive", "negative", "neutral")
    assert check(make_reply("negative")).reason == "the reply is 'negative'"
    verdict = check(make_reply("Negative."))
    assert verdict.reason == (
        "expected one of 3 texts and nothing else; nearest is 'negative': it differs at line 1, column 1: "
        "expected 'negative', got 'Negative.'\n"
        "Negative.\n"
        "^"
    )
    assert verdict.evidence == {"nearest": "negative"}
    ignoring = one_of("positive", "negative", ignore_case=True)
    assert repr(ignoring) == "one_of('positive', 'negative', ignore_case=True)"
    assert (
        "it differs at line 1, column 9: expected the end, got '.'"
        in ignoring(make_reply("Negative.")).reason
    )


@pytest.mark.parametrize("check", [equals("caf\u00e9"), one_of("caf\u00e9", "tea")])
def test_the_same_to_the_eye(check: Check) -> None:
    verdict = check(make_reply("cafe\u0301"))
    assert verdict.status is Status.FAILED
    assert verdict.reason.endswith(
        "\nit looks the same: one of the two has accents as characters of their own (Unicode NFD)"
    )


def test_the_nearest_of_long_texts_is_shown_in_short() -> None:
    reason = one_of("a" * 9000, "b" * 9000)(make_reply("c" * 9000)).reason
    assert max(map(len, reason.splitlines())) < 320


@given(TEXTS, TEXTS)
def test_equality_is_that_of_texts(one: str, other: str) -> None:
    assert (equals(one)(make_reply(other)).status is Status.PASSED) == (one == other)
    assert equals(one)(make_reply(one)).status is Status.PASSED
    assume(one != other)
    assert one_of(one, other)(make_reply(one)).status is Status.PASSED


@given(TEXTS, st.integers(0, 20), st.characters())
def test_one_letter_more_fails_there(text: str, place: int, letter: str) -> None:
    place = min(place, len(text))
    edited = text[:place] + letter + text[place:]
    for check in (equals(text), one_of(text, text + "two more")):
        assert check(make_reply(edited)).status is Status.FAILED


@given(TEXTS, st.sampled_from([" ", "\n", "\t  ", "\u00a0"]))
def test_what_is_ignored(text: str, space: str) -> None:
    spaced = space + space.join(text.split()) + space
    assert equals(text, ignore_space=True)(make_reply(spaced)).status is Status.PASSED
    assert equals(text, ignore_case=True)(make_reply(text.casefold())).status is Status.PASSED
    both = equals(text, ignore_case=True, ignore_space=True)
    assert both(make_reply(spaced.casefold())).status is Status.PASSED
    assert both(make_reply(spaced + "x")).status is Status.FAILED


def test_wrong_use() -> None:
    with pytest.raises(TypeError, match=r"^equals takes text, got int: 3$"):
        equals(3)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match=r"^one_of takes text, got list: \['a', 'b'\]$"):
        one_of(["a", "b"])  # type: ignore[arg-type]  # wrong on purpose
    for texts in ((), ("a",), ("a", "a")):
        with pytest.raises(ValueError, match=r"^one_of needs at least two different texts; equals\('text'\)"):
            one_of(*texts)


def test_values() -> None:
    assert equals("a") == equals("a") != equals("a", ignore_space=True)
    assert len({equals("a"), one_of("a", "b"), one_of("b", "a")}) == 3
    assert [check.name for check in (equals("a"), one_of("a", "b"))] == ["equals", "one_of"]
