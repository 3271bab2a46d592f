from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_llmcheck.checks import matches_schema
from pytest_llmcheck.checks.schema import MatchesSchema
from pytest_llmcheck.verdict import Status, Verdict

TICKET: dict[str, Any] = {
    "type": "object",
    "properties": {
        "priority": {"enum": ["low", "high"]},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        "due": {"type": "string", "format": "date"},
    },
    "required": ["priority"],
    "additionalProperties": False,
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@dataclass(frozen=True)
class Said:
    text: str
    finish_reason: str = "stop"


def judge(schema: Any, text: str, finish_reason: str = "stop") -> Verdict:
    return matches_schema(schema)(Said(text, finish_reason))


def reason(schema: Any, text: str) -> str:
    verdict = judge(schema, text)
    assert verdict.status is Status.FAILED
    return verdict.reason


TAKES = "a JSON Schema: a dict, its JSON text, the path of a JSON file, or a type such as a dataclass"


def refused(schema: Any) -> str:
    with pytest.raises(ValueError, match=r"^matches_schema: ") as caught:
        matches_schema(schema)
    return str(caught.value).removeprefix("matches_schema: ")


class TestLaws:
    @settings(max_examples=40, deadline=None)
    @given(values, st.sampled_from([None, 1]), st.booleans())
    def test_any_json_value_is_json(self, value: Any, indent: int | None, ascii_only: bool) -> None:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        assert judge({}, text).status is Status.PASSED
        assert judge({"const": value}, text).status is Status.PASSED
        assert judge(False, text).status is Status.FAILED

    @settings(max_examples=40, deadline=None)
    @given(st.text())
    def test_never_raises_on_a_text(self, text: str) -> None:
        verdict = judge({}, text)
        if verdict.status is Status.FAILED:
            assert verdict.evidence["level"] == "not JSON"
        else:
            json.loads(text)

    @settings(max_examples=40, deadline=None)
    @given(st.text(), st.sampled_from(sorted(Draft202012Validator.FORMAT_CHECKER.checkers)))
    def test_never_raises_on_a_format(self, text: str, kind: str) -> None:
        judge({"format": kind}, json.dumps(text))


class TestLevels:
    def test_passed(self) -> None:
        assert judge({}, " 1\n") == Verdict(
            Status.PASSED, "matches_schema({})", "JSON of the schema", score=1.0
        )

    def test_cut_off_comes_first(self) -> None:
        verdict = judge(TICKET, '{"priority": "low"}', "length")
        assert verdict.reason.startswith(
            "cut off, so its JSON was not judged; it was cut at max_tokens: raise"
        )
        assert verdict.evidence == {"level": "cut off", "finish_reason": "length"}

    def test_not_json_comes_before_the_schema(self) -> None:
        verdict = judge(TICKET, '{"priority": "lo",}')
        assert verdict.evidence["level"] == "not JSON"
        assert verdict.evidence["position"] == 18

    def test_wrong_schema(self) -> None:
        verdict = judge(TICKET, '{"priority": "urgent"}')
        assert verdict.reason == (
            'wrong schema: $.priority: expected one of "low", "high", got "urgent" at line 1, column 14\n'
            '{"priority": "urgent"}\n'
            "             ^"
        )
        assert (verdict.status, verdict.score) == (Status.FAILED, 0.0)
        assert verdict.evidence == {
            "level": "wrong schema",
            "errors": [
                {"path": "$.priority", "problem": 'expected one of "low", "high", got "urgent"'},
            ],
            "position": 13,
        }


class TestNotJSON:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "not JSON: expected a JSON value, the reply is empty"),
            (" \n", "not JSON: expected a JSON value, the reply is empty"),
            (
                '{"a": 1,\n "b" 2}',
                "not JSON: expected ':' after the key at line 2, column 6\n \"b\" 2}\n     ^\n"
                "hint: but for a missing colon (line 2, column 5) it would be JSON of the schema",
            ),
            ("Sure!", "not JSON: expected a JSON value at line 1, column 1\nSure!\n^"),
            (
                "{} ok",
                "not JSON: more text after the JSON value at line 1, column 4\n{} ok\n   ^\n"
                "hint: there is JSON in the text; ask in the prompt for JSON and nothing else, or take it "
                "out with extract='first'",
            ),
            (
                '"\t"',
                'not JSON: a control character inside a string at line 1, column 2\n"·"\n ^\n'
                "hint: but for a line break inside a string (line 1, column 2) it would be JSON of the "
                "schema",
            ),
            (
                "\ufeff1",
                "not JSON: a byte order mark at line 1, column 1\n·1\n^\n"
                "hint: but for a byte order mark (line 1, column 1) it would be JSON of the schema",
            ),
            (
                '{"NaN": [NaN]}',
                'not JSON: NaN, which JSON does not have at line 1, column 10\n{"NaN": [NaN]}\n         ^\n'
                "hint: but for NaN instead of null (line 1, column 10) it would be JSON of the schema",
            ),
            ("-Infinity", "not JSON: -Infinity, which JSON does not have at line 1, column 1\n-Infinity\n^"),
            (
                "[-1e999]",
                "not JSON: the number -1e999 is beyond what a double can hold at line 1, column 2\n"
                "[-1e999]\n ^",
            ),
            (
                '{"a": {"b": 1}, "c": {"b": 1, "\\u0062": 2}}',
                "not JSON: the key 'b' occurs twice in one object at line 1, column 31\n"
                '{"a": {"b": 1}, "c": {"b": 1, "\\u0062": 2}}\n'
                "                              ^",
            ),
        ],
    )
    def test_points_into_the_text(self, text: str, expected: str) -> None:
        assert reason({}, text) == expected

    def test_a_long_line_is_cut_around_the_place(self) -> None:
        assert reason({}, f"[{'1, ' * 100}oops{', 1' * 100}]") == (
            "not JSON: expected a JSON value at line 1, column 302\n"
            " 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, oops, 1, 1, 1, 1, 1, 1, 1, 1, \n"
            "                                        ^"
        )

    def test_limits_of_the_reader(self) -> None:
        assert reason({}, "[" * 100_000).startswith(
            "not JSON: nested too deeply to be read at line 1, column 1\n"
        )
        assert reason({}, "[1, " + "1" * 5000 + "]").startswith(
            "not JSON: a number of more than 4300 digits at line 1, column 5\n"
        )

    def test_json_in_a_fence_is_a_hint_and_not_the_verdict(self) -> None:
        assert reason({}, 'Here:\n```json\n{"a": 1}\n```\n') == (
            "not JSON: expected a JSON value at line 1, column 1\nHere:\n^\n"
            "hint: there is JSON inside a ``` fence; ask in the prompt for JSON without one, or take it out "
            "with extract='fence'"
        )
        assert "hint" not in reason({}, "```python\nprint()\n```")


