"""Constrained decoding: the grammar accepts what the schema means; nothing broken reaches llama.cpp."""

from __future__ import annotations

import json
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_llmcheck.engines.constraint import constraint_of
from pytest_llmcheck.engines.llama import gbnf
from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.grammar import Compiled, GrammarState, compile_constraint
from pytest_llmcheck.engines.llama.sampling import Sampler
from pytest_llmcheck.engines.llama.vocabulary import Detokeniser, Vocabulary
from pytest_llmcheck.engines.types import Constraint, Sampling
from pytest_llmcheck.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def vocabulary(smollm: Path) -> Iterator[Vocabulary]:
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(str(smollm).encode(), params)
    assert model
    yield Vocabulary(model)
    llama.llama_model_free(model)


def compiled(schema: Any) -> Compiled:
    return compile_constraint(constraint_of(schema))


def accepts(vocabulary: Vocabulary, constraint: Compiled, text: str) -> bool:
    """Whether the whole text, as the tokeniser cuts it, may be a reply."""
    state = GrammarState(constraint, vocabulary)
    try:
        for token in vocabulary.tokenise_text(text):
            if not state.allowed()[token]:
                return False
            state.accept(token)
        return bool(state.allowed()[min(vocabulary.end_of_generation)])
    finally:
        state.close()


# What is enforced, keyword by keyword: (schema, instances that match, instances that do not).

