"""Taking JSON out of a reply, what a repair would have done, and the tokens that went wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.checks import matches_schema
from pytest_llmcheck.checks.json_repairs import MOST, repaired
from pytest_llmcheck.checks.json_reply import MOST_BRACKETS, Extract
from pytest_llmcheck.verdict import Status, Verdict
from tests.support.effort import in_proportion
from tests.support.replies import make_reply

WAYS: list[Extract] = ["strict", "fence", "first"]
PERSON = {"properties": {"age": {"type": "integer"}}, "required": ["age"]}

containers = st.recursive(
    st.dictionaries(st.text(), st.none() | st.integers() | st.text())
    | st.lists(st.none() | st.booleans() | st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
prose = st.text(alphabet="abc .,:!\n'")


def judge(
    text: str, extract: Extract = "strict", schema: Any = True, pieces: list[str] | None = None
) -> Verdict:
    reply = make_reply(text, pieces=pieces or [])
    return matches_schema(schema, extract=extract)(reply)


class TestExtract:
    @pytest.mark.parametrize("extract", WAYS)
    @pytest.mark.parametrize(
        ("part", "size"), [("`", 200_000), ("```a\n", 200_000), ("{'a':1, ", 24_000), ("[1,", 90_000)]
    )
    def test_a_looping_reply_takes_time_in_proportion(self, part: str, size: int, extract: Extract) -> None:
        assert judge(part * (size // len(part)), extract).status is Status.FAILED
        assert in_proportion(lambda n: judge(part * (n // len(part)), extract), size)

    @settings(max_examples=40, deadline=None)
    @given(containers, st.sampled_from(WAYS), st.text(alphabet=" \n"))
    def test_a_reply_that_is_json_is_taken_whole(self, value: Any, extract: Extract, blank: str) -> None:
        verdict = judge(f"{blank}{json.dumps(value)}{blank}", extract, {"const": value})
        assert (verdict.status, verdict.reason) == (Status.PASSED, "JSON of the schema")
        assert verdict.evidence == {}

    @settings(max_examples=40, deadline=None)
    @given(containers, prose, prose, st.sampled_from(["", "json", "JSON "]), st.booleans())
    def test_a_fence(self, value: Any, before: str, after: str, language: str, closed: bool) -> None:
        said = json.dumps(value, indent=1)
        closing = f"\n```\n{after}" if closed else ""
        text = f"{before}\n```{language}\n{said}{closing}"
        assert judge(text).status is Status.FAILED
        verdict = judge(text, "fence", {"const": value})
        assert verdict.status is Status.PASSED
        begin, end = verdict.evidence["span"]
        assert text[begin:end] == said
        assert verdict.reason == (
            f"JSON of the schema (taken out of a ``` fence: characters {begin} to {end} of {len(text)})"
        )
        assert verdict.evidence["extracted"] == "a ``` fence"

    @settings(max_examples=40, deadline=None)
    @given(containers, prose, prose)
    def test_the_first_value(self, value: Any, before: str, after: str) -> None:
        said = json.dumps(value)
        text = f"{before}{said}{after}"
        verdict = judge(text, "first", {"const": value})
        assert verdict.status is Status.PASSED
        if verdict.evidence:
            begin, end = verdict.evidence["span"]
            assert text[begin:end] == said

    @pytest.mark.parametrize(
        ("text", "extract", "value"),
        [
            ("```python\n[1]\n```\n```json\n[2]\n```", "fence", [2]),
            ("```\n[1]\n```\n```json\n[2]\n```", "fence", [2]),
            ("```json\n[1]\n```\n```json\n[2]\n```", "fence", [1]),
            ("~~~\n[1]\n~~~", "fence", [1]),
            ('````json\n["\\n```"]\n````', "fence", ["\n```"]),
            ("  ```json\n[1]\n  ```", "fence", [1]),
            ('```json title="a"\n[1]\n```', "fence", [1]),
            ("~~~ json `a`\n[1]\n~~~~", "fence", [1]),
            ("```jsonc\n[1]\n```\n```\n[2]\n```", "fence", [2]),
            ("So:\r\n```json\r\n[1]\r\n```\r\nThere.", "fence", [1]),
            ("```code``` in a line\n```json\n[1]\n```", "fence", [1]),
            ("[sic] So: [1] or [2]", "first", [1]),
            ("{name} is {'a'}: {}", "first", {}),
            ("Numbers such as 7 are passed over: [8]", "first", [8]),
            (':[ and {"a": 1}', "first", {"a": 1}),
        ],
    )
    def test_which_one(self, text: str, extract: Extract, value: Any) -> None:
        assert judge(text, extract, {"const": value}).status is Status.PASSED

    @pytest.mark.parametrize(
        ("text", "extract", "first_line"),
        [
            (
                "Sure!",
                "fence",
                "not JSON, and no ``` fence of JSON in it: expected a JSON value at line 1, column 1",
            ),
            (
                "Sure!",
                "first",
                "not JSON, and no object or array in it: expected a JSON value at line 1, column 1",
            ),
            (
                "So:\n```json\n{'a': 1}\n```\n[1]",
                "fence",
                "not JSON in a ``` fence: expected a key in double quotes at line 3, column 2",
            ),
            # What is within the broken first value is not the first value.
            (
                'So: {"a": {"b": 1}, oops}',
                "first",
                "not JSON in the text around it: expected a key in double quotes at line 1, column 21",
            ),
            (
                "```python\n[1]\n```",
                "fence",
                "not JSON, and no ``` fence of JSON in it: expected a JSON value at line 1, column 1",
            ),
            (
                "[1]\n[2]",
                "fence",
                "not JSON, and no ``` fence of JSON in it: more text after the JSON value at line 2, "
                "column 1",
            ),
            (
                "So: [NaN]",
                "first",
                "not JSON in the text around it: NaN, which JSON does not have at line 1, column 6",
            ),
            ("", "first", "not JSON: expected a JSON value, the reply is empty"),
        ],
    )
    def test_nothing_to_take(self, text: str, extract: Extract, first_line: str) -> None:
        verdict = judge(text, extract)
        assert (verdict.status, verdict.score) == (Status.FAILED, 0.0)
        assert verdict.reason.splitlines()[0] == first_line

    def test_a_wrong_value_is_shown_where_it_stands(self) -> None:
        verdict = judge('Here:\n```json\n{"age": "x"}\n```', "fence", PERSON)
        assert verdict.reason == (
            "wrong schema (taken out of a ``` fence: characters 14 to 26 of 30): "
            '$.age: expected integer, got "x" at line 3, column 9\n'
            '{"age": "x"}\n'
            "        ^"
        )

    def test_a_text_of_brackets_takes_no_time(self) -> None:
        assert judge("[a] " * 100_000, "first").status is Status.FAILED
        assert judge("[" * 100_000, "first").status is Status.FAILED
        assert judge("[a] " * (MOST_BRACKETS - 1) + "[1]", "first").status is Status.PASSED

    def test_an_unknown_way_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^matches_schema: extract='fences': did you mean 'fence'\?$"):
            matches_schema({}, extract="fences")  # type: ignore[arg-type]  # wrong on purpose

    def test_shown_as_written(self) -> None:
        assert repr(matches_schema({}, extract="first")) == "matches_schema({}, extract='first')"
        assert matches_schema({}, extract="first") != matches_schema({})


class TestHints:
    @pytest.mark.parametrize(
        ("text", "value", "told"),
        [
            ('{"a": 1,}', {"a": 1}, "a comma before the closing bracket (line 1, column 8)"),
            (
                "[1 2\n 3]",
                [1, 2, 3],
                "a missing comma (line 1, column 3), a missing comma (line 1, column 5)",
            ),
            ('{"a" 1}', {"a": 1}, "a missing colon (line 1, column 5)"),
            ("{'it\\'s \"': 1}", {"it's \"": 1}, "single quotes (line 1, column 2)"),
            (
                "{a: True}",
                {"a": True},
                "a key without quotes (line 1, column 2), True instead of true (line 1, column 5)",
            ),
            ('{"a": [1, {"b": 2', {"a": [1, {"b": 2}]}, "a missing }]} (line 1, column 18)"),
            ('["a', ["a"], "a string that is never closed (line 1, column 4)"),
            ('["a\nb"]', ["a\nb"], "a line break inside a string (line 1, column 4)"),
            ("[ // one\n 1]", [1], "a comment (line 1, column 3)"),
            ("\ufeff[]", [], "a byte order mark (line 1, column 1)"),
        ],
    )
    def test_faults(self, text: str, value: Any, told: str) -> None:
        mended = repaired(text)
        assert mended is not None
        assert (mended.value, mended.told) == (value, told)

    @pytest.mark.parametrize(
        "text", ["", "Sure!", "[1,,2]", '{"a": "say "hi""}', "[] []", '{"a": 1, "a": 2}', "]"]
    )
    def test_what_is_not_nearly_json(self, text: str) -> None:
        assert repaired(text) is None

    def test_no_more_than_twenty(self) -> None:
        assert repaired("[" + "1 " * (MOST + 1) + "1]") is None
        assert repaired("[" + "1 " * MOST + "1]") is not None

    @settings(max_examples=40, deadline=None)
    @given(containers, st.data())
    def test_one_lost_comma_is_found(self, value: Any, data: st.DataObject) -> None:
        text = json.dumps(value, indent=1)
        ends = [at for at in range(len(text) - 1) if text[at : at + 2] == ",\n"]
        if not ends:
            return
        at = data.draw(st.sampled_from(ends))
        mended = repaired(text[:at] + text[at + 1 :])
        assert mended is not None
        assert mended.value == value
        assert mended.told.startswith("a missing comma (")

    @settings(max_examples=40, deadline=None)
    @given(st.text(alphabet="{}[]\"':,1a\\ \n/"))
    def test_never_raises_and_never_mends_json(self, text: str) -> None:
        mended = repaired(text)
        if mended is not None:
            with pytest.raises(ValueError, match=r"."):
                json.loads(text)

    def test_of_the_schema_or_not(self) -> None:
        assert judge("{'age': 1}", schema=PERSON).reason.splitlines()[-1] == (
            "hint: but for single quotes (line 1, column 2) it would be JSON of the schema"
        )
        assert judge("{'age': '1'}", schema=PERSON).reason.splitlines()[-1] == (
            "hint: but for single quotes (line 1, column 2), single quotes (line 1, column 9) it would be "
            "JSON, though not of the schema"
        )


class TestTokens:
    def test_the_comma_that_did_not_come(self) -> None:
        verdict = judge('{"a": 1\n "b": 2}', pieces=['{"a": 1', "\n ", '"b": 2}'])
        assert verdict.reason.splitlines()[3] == r"the token at line 1, column 8: '\n ' 0.50, '~' 0.25"
        assert verdict.evidence["token"] == r"'\n ' 0.50, '~' 0.25"

    def test_more_text(self) -> None:
        verdict = judge("{}\n\nHope", pieces=["{", "}", "\n\n", "Hope"])
        assert verdict.reason.splitlines()[3] == r"the token at line 1, column 3: '\n\n' 0.50, '~' 0.25"

    def test_the_end_that_came_too_early(self) -> None:
        verdict = judge('{"a": [1', pieces=['{"a"', ": [", "1"])
        assert verdict.reason.splitlines()[3] == "the token there: '<end>' 0.50, '~' 0.25"
        empty = judge(" ", pieces=[" "])
        assert empty.reason.splitlines()[1] == "the token that ended it: '<end>' 0.50, '~' 0.25"

    @pytest.mark.parametrize(
        ("schema", "pieces", "token"),
        [
            # Where it is no longer one of the allowed values.
            ({"enum": ["high", "low"]}, ['"', "hi", "dden", '"'], "dden"),
            ({"const": "low"}, ['"', "high", '"'], "high"),
            ({"type": "integer"}, ['"', "31", '"'], '"'),
            ({"pattern": "^a"}, ['"', "b", '"'], "b"),
            # Where the object was closed instead.
            ({"required": ["age"]}, ["{", '"a"', ": 1", "}"], "}"),
            ({"additionalProperties": False}, ["{", '"', "more", '": 1', "}"], "more"),
            ({"propertyNames": {"maxLength": 1}}, ["{", '"', "long", '": 1', "}"], "long"),
        ],
    )
    def test_the_value_that_is_wrong(self, schema: Any, pieces: list[str], token: str) -> None:
        verdict = judge("".join(pieces), schema=schema, pieces=pieces)
        assert verdict.evidence["token"] == f"{token!r} 0.50, '~' 0.25"

    def test_in_full(self) -> None:
        verdict = judge('{"age": "31"}', schema=PERSON, pieces=['{"age":', ' "', "31", '"}'])
        assert verdict.reason == (
            'wrong schema: $.age: expected integer, got "31" at line 1, column 9\n'
            '{"age": "31"}\n'
            "        ^\n"
            "the token there: ' \"' 0.50, '~' 0.25"
        )
