from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.json_places import place_of
from pytest_llmcheck.json_values import (
    ANY,
    NOTHING,
    Comparison,
    JsonPath,
    Mismatch,
    at,
    brief,
    leaves,
    paths,
    spell,
)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


def everywhere(value: Any) -> list[tuple[str | int, ...]]:
    """All places of a value, its own included."""
    held = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((step, *place) for step, inner in held for place in everywhere(inner))]


class TestPaths:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.text() | st.integers(0, 99)))
    def test_a_spelled_place_is_a_path_to_it(self, steps: list[str | int]) -> None:
        spelled = spell(steps)
        assert JsonPath.parse(spelled) == JsonPath(tuple(steps))
        assert spelled.isprintable()

    @pytest.mark.parametrize(
        ("steps", "spelled"),
        [
            ((), "$"),
            (("a", 0, "b c"), "$.a[0]['b c']"),
            (("it's",), r"$['it\'s']"),
            (('"',), "$['\"']"),
            (("\n\\",), r"$['\n\\']"),
            (("ä", "1"), "$.ä['1']"),
        ],
    )
    def test_spelling(self, steps: tuple[str | int, ...], spelled: str) -> None:
        assert spell(steps) == spelled

    def test_places(self) -> None:
        value = {"a": [{"b": 1}, {"c": 2}, {"b": 3}], "0": "x"}
        assert JsonPath.parse("$.a[*].b").places(value) == [("a", 0, "b"), ("a", 2, "b")]
        assert JsonPath.parse("$[*]").places(value) == [("a",), ("0",)]
        assert JsonPath.parse("$[0]").places(value) == []
        assert JsonPath.parse("$['0']").steps == ("0",)
        assert JsonPath.parse('$[*]["k"]').steps == (ANY, "k")

    @pytest.mark.parametrize(
        ("path", "rest"),
        [("$.", "."), ("$..a", "..a"), ("$[-1]", "[-1]"), (r"$.a['\x']", r"['\x']"), ("$ .a", " .a")],
    )
    def test_other_forms_are_refused(self, path: str, rest: str) -> None:
        with pytest.raises(ValueError, match="is no path that is known here") as error:
            JsonPath.parse(path)
        assert str(error.value) == (
            f"{path!r} is no path that is known here from {rest!r} on; "
            "known forms: $.key, $['key'], $.list[0], $.list[*].key"
        )

    def test_ignored_ones(self) -> None:
        assert paths(["$.a"], "ignore") == (JsonPath(("a",)),)
        with pytest.raises(ValueError, match=r"^'\$' ignores the whole value, so nothing is compared"):
            paths(["$"], "ignore")
        with pytest.raises(ValueError, match=r"^ignore takes a list of paths: ignore=\['\$\.a'\]$"):
            paths("$.a", "ignore")


class TestComparison:
    @settings(max_examples=40, deadline=None)
    @given(values)
    def test_a_value_equals_itself(self, value: Any) -> None:
        comparison = Comparison().of(value, json.loads(json.dumps(value)))
        assert (comparison.found, comparison.right, comparison.share) == ([], leaves(value), 1.0)

    @settings(max_examples=40, deadline=None)
    @given(values, st.data())
    def test_one_other_leaf_is_found(self, value: Any, data: st.DataObject) -> None:
        ends = [place for place in everywhere(value) if not isinstance(at(value, place), dict | list)]
        if not ends:
            return
        place = data.draw(st.sampled_from(ends))
        other = json.loads(json.dumps(value))
        if place:
            at(other, place[:-1])[place[-1]] = [["other"]]
        else:
            other = [["other"]]
        comparison = Comparison().of(value, other)
        assert comparison.found == [Mismatch(place, at(value, place), [["other"]])]
        assert comparison.share == (leaves(value) - 1) / leaves(value)
        if place:
            assert Comparison((JsonPath(place),)).of(value, other).found == []

    def test_missing_and_further_parts_count_as_wrong(self) -> None:
        comparison = Comparison().of({"a": 1, "b": [1, 2]}, {"a": 1, "c": 3})
        assert comparison.found == [Mismatch(("b",), [1, 2], NOTHING), Mismatch(("c",), NOTHING, 3)]
        assert comparison.share == 1 / 4
        assert [str(one) for one in comparison.found] == [
            "expected [1, 2], got nothing",
            "expected nothing, got 3",
        ]

    @pytest.mark.parametrize(
        ("expected", "received", "tolerance", "equal"),
        [
            (1, 1.0, 0.0, True),
            (1, True, 1.0, False),
            (0.5, 0.6, 0.1, True),
            (1000, 1099, 0.1, True),
            (1000, 1200, 0.1, False),
            (10**400, 10**400 + 1, 0.1, False),
            ("1", 1, 1.0, False),
        ],
    )
    def test_numbers(self, expected: Any, received: Any, tolerance: float, equal: bool) -> None:
        assert (not Comparison(tolerance=tolerance).of(expected, received).found) is equal

    def test_brief(self) -> None:
        assert brief("x" * 100) == '"' + "x" * 35 + " ..."
        assert brief(NOTHING) == "nothing"


class TestPlaces:
    @settings(max_examples=40, deadline=None)
    @given(values, st.sampled_from([None, 1]), st.booleans(), st.text(alphabet=" \n\t\r"))
    def test_what_stands_there_is_the_part(
        self, value: Any, indent: int | None, ascii_only: bool, before: str
    ) -> None:
        text = f"{before}{json.dumps(value, indent=indent, ensure_ascii=ascii_only)}{before}"
        for steps in everywhere(value):
            place = place_of(text, steps)
            assert place is not None
            assert json.loads(text[place.begin : place.end]) == at(value, steps)
            assert text[place.begin] not in " \n\t\r"
            if steps and isinstance(steps[-1], str):
                assert place.key is not None
                assert json.JSONDecoder().raw_decode(text, place.key)[0] == steps[-1]

    def test_in_the_middle_of_a_text(self) -> None:
        text = 'So: {"a" : [ 1 ,{ "b":2}] } ok'
        place = place_of(text, ("a", 1, "b"), 4)
        assert place is not None
        assert (place.key, place.begin, place.end) == (18, 22, 23)

    @pytest.mark.parametrize("steps", [("b",), ("a", 2), ("a", "0"), ("a", 0, 0), (0,), (True,)])
    def test_no_such_part(self, steps: tuple[str | int, ...]) -> None:
        assert place_of('{"a": [1, 2]}', steps) is None

    def test_nested_too_deeply(self) -> None:
        assert place_of("[" * 100_000 + "]" * 100_000, ()) is None
