from __future__ import annotations

import json as jsonlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.snapshots import Baseline, Comparator, Difference, SnapshotError, json, text
from pytest_llmcheck.snapshots.comparators import comparator


def differ(judge: Comparator, expected: str, received: str) -> tuple[str, ...]:
    found = judge.compare(Baseline(expected), Baseline(received))
    return found.lines if found else ()


def values(expected: Any, received: Any, **options: Any) -> tuple[str, ...]:
    return differ(json(**options), jsonlib.dumps(expected), jsonlib.dumps(received))


class TestText:
    def test_the_first_difference_is_shown_in_its_line(self) -> None:
        expected = "Dear customer,\nrefunds take 30 days.\nBye"
        received = "Dear customer,\nrefunds take 14 days.\nBye"
        assert differ(text(), expected, received) == (
            "first difference in line 2, column 14:",
            "  expected: refunds take 30 days.\\n",
            "  received: refunds take 14 days.\\n",
            "                         ^",
        )

    def test_long_lines_are_cut_around_it(self) -> None:
        line = "word " * 30
        assert differ(text(), line + "30" + line, line + "14" + line) == (
            "first difference in line 1, column 151:",
            f"  expected: ...{line[-24:]}30{line[:38]}...",
            f"  received: ...{line[-24:]}14{line[:38]}...",
            "                                       ^",
        )

    @pytest.mark.parametrize(
        ("expected", "received", "shown"),
        [
            ("a", "a\n", ("a<end>", "a\\n")),
            ("a\r\nb", "a\nb", ("a\\r\\n", "a\\n")),
            ("", "\x1b[31mred", ("<end>", "\\x1b[31mred")),
            ("a\u2028", "a ", ("a\\u2028", "a ")),
        ],
    )
    def test_nothing_invisible_hides(self, expected: str, received: str, shown: tuple[str, str]) -> None:
        lines = differ(text(), expected, received)
        assert lines[1:3] == (f"  expected: {shown[0]}", f"  received: {shown[1]}")

    @given(st.text(), st.text())
    def test_only_equal_bodies_are_equal(self, one: str, other: str) -> None:
        assert (differ(text(), one, other) == ()) is (one == other)

    def test_the_details_are_a_unified_diff(self) -> None:
        found = text().compare(Baseline("a\nb\r\n"), Baseline("a\nb\n"))
        assert found is not None
        assert found.details == "--- expected\n+++ received\n@@ -1,3 +1,3 @@\n a\n-b\\r\n+b\n "


