"""Validation that ends."""

from __future__ import annotations

import json
from decimal import Decimal
from time import thread_time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import SchemaError
from pytest_llmcheck.checks import deadline, matches_schema, not_
from pytest_llmcheck.checks.deadline import errors_of, limited
from pytest_llmcheck.verdict import Status
from tests.support.effort import in_proportion
from tests.support.replies import make_reply
from tests.support.schema_suite import DRAFTS

SLOW = "^(a|aa)+$"
"""On 60 letters and another character, more ways than there are seconds."""

LONG = "a" * 60 + "!"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(deadline, "SECONDS", 0.1)
    return 0.1


def stopped(schema: Any, value: Any) -> SchemaError:
    check = matches_schema(schema)
    started = thread_time()
    with pytest.raises(SchemaError) as error:
        check(make_reply(json.dumps(value)))
    assert thread_time() - started < 5
    return error.value


def test_an_ordinary_nested_pattern_is_answered_at_once() -> None:
    check = matches_schema({"pattern": "^(a+)+$"})
    assert check(make_reply(json.dumps("a" * 2_000 + "!"))).status is Status.FAILED
    assert check(make_reply(json.dumps("a" * 2_000))).status is Status.PASSED


def test_a_pattern_is_stopped(short: float) -> None:
    error = stopped({"title": "Name", "properties": {"name": {"pattern": SLOW}}}, {"name": LONG})
    assert error.keyword == "pattern"
    assert str(error).startswith(
        "matches_schema('Name'): pattern at $.properties.name.pattern of the schema: the regular expression "
        "'^(a|aa)+$' was stopped after 0.1 s of processor time on 61 characters: it tries too many ways to "
        "match; "
    )


@pytest.mark.parametrize("draft", DRAFTS.values())
@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"pattern": SLOW}, "pattern"),
        ({"patternProperties": {SLOW: {}}}, "patternProperties"),
        ({"additionalProperties": False, "patternProperties": {SLOW: {}}}, "additionalProperties"),
        ({"unevaluatedProperties": False, "patternProperties": {SLOW: {}}}, "unevaluatedProperties"),
        ({"propertyNames": {"pattern": SLOW}}, "pattern"),
        (
            {"type": "array", "items": {"$ref": "#/definitions/a"}, "definitions": {"a": {"pattern": SLOW}}},
            "pattern",
        ),
    ],
)
def test_every_keyword_with_patterns_in_every_draft(
    draft: str, schema: dict[str, Any], keyword: str, short: float
) -> None:
    old = draft in (DRAFTS["draft4"], DRAFTS["draft6"], DRAFTS["draft7"])
    if old and keyword == "unevaluatedProperties":
        keyword = "patternProperties"  # these drafts do not have the other
    if draft == DRAFTS["draft4"] and "propertyNames" in schema:
        return
    value: Any = [LONG] if "items" in schema else LONG if "pattern" in schema else {LONG: 1}
    assert stopped({"$schema": draft, **schema}, value).keyword == keyword


def test_a_schema_that_names_its_draft_again_keeps_its_limits(short: float) -> None:
    schema = {"$schema": DRAFTS["draft7"], "properties": {"a": {"$ref": "#"}}, "pattern": SLOW}
    assert stopped(schema, {"a": LONG}).keyword == "pattern"


def test_alternatives_without_end_are_stopped(short: float) -> None:
    nested: dict[str, Any] = {"l0": {"type": "null"}}
    nested |= {f"l{n}": {"anyOf": [{"$ref": f"#/$defs/l{n - 1}"}] * 2} for n in range(1, 30)}
    error = stopped({"$defs": nested, "$ref": "#/$defs/l29"}, 1)
    assert str(error).endswith(
        "the validation was stopped after 0.1 s of processor time: anyOf, oneOf, allOf and $ref combine in "
        "too many ways; let the alternatives exclude each other early, as by a property with a const"
    )
    assert error.keyword in ("anyOf", "$ref", "type")


