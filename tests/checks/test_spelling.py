from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.checks.spelling import Spelling, common_length

TEXTS = st.text(st.sampled_from("aAßSİ \n\t.\u00a0") | st.characters(), max_size=20)


def test_example() -> None:
    spelling = Spelling(" Die\n\nStraße ", ignore_case=True, ignore_space=True)
    assert spelling.text == "die strasse"
    assert spelling.places == [1, 2, 3, 4, 6, 7, 8, 9, 10, 10, 11, 12 + 1]
    assert spelling.find("E  STRASS") == [3, 11]
    assert spelling.find("x") is None


@given(TEXTS, st.booleans(), st.booleans())
def test_every_character_has_its_place(text: str, ignore_case: bool, ignore_space: bool) -> None:
    spelling = Spelling(text, ignore_case=ignore_case, ignore_space=ignore_space)
    assert len(spelling.places) == len(spelling.text) + 1
    assert [*spelling.places] == sorted(spelling.places)
    for letter, place in zip(spelling.text, spelling.places, strict=False):
        original = text[place].casefold() if ignore_case else text[place]
        assert letter in original or (letter == " " and text[place].isspace())


@given(TEXTS, TEXTS, st.characters(), st.characters())
def test_common_length(common: str, rest: str, one: str, other: str) -> None:
    assert common_length(common, common + rest) == len(common)
    if one != other:
        assert common_length(common + one + rest, common + other + rest) == len(common)