class TestWrongSchema:
    def test_all_places_sorted_by_path(self) -> None:
        text = '{"tags": [{"id": 1}, {"id": "x"}], "due": "soon", "extra": null}'
        assert reason(TICKET, text) == (
            "wrong schema in 4 places\n"
            "$: 'priority' is missing at line 1, column 64\n"
            'id": "x"}], "due": "soon", "extra": null}\n'
            "                                        ^\n"
            "$: expected no key but priority, tags, due; got extra at line 1, column 51\n"
            '$.due: expected a string of format date, got "soon" at line 1, column 43\n'
            '$.tags[1].id: expected integer, got "x" at line 1, column 29'
        )

    def test_at_most_five(self) -> None:
        schema = {"items": {"type": ["integer", "null"]}}
        verdict = judge(schema, json.dumps([0, *"abcdefghijkl"]))
        told = verdict.reason.splitlines()
        assert told[0] == "wrong schema in 12 places"
        assert [*told[1:2], *told[4:]] == [
            *(
                f'$[{n}]: expected integer or null, got "{letter}" at line 1, column {5 * n}'
                for n, letter in enumerate("abcde", 1)
            ),
            "and 7 more",
        ]
        assert verdict.score == pytest.approx(1 / 13)
        assert len(verdict.evidence["errors"]) == 12

    @pytest.mark.parametrize(
        ("schema", "text", "expected"),
        [
            ({"const": "ä"}, "1", '$: expected "ä", got 1'),
            ({"pattern": "^a"}, '"b"', "$: expected a match of the pattern '^a', got \"b\""),
            ({"minimum": 3}, "2", "$: expected at least 3, got 2"),
            ({"exclusiveMaximum": 2}, "2", "$: expected less than 2, got 2"),
            ({"multipleOf": 2}, "3", "$: expected a multiple of 2, got 3"),
            ({"maxLength": 1}, '"ab"', '$: expected at most 1 character, got 2: "ab"'),
            ({"minLength": 11}, '"ab"', '$: expected at least 11 characters, got 2: "ab"'),
            ({"minItems": 1}, "[]", "$: expected at least 1 element, got 0: []"),
            ({"maxProperties": 0}, '{"a": 1}', '$: expected at most 0 keys, got 1: {"a": 1}'),
            ({"additionalProperties": False}, '{"a": 1}', "$: expected no such key; got a"),
            (
                {"propertyNames": {"pattern": "^x"}},
                '{"a": 1}',
                '$: the key "a": expected a match of the pattern \'^x\', got "a"',
            ),
            (
                {
                    "$schema": "http://json-schema.org/draft-04/schema#",
                    "minimum": 2,
                    "exclusiveMinimum": True,
                },
                "2",
                "$: 2 is less than or equal to the minimum of 2",
            ),
            (
                {
                    "$schema": "http://json-schema.org/draft-03/schema#",
                    "properties": {"a": {"required": True}},
                },
                "{}",
                "$: 'a' is missing",
            ),
            (
                {"$schema": "http://json-schema.org/draft-03/schema#", "type": [{"type": "null"}, "string"]},
                "1",
                '$: expected {"type": "null"} or string, got 1',
            ),
            (False, "1", "$: expected nothing here, got 1"),
            ({"properties": {"a b": {"type": "null"}}}, '{"a b": 1}', "$['a b']: expected null, got 1"),
            (
                {"anyOf": [{"type": "null"}, {"properties": {"k": {"type": "integer"}}}]},
                '{"k": "v"}',
                '$: expected one of 2 alternatives (anyOf), got {"k": "v"}; '
                'nearest: $.k: expected integer, got "v"',
            ),
            (
                {"oneOf": [{"type": "null"}, {"type": "string"}]},
                "1",
                "$: expected one of 2 alternatives (oneOf), got 1",
            ),
            ({"multipleOf": 0.1}, "19.99", "$: expected a multiple of 0.1, got 19.99"),
        ],
    )
    def test_wording(self, schema: Any, text: str, expected: str) -> None:
        told = reason(schema, text).split(" at line 1, column ")[0]
        assert told == f"wrong schema: {expected}"

    def test_long_values_are_cut(self) -> None:
        assert len(reason({"type": "null"}, json.dumps("x" * 10_000))) < 160
        assert len(reason({"maxItems": 1}, json.dumps(["x" * 10_000] * 2))) < 300

    @pytest.mark.parametrize("depth", [300, 900, 2_000, 100_000])
    def test_deep_nesting_is_a_failure_and_no_crash(self, depth: int) -> None:
        deep = "[" * depth + "]" * depth
        recursive = {"items": {"$ref": "#"}, "type": "array", "maxItems": 1}
        for schema in ({"type": "null"}, recursive, {"items": {"items": {"type": "null"}}}):
            assert matches_schema(schema)(Said(f"[{deep}, 1]")).status is Status.FAILED

    @pytest.mark.parametrize(
        "schema", [{"additionalProperties": False}, {"type": "null"}, {"maxProperties": 0}]
    )
    def test_halves_of_surrogate_pairs_can_be_printed(self, schema: Any) -> None:
        for text in (r'{"\ud800": "\ud800"}', '{"\ud800": 1}', '{"\ud800": 1,}', "\ud800"):
            reason(schema, text).encode("utf-8")

    @pytest.mark.parametrize(
        ("schema", "text", "score"),
        [
            ({"properties": {"a": {"type": "null"}}}, '{"a": 1, "b": {"c": 2, "d": [3]}}', 2 / 3),
            ({"required": ["a", "b"]}, '{"a": 1}', 1 / 2),
            ({"required": ["a", "b"]}, "{}", 0),
            ({"type": "array"}, '{"a": 1}', 0),
            ({"additionalProperties": False, "properties": {"a": {}}}, '{"a": 1, "b": [2, 3]}', 1 / 3),
            ({"items": {"type": "null", "enum": [None]}}, "[null, 1, null, 2]", 1 / 2),
            (
                {"properties": {"a": {"maxItems": 1, "items": {"type": "null"}}}},
                '{"a": [1, 2], "b": 3}',
                1 / 3,
            ),
        ],
    )
    def test_the_score_is_the_share_of_fields_that_are_right(
        self, schema: Any, text: str, score: float
    ) -> None:
        assert judge(schema, text).score == pytest.approx(score)