ENFORCED: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "true": (True, [1, "a", None, [1, {}], {"a": []}], []),
    "type string": ({"type": "string"}, ["", "a", 'q"\\\n', "é漢😀"], [1, None, {}]),
    "type integer": ({"type": "integer"}, [0, -5, 120], [1.5, "1", True]),
    "type number": ({"type": "number"}, [0, 1.5, -2.25, 1e3], ["1", None]),
    "type boolean": ({"type": "boolean"}, [True, False], [0, "true"]),
    "type null": ({"type": "null"}, [None], [0, "null"]),
    "type object": ({"type": "object"}, [{}, {"a": 1}], [[], 1]),
    "type array": ({"type": "array"}, [[], [1, "a"]], [{}, 1]),
    "types": ({"type": ["integer", "null"]}, [1, None], ["a", 1.5]),
    "const": ({"const": {"a": ["x\\y", 1.5]}}, [{"a": ["x\\y", 1.5]}], [{"a": []}, "x"]),
    "enum": ({"enum": ["a", 'b"', "c\\d", 1, None]}, ["a", 'b"', "c\\d", 1, None], ["b", 2, True]),
    "enum and more": ({"enum": [1, 5, "a"], "minimum": 2, "type": "integer"}, [5], [1, "a"]),
    "required": (
        {"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["b"]},
        [{"b": None}, {"a": 1, "b": None}],
        [{}, {"a": 1}],
    ),
    "required undeclared": ({"type": "object", "required": ["z"]}, [{"z": 1}], [{}]),
    "additionalProperties false": (
        {"properties": {"a": {}}, "additionalProperties": False},
        [{}, {"a": 1}],
        [{"b": 1}],
    ),
    "additionalProperties schema": (
        {
            "properties": {"ab": {"type": "null"}},
            "required": ["ab"],
            "additionalProperties": {"type": "integer"},
        },
        [{"ab": None}, {"ab": None, "a": 1}, {"ab": None, "abc": 1, "b": 2}],
        [{"ab": None, "a": "x"}, {"ab": 1}, {"a": 1}],
    ),
    "patternProperties": (
        {
            "type": "object",
            "patternProperties": {"^x[0-9]$": {"type": "integer"}},
            "additionalProperties": False,
        },
        [{}, {"x1": 1}, {"x1": 1, "x2": 2}],
        [{"y": 1}, {"x1": "a"}],
    ),
    "propertyNames": ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, [{"a": 1}], [{"A": 1}]),
    "maxProperties": ({"type": "object", "maxProperties": 1}, [{}, {"a": 1}], [{"a": 1, "b": 1}]),
    "minProperties 1": ({"type": "object", "minProperties": 1}, [{"a": 1}], [{}]),
    "unevaluatedProperties": (
        {"allOf": [{"properties": {"a": {"type": "null"}}}], "unevaluatedProperties": False},
        [{"a": None}, {}],
        [{"b": 1}],
    ),
    "items": ({"items": {"type": "integer"}}, [[], [1, 2]], [["a"]]),
    "prefixItems": ({"prefixItems": [{"type": "integer"}, {"type": "null"}]}, [[1, None]], [[None, 1]]),
    "prefixItems and items": (
        {"prefixItems": [{"type": "integer"}], "items": {"type": "null"}},
        [[1], [1, None]],
        [[1, 1]],
    ),
    "minItems": ({"items": {"type": "integer"}, "minItems": 2}, [[1, 2], [1, 2, 3]], [[], [1]]),
    "maxItems": ({"items": {"type": "integer"}, "maxItems": 2}, [[], [1, 2]], [[1, 2, 3]]),
    "minLength": ({"type": "string", "minLength": 2}, ["ab", "😀😀"], ["a", "", "😀"]),
    "maxLength": ({"type": "string", "maxLength": 2}, ["ab", "", "漢字"], ["abc"]),
    "pattern": (
        {"pattern": r'^[A-Z]{2}-\d+( "q")?$'},
        ["AB-1", 'XY-12 "q"'],
        ["ab-1", "AB-", "AB-1x"],
    ),
    "pattern not anchored": ({"pattern": r"\d\d"}, ["12", "a12b"], ["1", "a1b"]),
    "pattern negated": ({"pattern": r"^[^\s,]+$"}, ["aé", "x-y"], ["a b", "a,b"]),
    "pattern alternatives": ({"pattern": "^(a|bc)$|^d"}, ["a", "bc", "dx"], ["b", "ax"]),
    "minimum": ({"type": "integer", "minimum": -3}, [-3, 0, 100], [-4, -10]),
    "maximum": ({"type": "integer", "maximum": 120}, [120, 7, -1000], [121, 1000]),
    "exclusive": (
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        [1, 9],
        [0, 10, -1],
    ),
    "integer bounds that are fractions": (
        {"type": "integer", "minimum": 0.5, "maximum": 2.5},
        [1, 2],
        [0, 3],
    ),
    "number bounds": (
        {"type": "number", "minimum": 0, "exclusiveMaximum": 100},
        [0, 0.5, 99.99],
        [-0.5, 100, 100.5],
    ),
    "number above": ({"type": "number", "exclusiveMinimum": 0}, [0.5, 0.001, 7], [0, 0.0, -1]),
    "date": ({"format": "date"}, ["2024-02-29", "2023-12-31"], ["2023-02-29", "2023-04-31", "0000-01-01"]),
    "time": ({"format": "time"}, ["10:00:00Z", "23:59:59.5+02:00"], ["24:00:00Z", "10:00:00"]),
    "date-time": ({"format": "date-time"}, ["2024-02-29T10:00:00Z"], ["2024-02-29", "2024-02-30T10:00:00Z"]),
    "uuid": (
        {"format": "uuid"},
        ["123e4567-e89b-12d3-a456-426614174000"],
        ["123e4567-e89b-12d3-a456-42661417400g"],
    ),
    "ipv4": ({"format": "ipv4"}, ["192.168.0.1", "255.255.255.255"], ["256.0.0.1", "1.2.3"]),
    "email": ({"format": "email"}, ["a.b@example.org"], ["a.b", "@example.org"]),
    "anyOf": ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, [1, None], ["a"]),
    "anyOf beside properties": (
        {
            "properties": {"k": {"type": "integer"}},
            "required": ["k"],
            "anyOf": [
                {"properties": {"a": {"type": "null"}}, "required": ["a"]},
                {"properties": {"b": {"type": "null"}}, "required": ["b"]},
            ],
        },
        [{"k": 1, "a": None}, {"k": 1, "b": None}],
        [{"k": 1}, {"a": None}],
    ),
    "oneOf by type": ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, [1, "a"], [None]),
    "oneOf by tag": (
        {
            "oneOf": [
                {"properties": {"t": {"const": "a"}, "n": {"type": "null"}}, "required": ["t", "n"]},
                {"properties": {"t": {"const": "b"}}, "required": ["t"]},
            ]
        },
        [{"t": "a", "n": None}, {"t": "b"}],
        [{"t": "a"}, {"t": "c"}],
    ),
    "allOf": (
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 3}, "b": {"type": "null"}}},
            ]
        },
        [{"a": 3}, {"a": 4, "b": None}],
        [{"a": 2}, {"b": None}],
    ),
    "$ref": (
        {
            "properties": {"a": {"$ref": "#/$defs/x~1y"}, "b": {"$ref": "#/$defs/b/properties/x"}},
            "required": ["a", "b"],
            "$defs": {"x/y": {"type": "integer"}, "b": {"properties": {"x": {"type": "null"}}}},
        },
        [{"a": 1, "b": None}],
        [{"a": None, "b": 1}],
    ),
    "$ref with siblings": (
        {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 5},
        [5],
        [4],
    ),
    "$anchor": ({"$defs": {"n": {"$anchor": "here", "type": "null"}}, "$ref": "#here"}, [None], [1]),
    "recursion": (
        {
            "$ref": "#/$defs/node",
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
                    "required": ["v"],
                }
            },
        },
        [{"v": 1}, {"v": 1, "next": {"v": 2, "next": {"v": 3}}}],
        [{}, {"v": 1, "next": {}}],
    ),
    "false property": ({"properties": {"a": False, "b": {"type": "null"}}}, [{}, {"b": None}], [{"a": 1}]),
    "draft 7": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"i": {"type": "integer"}},
            "items": [{"$ref": "#/definitions/i"}, {"type": "null"}],
            "additionalItems": False,
        },
        [[1, None]],
        [[None, None], [1, None, 1]],
    ),
    "draft 4": (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "integer",
            "minimum": 0,
            "exclusiveMinimum": True,
        },
        [1],
        [0],
    ),
}


