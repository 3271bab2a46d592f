from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import Status, Verdict, contains, json_equals, json_field, matches, matches_schema, not_
from tests.support.replies import make_reply

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Model(pydantic.BaseModel):
    day: datetime.date
    kind: str = pydantic.Field("x", alias="type")


class Struct(msgspec.Struct, rename={"kind": "type"}):
    day: datetime.date
    kind: str


@dataclass
class Holder:
    held: Any


def judge(check: Any, text: str, pieces: list[str] | None = None) -> Verdict:
    verdict: Verdict = check(make_reply(text, pieces=pieces or []))
    return verdict


class TestEquals:
    @settings(max_examples=40, deadline=None)
    @given(values, st.sampled_from([None, 2]), st.booleans())
    def test_any_spelling_of_the_value_passes(self, value: Any, indent: int | None, sort: bool) -> None:
        verdict = judge(json_equals(value), json.dumps(value, indent=indent, sort_keys=sort))
        assert verdict == Verdict(Status.PASSED, repr(json_equals(value)), "the expected value", score=1.0)

    @settings(max_examples=40, deadline=None)
    @given(st.dictionaries(st.text(), st.integers(), min_size=1), st.data())
    def test_one_other_member_fails(self, value: dict[str, int], data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(value)))
        verdict = judge(json_equals(value), json.dumps({**value, key: "other"}))
        assert verdict.status is Status.FAILED
        assert verdict.score == pytest.approx(1 - 1 / len(value))
        assert len(verdict.evidence["errors"]) == 1

    def test_a_wrong_value(self) -> None:
        check = json_equals({"name": "Anna", "age": 31})
        verdict = judge(check, '{"name": "Anne", "age": 31}', ['{"name": "', "Ann", "e", '", "age": 31}'])
        assert verdict.reason == (
            'wrong value: $.name: expected "Anna", got "Anne" at line 1, column 10\n'
            '{"name": "Anne", "age": 31}\n'
            "         ^\n"
            "the token at line 1, column 14: 'e' 0.50, '~' 0.25"
        )
        assert verdict.score == 0.5
        assert verdict.check == 'json_equals({"name": "Anna", "age": 31})'
        assert verdict.evidence == {
            "level": "wrong value",
            "errors": [{"path": "$.name", "problem": 'expected "Anna", got "Anne"'}],
            "position": 9,
            "token": "'e' 0.50, '~' 0.25",
        }

    def test_instances_are_the_objects_that_they_are_written_as(self) -> None:
        day = datetime.date(2024, 5, 1)
        model, struct = Model(day=day, type="y"), Struct(day, "y")
        written = '{"type": "y", "day": "2024-05-01"}'
        for instance in (model, struct):
            assert judge(json_equals(instance), written).status is Status.PASSED
            assert judge(json_equals([Holder(instance)]), f'[{{"held": {written}}}]').status is Status.PASSED
            assert judge(json_field("$[0]", instance), f"[{written}]").status is Status.PASSED
            assert judge(json_equals(instance), written.replace("y", "z")).status is Status.FAILED
        with pytest.raises(
            ValueError, match=r"^json_equals: the expected value is no JSON value: Object of type "
        ):
            json_equals(Model)

    def test_a_json_text_for_the_value(self) -> None:
        assert judge(json_equals('{"a": 1}'), '{"a": 1}').reason == (
            'wrong value: $: expected "{\\"a\\": 1}", got {"a": 1} at line 1, column 1\n'
            '{"a": 1}\n^\n'
            "hint: a JSON text was given, which is a string; give the value, json.loads(...)"
        )
        assert judge(json_equals('{"a": 1}'), '"{\\"a\\": 1}"').status is Status.PASSED
        assert "hint" not in judge(json_equals("a"), '{"a": 1}').reason

    def test_several_places(self) -> None:
        verdict = judge(json_equals({"a": 1, "b": [1, 2]}), '{"b": [1],\n "c": 0}')
        assert verdict.reason == (
            "wrong value in 3 places\n"
            "$.a: expected 1, got nothing at line 2, column 8\n"
            ' "c": 0}\n'
            "       ^\n"
            "$.b[1]: expected 2, got nothing at line 1, column 9\n"
            "$.c: expected nothing, got 0 at line 2, column 2"
        )
        assert verdict.score == 1 / 4

    def test_at_most_five_are_shown(self) -> None:
        verdict = judge(json_equals(list(range(8))), json.dumps(list("abcdefgh")))
        assert verdict.reason.splitlines()[-1] == "and 3 more"
        assert len(verdict.evidence["errors"]) == 8
        assert verdict.score == 0

    def test_ignore_and_tolerance(self) -> None:
        check = json_equals({"id": 1, "x": [{"p": 2.0}]}, ignore=["$.id"], tolerance=0.01)
        assert judge(check, '{"id": 7, "x": [{"p": 2.01}]}').status is Status.PASSED
        assert judge(check, '{"x": [{"p": 2.01}]}').status is Status.PASSED
        assert judge(check, '{"x": [{"p": 2.1}]}').status is Status.FAILED
        assert repr(check) == ('json_equals({"id": 1, "x": [{"p": 2.0}]}, ignore=[\'$.id\'], tolerance=0.01)')

    def test_levels(self) -> None:
        assert judge(json_equals(1), "one").evidence["level"] == "not JSON"
        verdict = json_equals(1)(make_reply("1", finish_reason="length"))
        assert verdict.evidence == {"level": "cut off", "finish_reason": "length"}
        assert judge(json_equals([1]), "[1,]").reason.splitlines()[-1] == (
            "hint: but for a comma before the closing bracket (line 1, column 3) it would be JSON of the "
            "expected value"
        )

    def test_taken_out(self) -> None:
        verdict = judge(json_equals([1], extract="first"), "So: [1].")
        assert (
            verdict.reason == "the expected value (taken out of the text around it: characters 4 to 7 of 8)"
        )
        assert verdict.evidence == {"extracted": "the text around it", "span": [4, 7]}

    @pytest.mark.parametrize("depth", [300, 900, 2_000, 100_000])
    def test_deep_nesting_is_a_failure_and_no_crash(self, depth: int) -> None:
        deep = "[" * depth + "]" * depth
        for check in (json_equals([[1]]), json_field("$[0]", [1]), json_field("$[*]", contains("1"))):
            assert judge(check, deep).status is Status.FAILED

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            (
                {"expected": {1, 2}},
                "json_equals: the expected value is no JSON value: Object of type set is not",
            ),
            (
                {"expected": float("nan")},
                "json_equals: the expected value is no JSON value: Out of range float",
            ),
            ({"expected": 1, "ignore": "$.a"}, r"ignore takes a list of paths: ignore=\['\$\.a'\]"),
            (
                {"expected": 1, "ignore": ["a"]},
                r"'a' is no path that is known here \(did you mean '\$\.a'\?\); known forms",
            ),
            ({"expected": 1, "tolerance": -1}, "tolerance is a finite number of at least 0, got -1"),
            ({"expected": 1, "extract": "all"}, "json_equals: extract='all': known: fence, first, strict"),
        ],
    )
    def test_refused(self, given: dict[str, Any], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            json_equals(**given)

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"ignore": [3]}, "a path is a text such as .*, got 3"),
            ({"tolerance": "0.1"}, "tolerance is a finite number of at least 0, got '0.1'"),
            ({"tolerance": True}, "tolerance is a finite number of at least 0, got True"),
        ],
    )
    def test_of_a_wrong_type(self, given: dict[str, Any], why: str) -> None:
        with pytest.raises(TypeError, match=why):
            json_equals(1, **given)


