from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmcheck.snapshots.naming import LIMIT, baseline_name


@pytest.mark.parametrize(
    ("test_name", "index", "name"),
    [
        ("test_ticket", 1, "test_ticket"),
        ("test_ticket", 2, "test_ticket.2"),
        ("test_ticket", "second", "test_ticket.second"),
        ("test_ticket[de-1]", 1, "test_ticket[de-1]"),
        ("test_ticket[0.5]", 1, "test_ticket[0.5]"),
    ],
)
def test_harmless_names_stand_as_they_are(test_name: str, index: int | str, name: str) -> None:
    assert baseline_name(test_name, index) == name


@pytest.mark.parametrize(
    ("test_name", "index", "readable"),
    [
        ("TestA.test_x", 1, "TestA.test_x"),
        ("test_x[a/b: c]", 1, "test_x[a_b_c]"),
        ("test_x", "2", "test_x.2"),
        ("cases.test_x", 1, "cases.test_x"),
        ("con", 1, "_con"),
        ("nul.x", 3, "_nul.x.3"),
        (".hidden", 1, "_.hidden"),
        ("", 1, "_"),
    ],
)
def test_other_names_stay_readable_and_get_a_hash(test_name: str, index: int | str, readable: str) -> None:
    assert re.fullmatch(re.escape(readable) + "~[0-9a-f]{8}", baseline_name(test_name, index))


def test_snapshots_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1, not 0"):
        baseline_name("test_x", 0)


# Few characters, so that Hypothesis meets what is nearly equal.
NAMES = st.text("abAB.2~_[]-/\xe9", max_size=6) | st.text()
INDICES = st.integers(1, 30) | NAMES
PLACES = st.tuples(NAMES, INDICES)


@given(PLACES, PLACES)
@example(("test_x", 2), ("test_x", "2"))
@example(("test_x.2", 1), ("test_x", 2))
@example(("test_x", "a.b"), ("test_x.a", "b"))
@example(("test_x", 1), ("test_X", 1))
@example(("test_x", ""), ("test_x", 1))
def test_distinct_places_never_share_a_file(one: tuple[str, int | str], other: tuple[str, int | str]) -> None:
    if one != other:
        assert baseline_name(*one).casefold() != baseline_name(*other).casefold()


@given(PLACES | st.tuples(st.text(min_size=90), INDICES))
def test_every_file_system_takes_the_name(place: tuple[str, int | str]) -> None:
    name = baseline_name(*place)
    assert name == baseline_name(*place)
    assert 0 < len(name.encode("ascii")) <= LIMIT
    assert not set(name) & set('<>:"/\\|?* \0')
    assert not name.startswith((".", "-"))
    assert name.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