@pytest.mark.parametrize("name", ENFORCED)
def test_enforced(vocabulary: Vocabulary, name: str) -> None:
    schema, good, bad = ENFORCED[name]
    constraint = compiled(schema)
    assert constraint.ignored == ()
    for instance in good:
        assert accepts(vocabulary, constraint, json.dumps(instance, ensure_ascii=False)), instance
        assert accepts(vocabulary, constraint, json.dumps(instance, ensure_ascii=False, indent=2)), instance
    for instance in bad:
        assert not accepts(vocabulary, constraint, json.dumps(instance, ensure_ascii=False)), instance


# What is not: (schema, an instance that violates it and is accepted, what is said).


class Raw(str):
    """A text that is no `json.dumps` of anything."""


OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "integer"}}
IGNORED: list[tuple[Any, Any, tuple[str, ...]]] = [
    ({"type": "number", "multipleOf": 0.5}, 0.3, ("multipleOf at $",)),
    ({"properties": {"a": {"type": "integer", "multipleOf": 5}}}, {"a": 3}, ("multipleOf at $.a",)),
    ({"type": "number", "minimum": 0.5}, 0.25, ("minimum at $ (not a whole number)",)),
    ({"type": "number", "exclusiveMaximum": 0.5}, 0.5, ("exclusiveMaximum at $ (not a whole number)",)),
    ({"type": "integer", "maximum": 10**18}, 1, ("maximum at $ (too large)",)),
    ({"type": "string", "format": "hostname"}, "-", ("format at $ (hostname)",)),
    ({"type": "string", "maxLength": 5000}, "a", ("maxLength at $ (more than 2000)",)),
    ({"type": "string", "pattern": "^(?=a)"}, "b", ("pattern at $ (lookahead)",)),
    ({"type": "string", "pattern": "^(?<!a)b"}, "c", ("pattern at $ (lookbehind)",)),
    ({"type": "string", "pattern": r"^(a|b)\1$"}, "ab", ("pattern at $ (back reference)",)),
    ({"type": "string", "pattern": r"\bab\b"}, "c", ("pattern at $ (word boundary)",)),
    ({"type": "string", "pattern": "(?i)^a$"}, "b", ("pattern at $ (flags)",)),
    ({"type": "string", "pattern": "^(a*)*$"}, "b", ("pattern at $ (a repeated part that may be empty)",)),
    ({"type": "string", "pattern": "^a{3000}$"}, "b", ("pattern at $ (more than 2000 repetitions)",)),
    ({"type": "string", "pattern": "a^b"}, "b", ("pattern at $ (an anchor inside the pattern)",)),
    ({"pattern": "^[a-z]+$", "minLength": 3, "maxLength": 4}, "a", ("minLength at $", "maxLength at $")),
    ({"format": "date", "maxLength": 3}, "2024-01-01", ("maxLength at $",)),
    ({"format": "date", "pattern": "^1"}, "2024-01-01", ("pattern at $ (format date is)",)),
    ({"type": "array", "uniqueItems": True}, [1, 1], ("uniqueItems at $",)),
    ({"type": "array", "contains": {"type": "null"}}, [1], ("contains at $",)),
    (
        {"type": "array", "contains": {"type": "null"}, "minContains": 2, "maxContains": 3},
        [1],
        ("contains at $", "minContains at $", "maxContains at $"),
    ),
    ({"items": {"items": {"multipleOf": 2, "type": "integer"}}}, [[1]], ("multipleOf at $[*][*]",)),
    ({"items": {"type": "integer"}, "maxItems": 3000}, [1], ("maxItems at $ (more than 2000)",)),
    ({**OBJECT, "minProperties": 2}, Raw('{"a": 1, "a": 1}'), ("minProperties at $ (names may repeat)",)),
    ({"properties": {"a": {}, "b": {}}, "minProperties": 2}, {"a": 1}, ("minProperties at $",)),
    ({"properties": {"a": {}, "b": {}}, "maxProperties": 1}, {"a": 1, "b": 1}, ("maxProperties at $",)),
    (
        {**OBJECT, "patternProperties": {"^x": {"type": "null"}}},
        {"x": 1},
        ("patternProperties at $ (additionalProperties is)",),
    ),
    (
        {"type": "object", "patternProperties": {"^x": {"type": "integer"}, "1$": {"type": "null"}}},
        {"x1": 1},
        ("patternProperties at $ (a name may match several patterns)",),
    ),
    (
        {**OBJECT, "properties": {"a": {}}, "propertyNames": {"maxLength": 1}},
        {"bb": 1},
        ("propertyNames at $ (beside declared properties)",),
    ),
    (
        {"properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}},
        {"a": 1},
        ("dependentRequired at $",),
    ),
    (
        {"properties": {"a": {}, "b": {}}, "dependentSchemas": {"a": {"required": ["b"]}}},
        {"a": 1},
        ("dependentSchemas at $",),
    ),
    ({"type": "integer", "not": {"const": 3}}, 3, ("not at $",)),
    (
        {"type": "integer", "if": {"minimum": 3}, "then": {"minimum": 5}, "else": {"maximum": 1}},
        4,
        ("if at $", "then at $", "else at $"),
    ),
    (
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]},
        4,
        ("oneOf at $ (as anyOf)",),
    ),
    (
        {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$"}]},
        "a",
        ("pattern at $ (of another part of allOf)",),
    ),
    ({"type": "string", "minLenght": 3}, "a", ("minLenght at $ (unknown keyword)",)),
]