class TestSchema:
    def test_three_ways_to_give_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("ticket.json").write_text(json.dumps(TICKET), encoding="utf-8")
        ways: list[dict[str, Any] | str | Path] = [
            TICKET,
            json.dumps(TICKET),
            "ticket.json",
            Path("ticket.json"),
        ]
        checks = [matches_schema(way) for way in ways]
        assert len(set(checks)) == 1
        assert checks[0] != matches_schema({})
        assert repr(checks[2]) == repr(checks[3]) == "matches_schema('ticket.json')"
        assert repr(checks[0]) == repr(checks[1]) == "matches_schema({priority, tags, due})"
        assert repr(matches_schema({"title": "A ticket"})) == "matches_schema('A ticket')"
        assert repr(matches_schema({"type": "integer"})) == "matches_schema({'type': 'integer'})"
        assert repr(matches_schema("true")) == "matches_schema(True)"
        assert checks[0].name == "matches_schema"

    def test_a_later_change_of_the_dict_is_not_seen(self) -> None:
        schema = {"type": "integer"}
        check = matches_schema(schema)
        schema["type"] = "string"
        assert check(Said("1")).status is Status.PASSED

    def test_draft(self) -> None:
        # Before 2019-09, keywords beside a $ref are ignored.
        schema: dict[str, Any] = {"definitions": {"a": {}}, "$ref": "#/definitions/a", "type": "null"}
        assert judge(schema, "1").status is Status.FAILED
        schema["$schema"] = "http://json-schema.org/draft-07/schema#"
        assert judge(schema, "1").status is Status.PASSED

    def test_formats_that_are_not_checked_are_named(self) -> None:
        schema = {"properties": {"a": {"format": "int32"}, "b": {"format": "date"}}}
        assert judge(schema, "{}").reason == "JSON of the schema (formats not checked: int32)"

    @pytest.mark.parametrize(
        ("schema", "expected"),
        [
            (
                {"properties": {"a": {"type": "strng"}}},
                "the schema is not valid at $.properties.a.type: "
                "no type is called 'strng': did you mean 'string'?",
            ),
            ({"pattern": "("}, "the schema is not valid at $.pattern: '(' is not a 'regex'"),
            (
                {"const": {1, 2}},
                "the schema is not made of JSON values: Object of type set is not JSON serializable",
            ),
            ("", f"the text is empty; it takes {TAKES}"),
            ("[1]", "a schema is an object or a bool, got [1]"),
            (
                {"items": {"type": ["null", "text"]}},
                "the schema is not valid at $.items.type: no type is called 'text': known: array, boolean, "
                "integer, null, number, object, string",
            ),
            (
                {"properties": {"type": "string"}},
                "the schema is not valid at $.properties.type: 'string' is not of type 'object', 'boolean'",
            ),
            ('{"type"', "the schema is not JSON: expected ':' after the key at line 1, column 8"),
            (
                {"$schema": "http://example.com/x"},
                "$schema 'http://example.com/x' is no draft that is known here; "
                "leave it out for https://json-schema.org/draft/2020-12/schema",
            ),
            (
                {"$ref": "#/title", "title": "x"},
                "the reference '#/title' leads to no schema: 'x' is not of type 'object', 'boolean'",
            ),
        ],
    )
    def test_refused(self, schema: Any, expected: str) -> None:
        assert refused(schema) == expected

    @pytest.mark.parametrize("wrong", [3, None, [1], object()])
    def test_nothing_of_the_sort(self, wrong: Any) -> None:
        with pytest.raises(TypeError) as caught:
            matches_schema(wrong)
        assert str(caught.value) == f"matches_schema takes {TAKES}; got {wrong!r}"

    def test_no_file(self, tmp_path: Path) -> None:
        file = tmp_path / "no.json"
        assert refused(file) == f"neither JSON text nor a readable file: {file}: No such file or directory"
        file.write_bytes(b"\xff")
        assert refused(str(file)) == f"neither JSON text nor a readable file: {file}: not UTF-8"
        file.write_text("[1", encoding="utf-8")
        assert refused(file) == f"{file} is not JSON: expected ',' or a closing bracket at line 1, column 3"


