"""Checks by their names and arguments, as files have them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pytest_llmcheck
from pytest_llmcheck import (
    all_of,
    any_of,
    calls,
    calls_only,
    check,
    contains,
    finished,
    follows,
    json_equals,
    json_field,
    matches,
    matches_schema,
    mentions_numbers,
    no_commas,
    not_,
    prompt_share,
    refuses,
    similar_to,
    thought,
    words,
)
from pytest_llmcheck.checks.by_name import check_from, checks_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.verdict import Check, Judged


@check("polite")
def polite(reply: Judged, *, words: object = ("please",)) -> bool:
    return True


@check("any_keyword")
def any_keyword(reply: Judged, **given: object) -> bool:
    return True


def has_letter(letter: str, *others: str) -> Check:
    return contains(letter, *others)


ADDED: dict[str, Callable[..., Check]] = {
    "polite": polite,
    "any_keyword": any_keyword,
    "has_letter": has_letter,
    "contains": has_letter,
}


@pytest.mark.parametrize(
    ("name", "argument", "made"),
    [
        ("contains", "a", contains("a")),
        ("contains", ["a", "b"], contains("a", "b")),
        ("contains", {"texts": ["a", "b"], "ignore_case": True}, contains("a", "b", ignore_case=True)),
        ("contains", {"texts": "a"}, contains("a")),
        ("matches", "a+", matches("a+")),
        ("matches", {"pattern": "a+", "flags": 2}, matches("a+", 2)),
        ("matches_schema", {"type": "object"}, matches_schema({"type": "object"})),
        ("matches_schema", {}, matches_schema({})),
        ("matches_schema", True, matches_schema(True)),
        ("prompt_share", {"system": 0.5}, prompt_share(system=0.5)),
        ("mentions_numbers", [1, 2.5], mentions_numbers([1, 2.5])),
        ("similar_to", {"text": "abc", "at_least": 0.5}, similar_to("abc", at_least=0.5)),
        ("instruction", "punctuation:no_comma", no_commas()),
        ("instruction", {"id": "punctuation:no_comma"}, no_commas()),
        ("instruction", {"punctuation:no_comma": {}}, no_commas()),
        (
            "instruction",
            {"id": "length_constraints:number_words", "relation": "at least", "num_words": 3},
            words(at_least=3),
        ),
        ("finished", None, finished()),
        ("refuses", True, refuses()),
        ("refuses", {}, refuses()),
        ("not_", {"contains": "a"}, not_(contains("a"))),
        ("not", {"contains": "a"}, not_(contains("a"))),
        ("not_", "refuses", not_(refuses())),
        ("not_", {"check": {"contains": "a"}}, not_(contains("a"))),
        ("all_of", {"contains": "a", "refuses": True}, all_of(contains("a"), refuses())),
        (
            "any_of",
            ["refuses", {"contains": "a"}, {"contains": "b"}],
            any_of(refuses(), contains("a"), contains("b")),
        ),
        ("any_of", [{"not": {"all_of": ["refuses"]}}], any_of(not_(all_of(refuses())))),
        ("thought", {"contains": "a"}, thought(contains("a"))),
        ("calls", "look_up", calls("look_up")),
        ("calls", {"tool": "look_up", "city": "Rome"}, calls("look_up", city="Rome")),
        ("calls", {"tool": "look_up", "arguments": {"tool": "x"}}, calls("look_up", {"tool": "x"})),
        ("calls", {"get_weather": {"city": "Berlin"}}, calls("get_weather", city="Berlin")),
        ("calls", {"now": {}}, calls("now")),
        ("calls", {"tool": {"tool": "x", "from": 1}}, calls("tool", {"tool": "x", "from": 1})),
        (
            "calls",
            {"get_weather": {"city": {"contains": "Ber"}, "at": {"lat": 1}}},
            calls("get_weather", city=contains("Ber"), at={"lat": 1}),
        ),
        (
            "calls",
            {"tool": "get_weather", "city": {"not": {"contains": "a"}}},
            calls("get_weather", city=not_(contains("a"))),
        ),
        ("calls_only", "now", calls_only("now")),
        ("calls_only", {"get_weather": {"city": "Berlin"}}, calls_only("get_weather", city="Berlin")),
        (
            "calls_only",
            ["now", {"get_weather": {"city": "Rome"}}, {"get_weather": {"city": {"matches": "^B"}}}],
            calls_only("now", calls("get_weather", city="Rome"), calls("get_weather", city=matches("^B"))),
        ),
        ("not", {"calls": {"get_weather": {}}}, not_(calls("get_weather"))),
        ("calls_only", ["a", {"calls": {"tool": "b", "x": 1}}], calls_only("a", calls("b", x=1))),
        ("json_equals", {"a": 1}, json_equals({"a": 1})),
        ("json_equals", {"expected": [1], "ignore": ["$.a"]}, json_equals([1], ignore=["$.a"])),
        ("json_equals", None, json_equals(None)),
        ("json_field", {"path": "$.a", "check_or_value": 3}, json_field("$.a", 3)),
        (
            "json_field",
            {"path": "$.a", "check_or_value": {"contains": "b"}},
            json_field("$.a", contains("b")),
        ),
        ("json_field", {"path": "$.a", "check_or_value": {"b": 1}}, json_field("$.a", {"b": 1})),
        ("follows", ["no_commas", {"words": {"at_most": 3}}], follows(no_commas(), words(at_most=3))),
        ("has_letter", {"letter": "a", "others": ["b", "c"]}, contains("a", "b", "c")),
        ("any_keyword", {"a": 1}, any_keyword(a=1)),
        ("any_keyword", {}, any_keyword),
        ("polite", {"words": ["a"]}, polite(words=["a"])),
        ("polite", True, polite),
        ("has_letter", "a", contains("a")),
    ],
)
def test_check_from(name: str, argument: object, made: Check) -> None:
    assert check_from(name, argument, ADDED) == made


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("contain", "a", "no check is called 'contain': did you mean 'contains'?"),
        ("contains", 3, "contains takes texts, got int: 3"),
        ("contains", [], "contains needs at least one text, and none that is empty"),
        ("contains", {"text": ["a"]}, "contains takes texts, got dict: {'text': ['a']}"),
        (
            "matches",
            "(",
            "matches('('): not a valid regular expression: missing ), unterminated subpattern at position 0",
        ),
        ("prompt_share", {"sytem": 1}, "prompt_share: it has no parameter 'sytem': did you mean 'system'?"),
        (
            "prompt_share",
            1,
            "prompt_share: expected an object with system, tools, documents, history, user, got 1",
        ),
        ("finished", 3, "finished: expected no argument (write true), got 3"),
        ("finished", False, "finished: expected no argument (write true), got False"),
        (
            "similar_to",
            "a",
            "similar_to: it needs 'at_least', in an object of its parameters (text, at_least, by)",
        ),
        (
            "instruction",
            ["punctuation:no_comma", {}],
            "instruction: expected the id of an instruction, or an object such as "
            '{"id": "length_constraints:number_words", "relation": "at least", "num_words": 60}; '
            "got ['punctuation:no_comma', {}]",
        ),
        ("not_", {"contains": "a", "matches": "b"}, "not_: check is one check, got 2: put them into all_of"),
        ("not_", {"contain": "a"}, "not_: no check is called 'contain': did you mean 'contains'?"),
        ("calls", {"a": {}, "b": {}}, "calls takes the name of a tool, got dict: {'a': {}, 'b': {}}"),
        (
            "calls",
            {"a": {"city": {"contain": "x"}, "b": {1}}},
            "calls('a'): b is to be a JSON value or a check, got {1}",
        ),
        (
            "calls_only",
            [3],
            "calls_only takes calls(...) or the name of a tool for each call, got 3",
        ),
        ("all_of", [], 'all_of: no check is named; for example {"contains": "Paris"}'),
        ("all_of", 3, 'all_of: expected checks by name, such as {"contains": "Paris"}; got 3'),
        ("polite", {"word": "a"}, "polite: it has no parameter 'word': did you mean 'words'?"),
    ],
)
def test_errors(name: str, argument: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_from(name, argument, ADDED)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["check", "HEALTH", "", "__doc__"])
def test_what_is_no_check(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^no check is called {name!r}: "):
        check_from(name, "a")


def test_what_is_added_replaces_nothing() -> None:
    assert check_from("contains", {"texts": ["a"], "ignore_case": True}, ADDED) == contains(
        "a", ignore_case=True
    )


def test_what_is_added_must_make_checks() -> None:
    with pytest.raises(ValueError, match=r"^odd: expected a check with a name, got 3$"):
        check_from("odd", "a", {"odd": lambda text: 3})  # type: ignore[dict-item, return-value]  # on purpose


def test_checks_from() -> None:
    assert checks_from({"contains": "a", "finished": True}) == (contains("a"), finished())
    assert checks_from(["finished", {"contains": "a"}]) == (finished(), contains("a"))
    assert checks_from("finished") == (finished(),)
    with pytest.raises(ValueError, match="expected checks by name"):
        checks_from({1: "a"})


def rows_of_the_page() -> list[tuple[str, str]]:
    """What files say and what it means, from the tables of the page."""
    page = (Path(__file__).parents[2] / "docs" / "cases.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(\{[^`]*\})`[^|]* \| `([^`]*)`", page, re.MULTILINE)


@pytest.mark.parametrize(("written", "means"), rows_of_the_page())
def test_the_tables_of_the_page(
    written: str, means: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ticket.schema.json").write_text('{"type": "object"}', encoding="utf-8")
    names = {name: getattr(pytest_llmcheck, name) for name in pytest_llmcheck.__all__}
    assert checks_from(json.loads(written)) == (eval(means, names),)


def test_the_page_has_all_tables() -> None:
    assert len(rows_of_the_page()) == 17


def test_a_schema_is_found_from_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "a.json").write_text('{"type": "object"}', encoding="utf-8")
    (made,) = checks_from(
        {"not": {"matches_schema": {"schema": "a.json", "extract": "fence"}}}, folder=folder
    )
    assert repr(made) == "not_(matches_schema('cases/a.json', extract='fence'))"
    absolute = {"matches_schema": str(folder / "a.json")}
    assert repr(checks_from(absolute, folder=folder)) == "(matches_schema('cases/a.json'),)"
    assert checks_from({"matches_schema": "true"}, folder=folder) == (matches_schema(True),)
    with pytest.raises(ValueError, match=re.escape(f"readable file: {tmp_path / 'a.json'}: No such file")):
        checks_from({"matches_schema": "a.json"})