@pytest.mark.parametrize(("schema", "instance", "said"), IGNORED, ids=lambda value: str(value)[:50])
def test_ignored(vocabulary: Vocabulary, schema: Any, instance: Any, said: tuple[str, ...]) -> None:
    constraint = compiled(schema)
    assert constraint.ignored == said
    text = instance if isinstance(instance, Raw) else json.dumps(instance)
    assert accepts(vocabulary, constraint, text)
    if instance != 1 and "unknown" not in said[0] and "more than 2000)" not in said[0]:
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert not validator.is_valid(json.loads(text))


def test_every_keyword_is_tried() -> None:
    """Of the applicator and validation vocabularies of draft 2020-12."""
    tried = json.dumps([*ENFORCED.values(), *IGNORED])
    keywords = (
        "type const enum multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength "
        "pattern maxItems minItems uniqueItems maxContains minContains maxProperties minProperties required "
        "dependentRequired prefixItems items contains additionalProperties properties patternProperties "
        "dependentSchemas propertyNames if then else allOf anyOf oneOf not unevaluatedProperties "
        "$ref $defs format"
    )
    assert [keyword for keyword in keywords.split() if f'"{keyword}"' not in tried] == []


def test_vacuous_keywords_are_not_listed() -> None:
    schema = {
        "$id": "https://example.org/x",
        "title": "t",
        "description": "d",
        "x-order": 1,
        "type": "object",
        "properties": {
            "a": {
                "type": "string",
                "pattern": "^[a-z]{3}$",
                "minLength": 3,
                "maxLength": 3,
                "default": "abc",
            },
            "b": {"type": "string", "format": "date", "minLength": 1},
            "c": {"$ref": "https://example.org/x#/$defs/c"},
        },
        "required": ["a", "b"],
        "minProperties": 1,
        "maxProperties": 3,
        "dependentRequired": {"a": ["b"], "z": ["y"]},
        "unevaluatedProperties": False,
        "$defs": {"c": {"type": "array", "maxItems": 1, "uniqueItems": True}},
    }
    assert compiled(schema).ignored == ()


def test_properties_come_in_the_declared_order(vocabulary: Vocabulary) -> None:
    constraint = compiled({"properties": {"b": {"type": "null"}, "a": {"type": "null"}}, "required": ["a"]})
    assert accepts(vocabulary, constraint, '{"b": null, "a": null}')
    assert not accepts(vocabulary, constraint, '{"a": null, "b": null}')


def test_a_schema_ignored_in_two_places_is_listed_for_both() -> None:
    number = {"type": "number", "multipleOf": 2}
    constraint = compiled({"properties": {"a": number, "b": {"items": number}}})
    assert constraint.ignored == ("multipleOf at $.a", "multipleOf at $.b[*]")


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


BAD_SCHEMAS: dict[str, tuple[Any, str]] = {
    "invalid type": ({"type": "strin"}, r"the schema is invalid at \$.type"),
    "invalid keyword": ({"properties": {"a": {"minLength": "x"}}}, r"invalid at \$.properties.a.minLength"),
    "invalid pattern": (
        {"properties": {"a": {"pattern": "("}}},
        r"invalid at \$.properties.a.pattern: '\(' is not a 'regex'",
    ),
    "remote": ({"$ref": "https://example.org/x.json"}, r"\$ref at \$: .* nothing is fetched"),
    "missing": ({"$ref": "#/$defs/x"}, "points nowhere"),
    "no schema": ({"$ref": "#/x", "x": 3}, "is no schema"),
    "no anchor": ({"$ref": "#x"}, "no .anchor 'x'"),
    "own tail": ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "refers to itself"),
    "anyOf of itself": ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "refers to itself"),
    "never ends": ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "never ends"),
    "dynamic": ({"$dynamicRef": "#x"}, r"\$dynamicRef at \$ is not supported"),
    "inner id": ({"properties": {"a": {"$id": "https://example.org/b"}}}, r"\$id at \$.a"),
    "false": (False, "allows nothing"),
    "contradiction": ({"allOf": [{"type": "string"}, {"type": "null"}]}, "allows nothing"),
    "required false": ({"properties": {"a": False}, "required": ["a"]}, "allows nothing"),
    "required closed": (
        {"type": "object", "additionalProperties": False, "required": ["a"]},
        "allows nothing",
    ),
    "empty range": ({"type": "integer", "minimum": 3, "maximum": 2}, "allows nothing"),
    "no length": ({"type": "string", "minLength": 3, "maxLength": 2}, "maxLength at"),
    "items": ({"type": "array", "minItems": 3, "maxItems": 2}, "allows nothing"),
    "nothing left": ({"enum": ["a"], "type": "integer"}, "allows nothing"),
    "minLength": (
        {"properties": {"a": {"type": "string", "minLength": 10**6}}},
        r"minLength at \$.a: 1000000",
    ),
    "minItems": ({"type": "array", "minItems": 10**9}, r"minItems at \$"),
    "minProperties": ({"type": "object", "minProperties": 10**9}, r"minProperties at \$"),
    "deep": (nested(100), "nested"),
    "very deep": (nested(300), "nested"),
    "ref with siblings that grow": (
        {
            "$defs": {
                "n": {"properties": {"c": {"$ref": "#/$defs/n", "propertyNames": {"not": {"$ref": "#"}}}}}
            },
            "properties": {"a": {"allOf": [{"$ref": "#/$defs/n"}] * 3}},
        },
        "",
    ),
    "anyOf explodes": ({"allOf": [{"anyOf": [{"minLength": i} for i in range(9)]}] * 5}, "combinations"),
    "references explode": (
        {
            "$defs": {
                **{f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)},
                "d30": {"type": "string"},
            },
            "$ref": "#/$defs/d0",
        },
        "explode",
    ),
    "many repetitions": (
        {"properties": {f"a{i}": {"type": "string", "maxLength": 2000 - i} for i in range(60)}},
        r"maxLength at \$.a5\d: repetitions",
    ),
    "many properties": ({"properties": {f"a{i}": {} for i in range(30_000)}}, "too large"),
    "huge enum": ({"enum": ["x" * 10 + str(i) for i in range(100_000)]}, "enum at"),
    "pattern explodes": ({"type": "string", "pattern": "^" + "(a|b|c)?" * 3000 + "$"}, ""),
    "deep pattern": ({"type": "string", "pattern": "(" * 90 + "a" + ")" * 90}, ""),
    "deeper pattern": ({"type": "string", "pattern": "(" * 500 + "a" + ")" * 500}, ""),
}