class TestField:
    @settings(max_examples=40, deadline=None)
    @given(values, st.text())
    def test_a_member_is_its_value(self, value: Any, key: str) -> None:
        text = json.dumps({"k": [value], "other": 1})
        assert judge(json_field("$.k[0]", value), text).status is Status.PASSED
        assert judge(json_field("$.k", [value]), text).status is Status.PASSED
        assert judge(json_field("$.k[0]", [value]), text).status is Status.FAILED

    def test_a_text_is_judged_as_a_text_and_all_else_as_its_json(self) -> None:
        text = '{"s": "a \\"b\\"", "n": 1.50, "o": {"x": [1,  2]}}'
        assert judge(json_field("$.s", matches(r'\Aa "b"\Z')), text).status is Status.PASSED
        assert judge(json_field("$.n", matches(r"\A1\.50\Z")), text).status is Status.PASSED
        assert judge(json_field("$.o", matches(r'\A\{"x": \[1,  2\]\}\Z')), text).status is Status.PASSED

    def test_checks_of_json_judge_the_value(self) -> None:
        text = '{"email": "a@b.de", "n": 1, "json": "{\\"a\\": 1}"}'
        email = {"type": "string", "format": "email"}
        for holds in (
            json_field("$.email", matches_schema(email)),
            json_field("$.email", json_equals("a@b.de")),
            json_field("$.email", json_field("$", contains("@"))),
            json_field("$.n", matches_schema({"type": "integer"})),
            # What stands in a string is a text.
            json_field("$.json", matches_schema({"type": "string"})),
            json_field("$.json", not_(json_equals({"a": 1}))),
        ):
            assert judge(holds, text).status is Status.PASSED
        # Else this would pass, the bare text being no JSON at all.
        assert judge(json_field("$.email", not_(matches_schema(email))), text).status is Status.FAILED
        verdict = judge(json_field("$.email", matches_schema({"type": "integer"})), text)
        assert verdict.reason == (
            '$.email: wrong schema: $: expected integer, got "a@b.de" at line 1, column 1\n'
            '"a@b.de"\n^\n'
            'the field is "a@b.de" at line 1, column 11'
        )

    def test_a_check_that_fails(self) -> None:
        check = json_field("$.note", contains("refund"))
        verdict = judge(check, '{"note": "No."}', ['{"note": "', "No", '."}'])
        assert verdict.status is Status.FAILED
        assert verdict.reason.splitlines()[0].startswith(
            "$.note: expected the text in the reply; missing: 'refund'"
        )
        assert verdict.reason.splitlines()[-1] == (
            "the field is \"No.\" at line 1, column 10; its first token: 'No' 0.50, '~' 0.25"
        )
        assert verdict.check == "json_field('$.note', contains('refund'))"

    def test_a_value_that_is_another(self) -> None:
        verdict = judge(json_field("$.n", 2), '{"n": 1}')
        assert verdict.reason == '$.n: expected 2, got 1 at line 1, column 7\n{"n": 1}\n      ^'
        assert (verdict.score, verdict.check) == (0.0, "json_field('$.n', 2)")

    def test_all_places_must_hold(self) -> None:
        check = json_field("$.items[*].price", matches(r"\A\d+\Z"))
        assert judge(check, '{"items": [{"price": 1}, {"price": 22}]}').reason == "it holds at all 2 places"
        verdict = judge(check, '{"items": [{"price": 1}, {"price": 2.5}]}')
        assert (verdict.status, verdict.score) == (Status.FAILED, 0.5)
        assert [error["path"] for error in verdict.evidence["errors"]] == ["$.items[1].price"]

    def test_no_such_field(self) -> None:
        verdict = judge(json_field("$.items[*].price", 1), '{"items": [{"cost": 1}]}')
        assert verdict.reason == (
            'expected a value at $.items[*].price, there is none in {"items": [{"cost": 1}]}\n'
            '{"items": [{"cost": 1}]}\n'
            "                     ^"
        )
        assert judge(json_field("$.items[*]", 1), '{"items": []}').status is Status.FAILED

    def test_the_whole_value(self) -> None:
        assert judge(json_field("$", [1]), "[1]").status is Status.PASSED

    def test_levels_and_extraction(self) -> None:
        assert judge(json_field("$.a", 1), "a").evidence["level"] == "not JSON"
        verdict = judge(json_field("$.a", 1, extract="first"), 'So {"a": 1}')
        assert verdict.reason == "it holds (taken out of the text around it: characters 3 to 11 of 11)"
        failed = judge(json_field("$.a", 2, extract="first"), 'So {"a": 1}')
        assert failed.reason.splitlines()[-1] == (
            "the JSON was taken out of the text around it: characters 3 to 11 of 11"
        )

    def test_undecided_stays_undecided(self) -> None:
        class Unsure:
            name = "unsure"

            def __call__(self, reply: object) -> Verdict:
                return Verdict(Status.INCONCLUSIVE, "unsure()", "cannot say")

        verdict = judge(json_field("$.a", Unsure()), '{"a": 1}')
        assert (verdict.status, verdict.score) == (Status.INCONCLUSIVE, None)

    @pytest.mark.parametrize(
        ("path", "value", "why"),
        [
            ("[0]", 1, r"^json_field: '\[0\]' is no path that is known here \(did you mean '\$\[0\]'\?\); "),
            (
                "$.a",
                object(),
                "^json_field: the expected value is no JSON value: Object of type object is not",
            ),
        ],
    )
    def test_refused(self, path: str, value: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            json_field(path, value)

    @pytest.mark.parametrize(
        ("path", "value", "why"),
        [
            (3, 1, r"^json_field: a path is a text such as '\$\.items\[0\]\.id', got 3$"),
        ],
    )
    def test_of_a_wrong_type(self, path: Any, value: Any, why: str) -> None:
        with pytest.raises(TypeError, match=why):
            json_field(path, value)