class TestReferences:
    @pytest.mark.parametrize(
        "reference", ["#/$defs/no", "https://example.com/x.json", "other.json", "#anchor"]
    )
    def test_nothing_is_fetched(self, reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "socket", None)
        schema = {"properties": {"a": {"items": {"$ref": reference}}}}
        assert refused(schema) == (
            f"the reference {reference!r} leads nowhere: references are looked up in the schema itself and "
            "never fetched; put what it means under $defs"
        )

    def test_behind_a_reference(self) -> None:
        schema = {"x-parts": {"a": {"$ref": "#/x-parts/b"}}, "$ref": "#/x-parts/a"}
        assert refused(schema).startswith("the reference '#/x-parts/b' leads nowhere")

    def test_recursive_and_by_name(self) -> None:
        schema = {
            "$id": "https://example.com/tree",
            "$defs": {"node": {"$anchor": "node", "items": {"$ref": "#node"}, "type": "array"}},
            "$ref": "tree#node",
        }
        assert judge(schema, "[[], [[]]]").status is Status.PASSED
        told = reason(schema, "[[], [[1]]]").splitlines()
        assert told[0] == "wrong schema: $[1][0][0]: expected array, got 1 at line 1, column 8"

    def test_the_drafts_themselves(self) -> None:
        schema = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
        assert judge(schema, '{"type": "string"}').status is Status.PASSED
        assert judge(schema, '{"type": "strng"}').status is Status.FAILED

    def test_a_key_that_only_looks_like_one(self) -> None:
        schema = {"properties": {"$ref": {"type": "string"}}, "not": {"enum": [{"$ref": "#/no"}]}}
        assert judge(schema, '{"$ref": "x"}').status is Status.PASSED


def test_threads_share_one_check() -> None:
    check = matches_schema(TICKET)
    texts = ['{"priority": "low"}', '{"priority": 1}'] * 100
    with ThreadPoolExecutor(8) as pool:
        done = [verdict.status for verdict in pool.map(lambda text: check(Said(text)), texts)]
    assert done == [Status.PASSED, Status.FAILED] * 100


def test_equal_schemas_are_compiled_once() -> None:
    first, second = (matches_schema(json.loads(json.dumps(TICKET))) for _ in range(2))
    assert isinstance(first, MatchesSchema)
    assert isinstance(second, MatchesSchema)
    assert first.compiled is second.compiled


def test_jsonschema_is_imported_when_a_schema_is_given() -> None:
    code = (
        "import sys; from pytest_llmcheck.checks import matches_schema; print('jsonschema' in sys.modules);"
        "matches_schema({}); print('jsonschema' in sys.modules, 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue False\n"