@pytest.mark.parametrize("name", BAD_SCHEMAS)
def test_bad_schema(vocabulary: Vocabulary, name: str) -> None:
    """An error that names the place, or a grammar that llama.cpp follows; soon."""
    schema, said = BAD_SCHEMAS[name]
    started = perf_counter()
    if said:
        with pytest.raises(ConfigError, match=said):
            compiled(schema)
    else:
        with suppress(ConfigError):
            GrammarState(compiled(schema), vocabulary).close()
    assert perf_counter() - started < 5


def test_not_a_schema() -> None:
    for value in (None, 3, ["a"], b"root"):
        with pytest.raises(ConfigError, match="expected a JSON Schema"):
            constraint_of(value)
    with pytest.raises(ConfigError, match="not JSON"):
        constraint_of({"const": float("nan")})
    with pytest.raises(ConfigError, match="not JSON"):
        constraint_of({"const": {1, 2}})
    cycle: dict[str, Any] = {}
    cycle["a"] = cycle
    with pytest.raises(ConfigError, match=r"not JSON|contains itself"):
        constraint_of(cycle)
    with pytest.raises(ConfigError, match="not JSON"):
        compile_constraint(Constraint("schema", '{"const": NaN}'))
    with pytest.raises(ConfigError, match="not JSON"):
        compile_constraint(Constraint("schema", "{"))
    with pytest.raises(ConfigError, match="nested"):
        compile_constraint(Constraint("schema", "[" * 100_000))
    assert constraint_of({"b": 1, "a": 2}) == Constraint("schema", '{"b": 1, "a": 2}')
    assert constraint_of('root ::= "a"').kind == "grammar"
    assert constraint_of(True).source == "true"


# Grammars.

GOOD_GRAMMARS = {
    "letters": ('root ::= "a" [b-d]+ ("x" | "y")?', ["ab", "abcdx"], ["a", "bb"]),
    "comments": (
        '# c\nroot ::= # d\n  part "z" # e\npart ::= (\n "a"\n | "b" ) {1,2}\n',
        ["az", "abz"],
        ["z"],
    ),
    "escapes": (r'root ::= "\x41\u00e9\U0001F600\t\"" [\]\-\\]', ['Aé😀\t"]', 'Aé😀\t"-'], ["A"]),
    "any": ('root ::= . "b"', ["ab", "éb"], ["b"]),
    "not": ("root ::= [^a-c\\n] [d-]", ["xd", "x-"], ["ad"]),
    "repeated": ('root ::= [0-9]{3} "-" [0-9]{2,} "a"{0}', ["123-45", "123-4567"], ["12-45", "123-45a"]),
    "recursion": ('root ::= "(" root? ")"', ["()", "((()))"], ["(", ")("]),
    "redefined": ('root ::= "a"\nroot ::= "b"', ["b"], ["a"]),
    "empty class": ('root ::= "a" [] "b"', ["ab"], ["a"]),
}


@pytest.mark.parametrize("name", GOOD_GRAMMARS)
def test_grammar(vocabulary: Vocabulary, name: str) -> None:
    text, good, bad = GOOD_GRAMMARS[name]
    constraint = compile_constraint(constraint_of(text))
    assert constraint == Compiled(text, ())
    assert [accepts(vocabulary, constraint, reply) for reply in good + bad] == [True] * len(good) + [
        False
    ] * len(bad)


def chain(depth: int) -> str:
    """Each rule begins in two ways with the next: llama.cpp's search for left recursion doubles."""
    rules = [f'r{i} ::= r{i + 1} "a" | r{i + 1} "b"' for i in range(depth)]
    return "\n".join(["root ::= r0", *rules, f'r{depth} ::= "x"'])