class TestJson:
    def test_order_and_spelling_do_not_matter(self) -> None:
        assert differ(json(), '{"a": 1, "b": "\\u00e9"}', '{"b":"\xe9",\n"a":1.0}') == ()

    def test_each_difference_names_its_path(self) -> None:
        expected = {"priority": "high", "tags": ["a", "b"], "gone": None, "odd key": 1}
        received = {"priority": "low", "tags": ["a"], "odd key": "1", "new": {}}
        assert values(expected, received) == (
            '$.priority: expected "high", got "low"',
            '$.tags[1]: expected "b", got nothing',
            "$.gone: expected null, got nothing",
            "$['odd key']: expected 1, got \"1\"",
            "$.new: expected nothing, got {}",
        )

    def test_five_are_spelled_out(self) -> None:
        found = json().compare(Baseline("[1,2,3,4,5,6,7]"), Baseline("[0,0,0,0,0,0,0]"))
        assert found is not None
        assert (len(found.lines), found.more) == (5, 2)

    def test_long_values_are_cut(self) -> None:
        assert values(["x" * 60], [1]) == (f'$[0]: expected "{"x" * 35} ..., got 1',)

    @pytest.mark.parametrize(
        ("one", "other"), [(True, 1), (0, False), (None, 0), ("1", 1), ([], {}), ("", None)]
    )
    def test_types_are_not_mixed(self, one: object, other: object) -> None:
        assert values([one], [other])

    @pytest.mark.parametrize(
        ("one", "other", "tolerance", "equal"),
        [
            (1, 1.0, 0, True),
            (1.0, 1.0 + 1e-9, 0, False),
            (0.0, 1e-7, 1e-6, True),
            (0.0, 1e-5, 1e-6, False),
            (1e9, 1e9 + 100, 1e-6, True),
            (1e9, 1e9 + 1e4, 1e-6, False),
            (10**400, 10**400, 1e-6, True),
            (10**400, 10**400 + 1, 1e-6, False),
        ],
    )
    def test_the_tolerance_is_absolute_below_one_and_relative_above(
        self, one: float, other: float, tolerance: float, equal: bool
    ) -> None:
        assert (values(one, other, tolerance=tolerance) == ()) is equal
        assert (values(other, one, tolerance=tolerance) == ()) is equal

    @pytest.mark.parametrize(
        "ignore", ["$.items[*].id", "$['items'][*][\"id\"]", "$.items[0].id", "$.items[*]", "$[*]", "$.items"]
    )
    def test_ignored_paths_are_left_out(self, ignore: str) -> None:
        assert values({"items": [{"id": 1}]}, {"items": [{"id": 2}]}, ignore=[ignore]) == ()
        assert values({"items": [{"id": 1}]}, {"items": [{}]}, ignore=[ignore]) == ()

    @pytest.mark.parametrize("ignore", ["$.items[1].id", "$.items[*]['0']", "$.id", "$.items[*][*][*]"])
    def test_other_paths_are_not(self, ignore: str) -> None:
        assert values({"items": [{"id": 1}]}, {"items": [{"id": 2}]}, ignore=[ignore])

    @pytest.mark.parametrize(
        "path", ["", "id", "$id", "$.", "$..id", "$.a[", "$.a[-1]", "$.a[0:2]", "$.a[?@.b]", "$.a b", "$.1"]
    )
    def test_other_forms_are_refused_with_the_known_ones(self, path: str) -> None:
        with pytest.raises(
            ValueError, match=r"is no path that .* known forms: \$\.key, \$\['key'\], \$\.list\[0\]"
        ):
            json(ignore=[path])

    def test_ignoring_everything_is_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing is compared"):
            json(ignore=["$"])

    @pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
    def test_a_senseless_tolerance_is_refused(self, tolerance: float) -> None:
        with pytest.raises(ValueError, match="finite number of at least 0"):
            json(tolerance=tolerance)

    def test_one_path_alone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="takes a list of paths"):
            json(ignore="$.id")

    @pytest.mark.parametrize(
        ("expected", "received", "line"),
        [
            (
                "{",
                "{}",
                "the baseline is not JSON: expected a key in double quotes at line 1, column 2: its end",
            ),
            (
                "{}",
                '{"a":\n oops}',
                "the reply is not JSON: expected a JSON value at line 2, column 2: oops}",
            ),
            ("{}", "", "the reply is not JSON: expected a JSON value at line 1, column 1: its end"),
            ("{}", "NaN", "the reply is not JSON: NaN, which JSON does not have at line 1, column 1: NaN"),
            ("{}", "9" * 5000, "the reply is not JSON: a number of more than 4300 digits at "),
            ("{}", '{"a": 1, "a": 1}', "the reply is not JSON: the key 'a' occurs twice in one object at "),
            ("{}", "1e999", "the reply is not JSON: the number 1e999 is beyond what a double can hold at "),
        ],
    )
    def test_which_side_is_not_json_and_where(self, expected: str, received: str, line: str) -> None:
        (told,) = differ(json(), expected, received)
        assert told.startswith(line)

    @pytest.mark.parametrize("depth", [600, 100_000])
    def test_deep_nesting_is_a_difference_and_no_crash(self, depth: int) -> None:
        deep = "[" * depth + "]" * depth
        assert len(differ(json(), deep, "[" + deep + "]")) == 1

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
        )
    )
    def test_a_value_equals_itself(self, value: object) -> None:
        assert values(value, value) == ()


class TestAsked:
    @pytest.mark.parametrize("asked", ["json", json, json()])
    def test_by_name_or_itself(self, asked: Any) -> None:
        assert comparator(asked).name == "json"

    def test_ones_own(self) -> None:
        class Length:
            name = "length"

            def compare(self, expected: Baseline, received: Baseline) -> Difference | None:
                return None if len(expected.body) == len(received.body) else Difference(("other length",))

        assert comparator(Length).name == comparator(Length()).name == "length"

    @pytest.mark.parametrize("name", ["tokens", "shape", "distribution", "checks"])
    def test_a_promised_one_is_not_built_yet(self, name: str) -> None:
        with pytest.raises(SnapshotError, match=f"compare='{name}' is not built yet; built: json, text"):
            comparator(name)

    def test_an_unknown_one_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(SnapshotError, match=r"compare='jsn' is no comparator; did you mean 'json'\?"):
            comparator("jsn")

    def test_what_is_no_comparator_is_refused(self) -> None:
        with pytest.raises(TypeError, match="neither a name nor an object with `name` and `compare`"):
            comparator(3)  # type: ignore[arg-type]  # wrong on purpose
