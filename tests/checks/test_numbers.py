from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck import mentions_numbers
from pytest_llmcheck.checks.numbers import Mark, numbers_in
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

MARKS = st.sampled_from([".", ","])
WORDS = st.sampled_from(["", "It costs ", "(", "€", "around ", "= ", "\n- "])
ENDS = st.sampled_from(["", ".", " km", "%", " %", ")", "!", ", and", "°", "th"])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234.5 or 1.234,5", "1234.5 1234.5"),
        ("1'234,567 1'234.5 1\u202f234 1\u00a0234 1_234 1{,}234", "1234.567 1234.5 1234 1234 1234 1234"),
        ("12,34,567 and 1.234.567,89", "1234567 1234567.89"),
        ("31,5 1234,567 1,2345", "31.5 1234.567 1.2345"),
        ("310 31.5 3.", "310 31.5 3"),
        ("-31 \u221231 5-10 (5)-10 - 5 \u20137 +5", "-31 -31 5 10 5 10 5 7 5"),
        ("12 % 12% $12 -$5.00 \u20ac-7 12kg 3D 5th", "12 12 12 -5.00 -7 12 3 5"),
        (
            "3e5 3E-5 3 x 10^5 3\u00d710\u2075 3 \\times 10^{-5} 2\u00b710\u207b\u00b2",
            "3e5 3e-5 3e5 3e5 3e-5 0.02",
        ),
        ("31.12.2024 2024-12-31 10:30 1/2 1.2.3", "31 12 2024 2024 12 31 10 30 1 2 1 2 3"),
        ("1,2,3 1,23,45 1.5,2.5", "1 2 3 1 23 45 1.5 2.5"),
        ("2\u00bd \u00bd 2 \u00bd \u2153", "2.5 0.5 2.5 0.333333333333"),
        ("H2O B31 v1.2 B31.5 x2 snake_5", ""),
        ("GPT-4 Nr.5 No. 7", "4 5 7"),
        ("\u67093\u4e2a", "3"),
        ("\u0663", "3"),
        (".05 p<.05 a.5 1..2", "0.05 0.05 5 1 2"),
        ("1e5kg 1e99999 12e 0x1F", "1 1 12 0"),
        ("10\u00b2 m\u00b2", "10"),
        ("", ""),
    ],
)
def test_numbers_of_a_text(text: str, numbers: str) -> None:
    assert [number.value for number in numbers_in(text)] == [Decimal(number) for number in numbers.split()]


@pytest.mark.parametrize(
    ("text", "with_point", "with_comma"),
    [
        ("1.234", "1.234", "1234"),
        ("1,234", "1234", "1.234"),
        ("1.234,5", "1234.5", "1234.5"),
        ("0,5", "0.5", "0.5"),
    ],
)
def test_the_mark_decides_only_what_can_be_read_in_two_ways(
    text: str, with_point: str, with_comma: str
) -> None:
    assert [number.value for number in numbers_in(text, ".")] == [Decimal(with_point)]
    assert [number.value for number in numbers_in(text, ",")] == [Decimal(with_comma)]


@given(
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**4 - 1),
    st.integers(0, 4),
    MARKS,
    st.booleans(),
    WORDS,
    ENDS,
)
def test_a_written_number_is_read(
    whole: int, fraction: int, places: int, mark: Mark, grouped: bool, before: str, after: str
) -> None:
    digits = f"{fraction:04}"[:places]
    value = Decimal(f"{whole}.{digits or 0}")
    written = f"{whole:,}" if grouped else str(whole)
    written = written.replace(",", "." if mark == "," else ",") + (mark + digits if digits else "")
    text = before + written + after
    (number,) = numbers_in(text, mark)
    assert number.value == value
    assert text[slice(*number.span)] == written
    # A digit more on either side is another number.
    for other in (f"{before}{written}7{after}", f"{before}{'-' * (whole < 0)}7{written.lstrip('-')}{after}"):
        assert value not in [number.value for number in numbers_in(other, mark)]


@given(st.text(max_size=30), MARKS)
def test_any_text(text: str, mark: Mark) -> None:
    numbers = numbers_in(text, mark)
    spans = [number.span for number in numbers]
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(number.value.is_finite() for number in numbers)