def stacks(depth: int) -> str:
    """Each rule may be empty and holds the next twice: 2**depth stacks."""
    rules = [f'r{i} ::= (r{i + 1} r{i + 1} | "")' for i in range(depth)]
    return "\n".join(["root ::= r0", *rules, f'r{depth} ::= "x"?'])


BAD_GRAMMARS = {
    "empty": ("", "is empty"),
    "blank": (" \n# nothing\n", "is empty"),
    "no root": ('start ::= "a"', "no rule `root`"),
    "undefined": ("root ::= a b", "does not define: a, b"),
    "undefined in a group": ('root ::= ("a" | b)*', "does not define: b"),
    "no arrow": ('root = "a"', "line 1, column 6: expected ::="),
    "no name": ('::= "a"', "expected the name"),
    "open string": ('root ::= "a', "unexpected end"),
    "open class": ("root ::= [a-", "unexpected end"),
    "open class 2": ("root ::= [a", "unexpected end"),
    "open group": ('root ::= ("a"', r"expected \)"),
    "closed group": ('root ::= "a")', "expected the end of the rule"),
    "escape": ('root ::= "\\d"', "unknown escape"),
    "hex": ('root ::= "\\u12"', "unknown escape"),
    "trailing backslash": ('root ::= "\\', "unknown escape"),
    "nothing to repeat": ("root ::= *", "nothing to repeat"),
    "empty repeated": ('root ::= ""*', "nothing to repeat"),
    "repetition": ('root ::= "a"{x}', "expected {n}"),
    "open repetition": ('root ::= "a"{2', "expected {n}"),
    "no lower bound": ('root ::= "a"{,2}', "expected {n}"),
    "bounds": ('root ::= "a"{5,2}', "upper bound is below"),
    "many": ('root ::= "a"{2001}', "more than 2000 repetitions"),
    "huge": ('root ::= "a"{99999999999999999999}', "more than 2000"),
    "many up to": ('root ::= "a"{0,100000}', "more than 2000"),
    "multiplied": ('root ::= ("a"{0,1000}){0,1000}', "too many repetitions"),
    "multiplied by names": (
        'root ::= a{2000}\na ::= b{2000}\nb ::= ("x" "y" "z" "w" "x" "y" "z" "w"){200}' * 1,
        None,
    ),
    "large": ("\n".join(f'r{i} ::= "a"{{2000}}' for i in range(300)) + "\nroot ::= r1", "too large"),
    "left recursion": ('root ::= root "a" | "b"', "`root` begins with itself"),
    "left recursion by two": ('root ::= a "x"\na ::= root "y" | "z"', "begins with itself"),
    "left recursion behind an optional": ('root ::= "a"? root "b" | "c"', "begins with itself"),
    "left recursion behind an indirectly empty rule": (
        'root ::= a root "x" | "z"\na ::= b\nb ::= c\nc ::= "y"?',
        "begins with itself",
    ),
    "starred empty": ('root ::= ("a"?)*', "begins with itself"),
    "never ends": ('root ::= "a" root', "`root` never ends"),
    "never ends by two": ('root ::= "a" | x\nx ::= "b" y\ny ::= "c" x', "never ends"),
    "nested parentheses": ("root ::= " + "(" * 10_000 + '"a"' + ")" * 10_000, "nested deeper"),
    "long chain": (
        "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(20_000)) + '\nr20000 ::= "a"',
        "too deep",
    ),
    "exponential search": (chain(60), "too"),
    "exponential stacks": (stacks(60), "too"),
    "many choices": ("root ::= " + " | ".join(f'"{i}"' for i in range(20_000)), "too ambiguous"),
    "many optional": ("root ::= " + '"a"? ' * 6000 + '"b"', "too ambiguous"),
    "token": ('root ::= "a" <[42]>', "token references"),
    "token by name": ("root ::= <|im_end|>", "token references"),
    "not a token": ("root ::= !<[42]>", "token references"),
    "nul": ('root ::= "a"\0 garbage', "NUL"),
    "surrogate": ('root ::= "\ud800"', "surrogates"),
    "megabytes": ('root ::= "' + "a" * 2_000_000 + '"', "characters"),
    "underscore": ('root ::= a_b\na_b ::= "x"', "expected the end of the rule"),
    "lark": ("%llguidance {}\nstart: /a/", "expected the name"),
}


@pytest.mark.parametrize("name", BAD_GRAMMARS)
def test_bad_grammar(vocabulary: Vocabulary, name: str) -> None:
    """In this process: if one of them reached llama.cpp, the tests would end here."""
    text, said = BAD_GRAMMARS[name]
    started = perf_counter()
    if said is None:
        GrammarState(compile_constraint(constraint_of(text)), vocabulary).close()
    else:
        with pytest.raises(ConfigError, match=said):
            compile_constraint(constraint_of(text))
    assert perf_counter() - started < 5


def test_refused_by_llama(vocabulary: Vocabulary, capfd: pytest.CaptureFixture[str]) -> None:
    """NULL is an error too, should `gbnf` and llama.cpp ever differ."""
    for text in ("root ::= (", "a ::= b", 'root ::= root "a"', 'x ::= "a"'):
        with pytest.raises(ConfigError, match=r"llama\.cpp refuses the grammar"):
            GrammarState(Compiled(text), vocabulary)
    assert "error parsing grammar" in capfd.readouterr().err