def test_violations_without_end_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "MOST_ERRORS", 100)
    error = stopped({"items": {"type": "null"}}, [1] * 101)
    assert str(error) == (
        "matches_schema({'items': {'type': 'null'}}): type at $.items.type of the schema: the validation was "
        "stopped after 100 violations: anyOf, oneOf, allOf and $ref combine in too many ways; let the "
        "alternatives exclude each other early, as by a property with a const"
    )
    assert matches_schema({"items": {"type": "null"}})(make_reply(str([1] * 100))).status is Status.FAILED


def test_a_schema_that_refers_to_itself_without_end() -> None:
    error = stopped({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, 1)
    assert str(error) == (
        "matches_schema({'$ref': '#/$defs/a', '$defs': {'a': {'$ref': '#/$defs/a'}}}): "
        "the schema refers to itself without end: a $ref leads back to where it stands; remove that"
    )


def test_a_text_too_long_for_its_format() -> None:
    error = stopped({"format": "iri"}, "http://a/" + "a" * 5000)
    assert str(error) == (
        "matches_schema({'format': 'iri'}): format at $.format of the schema: the validation was stopped: "
        "to check a text of more than 5,000 characters takes too long; use the format uri, or bound the text "
        "with maxLength"
    )


def test_what_was_stopped_is_no_verdict_to_be_negated(short: float) -> None:
    with pytest.raises(SchemaError):
        not_(matches_schema({"pattern": SLOW}))(make_reply(json.dumps(LONG)))


def test_many_objects_are_compared_in_linear_time() -> None:
    check = matches_schema({"uniqueItems": True})
    many = [{"id": n} for n in range(20_000)]
    assert check(make_reply(json.dumps(many))).status is Status.PASSED
    assert check(make_reply(json.dumps([*many, {"id": 7}]))).status is Status.FAILED
    assert in_proportion(lambda size: check(make_reply(json.dumps(many[:size]))), len(many))


numbers_and_texts = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, "", "1"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        numbers_and_texts | st.lists(numbers_and_texts) | st.dictionaries(st.just("a"), numbers_and_texts)
    )
)
def test_unique_as_json_schema_has_it(items: list[Any]) -> None:
    def same(one: Any, other: Any) -> bool:
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)

    repeated = any(same(one, other) for n, one in enumerate(items) for other in items[:n])
    validator = limited(jsonschema.Draft202012Validator)({"uniqueItems": True})
    assert bool(errors_of(validator, items)) is repeated


@pytest.mark.parametrize(
    "schema",
    [{"multipleOf": 0.01}, {"$schema": "http://json-schema.org/draft-03/schema#", "divisibleBy": 0.01}],
)
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("19.99", Status.PASSED),
        ("4.35", Status.PASSED),
        ("1e308", Status.PASSED),
        ("-0.07", Status.PASSED),
        ("9" * 4000, Status.PASSED),
        ("0", Status.PASSED),
        ("19.995", Status.FAILED),
        ("1e-308", Status.FAILED),
        ("true", Status.PASSED),
    ],
)
def test_multiples_are_decimal(schema: dict[str, Any], text: str, status: Status) -> None:
    assert matches_schema(schema)(make_reply(text)).status is status


@given(st.integers(), st.decimals(min_value="0.001", max_value=100, places=3))
def test_every_multiple_is_one(times: int, step: Decimal) -> None:
    check = matches_schema({"multipleOf": float(step)})
    written = f"{times % 10_000 * step}"
    assert check(make_reply(written)).status is Status.PASSED
    assert check(make_reply(f"{Decimal(written) + step / 2}")).status is Status.FAILED


def test_patterns_beside_each_other_keep_their_groups_and_flags() -> None:
    # jsonschema joins them with |, which refuses the flag and renumbers the group.
    schema = {"patternProperties": {r"^(a)\1$": {}, r"(?i)^(b)\1$": {}}, "additionalProperties": False}
    check = matches_schema(schema)
    assert check(make_reply('{"aa": 1, "BB": 2}')).status is Status.PASSED
    assert check(make_reply('{"ab": 1}')).status is Status.FAILED


def test_jsonschema_itself_is_left_as_it_is() -> None:
    matches_schema({"pattern": "a"})(make_reply('"b"'))
    (error,) = jsonschema.Draft202012Validator({"pattern": "a"}).iter_errors("b")
    assert error.message == "'b' does not match 'a'"