def test_all_are_mentioned() -> None:
    check = mentions_numbers([31, 4.5, Decimal("1e3")])
    verdict = check(make_reply("31 apples, 4.50 each, of 1,000."))
    assert (verdict.status, verdict.score) == (Status.PASSED, 1.0)
    assert verdict.check == "mentions_numbers([31, 4.5, 1E+3])"
    assert verdict.reason == "mentions 31, 4.5, 1E+3"
    assert verdict.evidence == {"span": [0, 2]}


def test_some_are_missing() -> None:
    verdict = mentions_numbers([31, 12, 5])(make_reply("310 of 12, that is 5-10 % of 31.5."))
    assert verdict.status is Status.FAILED
    assert verdict.score == pytest.approx(2 / 3)
    assert verdict.reason == (
        "expected the numbers 31, 12, 5; missing: 31\nnumbers in the reply: 310, 12, 5, 10, 31.5"
    )
    assert verdict.evidence == {"missing": ["31"], "numbers": ["310", "12", "5", "10", "31.5"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("none", "expected the number 12; there is no number in the reply"),
        ("12.5", "expected the number 12\nnumbers in the reply: 12.5"),
        (
            "Twelve of them.",
            "expected the number 12; there is no number in the reply\nit has 'twelve'; words are not read: "
            "any_of(..., contains('twelve')) takes that",
        ),
        (
            ", ".join(map(str, range(100, 120))),
            "expected the number 12\nnumbers in the reply: 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, "
            "110, 111, ...",
        ),
    ],
)
def test_one_is_missing(text: str, reason: str) -> None:
    assert mentions_numbers([12])(make_reply(text)).reason == reason


def test_the_other_mark_is_a_hint() -> None:
    verdict = mentions_numbers([1234])(make_reply("1.234 Euro"))
    assert verdict.reason == (
        "expected the number 1234\nnumbers in the reply: 1.234\n"
        "with decimal=',' it would mention more of them"
    )
    check = mentions_numbers([1234], decimal=",")
    assert repr(check) == "mentions_numbers([1234], decimal=',')"
    assert check(make_reply("1.234 Euro")).status is Status.PASSED


def test_tolerance() -> None:
    check = mentions_numbers([3.14159, 1e6], tolerance=0.01)
    assert repr(check) == "mentions_numbers([3.14159, 1000000.0], tolerance=0.01)"
    assert check(make_reply("3.14 and 1,005,000")).status is Status.PASSED
    assert check(make_reply("3.10 and 1,005,000")).score == 0.5
    assert mentions_numbers([0.1])(make_reply("0.10")).status is Status.PASSED
    assert mentions_numbers([0.1])(make_reply("0.1000000001")).status is Status.FAILED


def test_a_number_without_end_is_shown_in_short() -> None:
    assert mentions_numbers([1])(make_reply("7" * 5000)).reason == (
        f"expected the number 1\nnumbers in the reply: {'7' * 37}..."
    )


@pytest.mark.parametrize(
    ("numbers", "kind", "message"),
    [
        ([], ValueError, "mentions_numbers needs at least one number, such as [3, 4.5]"),
        ("12", TypeError, "mentions_numbers takes a list of numbers, such as [3, 4.5]; got '12'"),
        (12, TypeError, "mentions_numbers takes a list of numbers, such as [3, 4.5]; got 12"),
        (["12"], TypeError, "mentions_numbers takes numbers, got str: '12'"),
        ([True], TypeError, "mentions_numbers takes numbers, got bool: True"),
        ([float("nan")], ValueError, "mentions_numbers takes finite numbers, got nan"),
    ],
)
def test_wrong_numbers(numbers: list[float], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        mentions_numbers(numbers)
    assert str(caught.value) == message


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"^tolerance is a finite number of at least 0, got -1$"):
        mentions_numbers([1], tolerance=-1)
    with pytest.raises(TypeError, match=r"^tolerance is a finite number of at least 0, got '1'$"):
        mentions_numbers([1], tolerance="1")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match=r"^decimal is '\.' or ',', got ';'$"):
        mentions_numbers([1], decimal=";")  # type: ignore[arg-type]  # wrong on purpose