NAMES = st.sampled_from(["root", "a", "b"])
ATOMS = st.one_of(
    st.sampled_from(['"x"', '""', "[a-c]", "[^x]", ".", '"\\n"', "[", '"', "\\", "<", "\n", "::=", "#", "é"]),
    NAMES,
)
PARTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,3}", "{1,}", "{3,1}", "{"])).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({' '.join(parts)})"),
        st.lists(inner, min_size=1, max_size=3).map(" | ".join),
    ),
    max_leaves=8,
)
GRAMMARS = st.lists(st.tuples(NAMES, PARTS), min_size=1, max_size=3).map(
    lambda rules: "\n".join(f"{name} ::= {part}" for name, part in rules)
)


@given(text=GRAMMARS)
@settings(max_examples=150, deadline=None)
def test_what_is_let_through_is_read_by_llama(vocabulary: Vocabulary, text: str) -> None:
    """The reader agrees with llama.cpp's: none that it allows is refused there, and none kills."""
    try:
        gbnf.check(text)
    except ConfigError:
        return
    state = GrammarState(Compiled(text), vocabulary)
    sampler = Sampler(Sampling(temperature=1, top_k=0, top_p=1, min_p=0))
    random = np.random.default_rng(1)
    for _ in range(5):
        try:
            token = state.choose(random.normal(size=vocabulary.size).astype(np.float32), sampler)
        except EngineError:
            break
        state.accept(token)
        if token in vocabulary.end_of_generation:
            break
    state.close()


# Replies.


def reply(
    vocabulary: Vocabulary, constraint: Compiled, seed: int, sampling: Sampling, limit: int = 400
) -> tuple[str, bool]:
    """Text of a model that knows nothing, and whether the grammar let it end."""
    random = np.random.default_rng(seed)
    state, sampler, text = GrammarState(constraint, vocabulary), Sampler(sampling), Detokeniser(vocabulary)
    noise = random.normal(size=vocabulary.size).astype(np.float32) * 3
    closing = [
        vocabulary.tokenise_text(piece)[0] for piece in ('"', "}", "]", '"}', '",', ",", "]}", "@", ".")
    ]
    closing += list(vocabulary.end_of_generation)
    try:
        for step in range(limit):
            row = np.roll(noise, int(random.integers(vocabulary.size)))
            row[closing] += np.float32(step / 2)
            token = state.choose(row, sampler)
            state.accept(token)
            if token in vocabulary.end_of_generation:
                return text.text(), True
            text.add(token)
        return text.text(), False
    finally:
        state.close()


LAWS: dict[str, Any] = {
    "object": {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "minimum": 1, "maximum": 250},
            "name": {"type": "string", "minLength": 1, "maxLength": 12},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c\\"]}, "maxItems": 3},
            "ratio": {"type": "number", "minimum": 0, "maximum": 1},
            "when": {"type": "string", "format": "date"},
        },
        "required": ["id", "tags"],
        "additionalProperties": False,
    },
    "nested arrays": {
        "type": "array",
        "items": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
        "minItems": 2,
        "maxItems": 4,
    },
    "tuple": {
        "prefixItems": [{"const": 1}, {"type": "string", "maxLength": 3}],
        "items": False,
        "minItems": 2,
    },
    "anyOf and $ref": {
        "$defs": {
            "leaf": {"type": "object", "properties": {"v": {"type": ["integer", "null"]}}, "required": ["v"]},
            "node": {
                "anyOf": [
                    {"$ref": "#/$defs/leaf"},
                    {
                        "type": "object",
                        "properties": {
                            "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}
                        },
                        "required": ["kids"],
                    },
                ]
            },
        },
        "$ref": "#/$defs/node",
    },
    "open object": {
        "type": "object",
        "properties": {"kind": {"const": "x"}, "kin": {"type": "null"}},
        "required": ["kind"],
        "additionalProperties": {"type": "integer", "exclusiveMinimum": -7, "multipleOf": 3},
    },
    "patterns": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^[A-Z]\w{0,3}( |\t|\")[^\d\s]{1,4}\.?$"},
        "minItems": 1,
        "maxItems": 3,
    },
    "formats": {
        "type": "object",
        "properties": {
            name: {"type": "string", "format": name}
            for name in ("date", "time", "date-time", "uuid", "ipv4", "email", "hostname")
        },
        "required": ["date", "time", "date-time", "uuid", "ipv4", "email"],
    },
    "numbers": {
        "type": "array",
        "prefixItems": [
            {"type": "integer", "minimum": -120, "exclusiveMaximum": 35},
            {"type": "integer", "minimum": 17},
            {"type": "integer", "maximum": -3},
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "number", "minimum": -20, "exclusiveMaximum": 7},
            {"type": "number", "maximum": 0},
            {"type": "number", "exclusiveMinimum": -100, "maximum": -99},
            {"type": "number"},
        ],
        "minItems": 8,
    },
    "anything": True,
    "conditions": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string", "maxLength": 2}},
        "if": {"required": ["a"]},
        "then": {"required": ["b"]},
    },
}


def less(schema: Any, ignored: tuple[str, ...]) -> Any:
    """The schema without the keywords that are ignored, wherever they stand."""
    words = {line.split(" at ")[0] for line in ignored}
    formats = {line.rpartition("(")[2][:-1] for line in ignored if line.startswith("format at")}
    if isinstance(schema, dict):
        return {
            key: less(value, ignored)
            for key, value in schema.items()
            if not (key in words - {"format"} or (key == "format" and value in formats))
        }
    return [less(value, ignored) for value in schema] if isinstance(schema, list) else schema


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    top_k=st.sampled_from([0, 1, 40]),
    top_p=st.sampled_from([0.5, 1.0]),
    min_p=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 100),
)


@pytest.mark.parametrize("name", LAWS)
def test_whatever_the_model_the_reply_matches(vocabulary: Vocabulary, name: str) -> None:
    schema = LAWS[name]
    constraint = compiled(schema)
    validator = Draft202012Validator(
        less(schema, constraint.ignored), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    ended = []

    @given(seed=st.integers(0, 2**32), sampling=SAMPLINGS)
    @settings(max_examples=6, deadline=None)
    def law(seed: int, sampling: Sampling) -> None:
        text, end = reply(vocabulary, constraint, seed, sampling)
        ended.append(end)
        if end:
            validator.validate(json.loads(text))

    law()
    assert sum(ended) >= len(ended) * 0.9


def test_equal_seeds_give_equal_replies(vocabulary: Vocabulary) -> None:
    constraint = compiled(LAWS["object"])
    sampling = Sampling(temperature=1.0, seed=5)
    first = reply(vocabulary, constraint, 3, sampling)
    assert first == reply(vocabulary, constraint, 3, sampling)
    assert first != reply(vocabulary, constraint, 3, Sampling(temperature=1.0, seed=6))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_greedy_takes_the_best_allowed_token(vocabulary: Vocabulary, seed: int) -> None:
    """The look at the best 64 gives what the pass over the vocabulary gives."""
    row = np.random.default_rng(seed).normal(size=vocabulary.size).astype(np.float32)
    state = GrammarState(compile_constraint(constraint_of("root ::= [a-zA-Z ]+")), vocabulary)
    best = np.where(state.allowed(), row, -np.inf).argmax()
    assert state.choose(row, Sampler(Sampling())) == best
    state.close()


def test_control_tokens_and_halves_of_characters(vocabulary: Vocabulary) -> None:
    """To llama.cpp's grammar a control token is its name, and any byte may follow a first byte."""
    state = GrammarState(compile_constraint(constraint_of("root ::= .*")), vocabulary)
    allowed = state.allowed()
    for token in range(17):  # SmolLM2's control tokens
        assert bool(allowed[token]) == (token in vocabulary.end_of_generation)
    halves = {vocabulary.piece(token): token for token in range(vocabulary.size)}
    state.accept(halves[b"\xe2"])
    assert not state.allowed()[min(vocabulary.end_of_generation)]
    assert not state.allowed()[halves[b"a"]]
    assert state.choose(np.zeros(vocabulary.size, dtype=np.float32), Sampler(Sampling())) not in (
        vocabulary.end_of_generation
    )
    with pytest.raises(EngineError, match="does not allow the token 'a'"):
        state.accept(halves[b"a"])
    state.close()


def test_end_of_generation_is_allowed_where_the_grammar_ends(vocabulary: Vocabulary) -> None:
    state = GrammarState(compile_constraint(constraint_of('root ::= "a" "b"?')), vocabulary)
    end = min(vocabulary.end_of_generation)
    assert not state.allowed()[end]
    with pytest.raises(EngineError, match="does not allow"):
        state.accept(end)
    state.accept(vocabulary.tokenise_text("a")[0])
    assert state.allowed()[end]
    state.accept(end)
    with pytest.raises(EngineError, match="at its end"):
        state.allowed()
    state.close()
    state.close()


def test_exhaustion(vocabulary: Vocabulary) -> None:
    """U+0000 is in no piece that may be used."""
    state = GrammarState(compile_constraint(constraint_of('root ::= "a" [\\x00]')), vocabulary)
    state.accept(vocabulary.tokenise_text("a")[0])
    row = np.zeros(vocabulary.size, dtype=np.float32)
    for sampling in (Sampling(), Sampling(temperature=1.0)):
        with pytest.raises(EngineError, match="the grammar allows no token here"):
            state.choose(row, Sampler(sampling))
    state.close()


def test_an_ambiguous_grammar_is_given_up(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stacks double with every x."""
    monkeypatch.setattr("pytest_llmcheck.engines.llama.grammar.PATIENCE", 0.2)
    text = 'root ::= "x" | "x" root "y" | "x" root "z"'
    state = GrammarState(compile_constraint(constraint_of(text)), vocabulary)
    x = vocabulary.tokenise_text("x")[0]

    def go_on() -> None:
        for _ in range(40):
            state.accept(x)

    with pytest.raises(EngineError, match="too ambiguous"):
        go_on()
    state.close()
