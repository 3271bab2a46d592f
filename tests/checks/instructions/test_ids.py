"""IFEval's ids and parameters make the typed checks, and nothing else; wrong arguments are errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import pytest_llmcheck as checks
import pytest_llmcheck.checks.instructions as room
from pytest_llmcheck.checks.instructions import INSTRUCTIONS, instruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.verdict import Check

AT_LEAST = {"relation": "at least"}
LESS_THAN = {"relation": "less than"}
SAME: list[tuple[str, dict[str, Any], Check]] = [
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 3, "capital_relation": "at least"},
        checks.capital_words(at_least=3),
    ),
    ("change_case:english_capital", {}, checks.uppercase(language="en")),
    ("change_case:english_lowercase", {}, checks.lowercase(language="en")),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi. "}, checks.repeats_prompt("Say hi.")),
    ("combination:two_responses", {}, checks.two_responses()),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, checks.placeholders(at_least=2)),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, checks.postscript("P.P.S")),
    (
        "detectable_format:constrained_response",
        {},
        checks.one_of_answers("My answer is yes.", "My answer is no.", "My answer is maybe."),
    ),
    ("detectable_format:json_format", {}, checks.is_json()),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Day", "num_sections": 7},
        checks.sections(marker="Day", at_least=7),
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 3}, checks.bullets(3)),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 3}, checks.highlighted(at_least=3)),
    ("detectable_format:title", {}, checks.title()),
    ("keywords:existence", {"keywords": ["a", "b"]}, checks.keywords("a", "b")),
    ("keywords:forbidden_words", {"forbidden_words": ["a", "b"]}, checks.forbidden("a", "b")),
    (
        "keywords:frequency",
        {"keyword": "a", "frequency": 2, **LESS_THAN},
        checks.keyword_frequency("a", at_most=1),
    ),
    (
        "keywords:letter_frequency",
        {"letter": "Q", "let_frequency": 1, "let_relation": "less than"},
        checks.letter_frequency("q", at_most=0),
    ),
    ("language:response_language", {"language": "kn"}, checks.language("kn")),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "So"},
        checks.nth_paragraph_starts_with(2, "so", paragraphs=3),
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, checks.paragraphs(exactly=3)),
    ("length_constraints:number_sentences", {"num_sentences": 3, **AT_LEAST}, checks.sentences(at_least=3)),
    ("length_constraints:number_words", {"num_words": 60, **LESS_THAN}, checks.words(at_most=59)),
    ("punctuation:no_comma", {}, checks.no_commas()),
    ("startend:end_checker", {"end_phrase": " Bye."}, checks.ends_with("Bye.")),
    ("startend:quotation", {}, checks.quoted()),
]


@pytest.mark.parametrize(("id_", "parameters", "check"), SAME, ids=[id_ for id_, _, _ in SAME])
def test_the_same_as_the_typed_check(id_: str, parameters: dict[str, Any], check: Check) -> None:
    made = instruction(id_, **parameters)
    assert (made, hash(made), repr(made)) == (check, hash(check), repr(check))
    # The data set at its usual place has every name in every row.
    assert (
        instruction(id_, **{"num_words": None, "letter": None, "section_spliter": None} | parameters) == check
    )


def test_all_are_there() -> None:
    assert [id_ for id_, _, _ in SAME] == list(INSTRUCTIONS)


NUMBER_WORDS = "length_constraints:number_words"


@pytest.mark.parametrize(
    ("id_", "parameters", "error", "message"),
    [
        (
            "punctuation:no_commas",
            {},
            ValueError,
            "no instruction of IFEval has the id 'punctuation:no_commas'; did you mean "
            "'punctuation:no_comma'?",
        ),
        (NUMBER_WORDS, {"num_words": 60}, ValueError, f"{NUMBER_WORDS} needs relation"),
        (NUMBER_WORDS, {}, ValueError, f"{NUMBER_WORDS} needs num_words, relation"),
        (
            NUMBER_WORDS,
            {"num_word": 60, **AT_LEAST},
            ValueError,
            f"{NUMBER_WORDS} has no parameter 'num_word'; did you mean 'num_words'?",
        ),
        (
            NUMBER_WORDS,
            {"num_words": 60, "relation": "at most"},
            ValueError,
            f"{NUMBER_WORDS}: a relation is 'less than' or 'at least', got 'at most'",
        ),
        (
            NUMBER_WORDS,
            {"num_words": 60.0, **AT_LEAST},
            TypeError,
            f"{NUMBER_WORDS}: num_words takes a whole number, got 60.0",
        ),
        (
            NUMBER_WORDS,
            {"num_words": -1, **AT_LEAST},
            ValueError,
            f"{NUMBER_WORDS}: num_words takes a number of at least 1, got -1",
        ),
        (
            "punctuation:no_comma",
            {"relation": 1},
            ValueError,
            "punctuation:no_comma has no parameter 'relation'; none is known",
        ),
        (
            "keywords:existence",
            {"keywords": "fox"},
            TypeError,
            "keywords:existence: keywords takes a list of texts, got 'fox'",
        ),
        (
            "keywords:letter_frequency",
            {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            ValueError,
            "keywords:letter_frequency: letter_frequency takes one letter, got 'ab'; for more there is "
            "keyword_frequency",
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "so"},
            ValueError,
            "length_constraints:nth_paragraph_first_word: nth_paragraph_starts_with: there is no paragraph 2 "
            "of 1",
        ),
    ],
)
def test_errors_of_ids(id_: str, parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        instruction(id_, **parameters)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: checks.words(), ValueError, "words needs a limit: at_least=, at_most= or exactly="),
        (
            lambda: checks.words(at_least=9, at_most=1),
            ValueError,
            "words: at_least=9 is more than at_most=1, so no reply could pass",
        ),
        (
            lambda: checks.words(at_least=0),
            ValueError,
            "words: at_least takes a number of at least 1, got 0",
        ),
        (
            lambda: checks.words(exactly=1, at_most=1),
            ValueError,
            "words: exactly= excludes at_least= and at_most=",
        ),
        (lambda: checks.words(at_most=True), TypeError, "words: at_most takes a whole number, got True"),
        (lambda: checks.keywords(), ValueError, "keywords needs at least one text"),
        (lambda: checks.forbidden("a", " "), ValueError, "forbidden takes a text that is not blank, got ' '"),
        (
            lambda: checks.ends_with(3),  # type: ignore[arg-type]  # wrong on purpose
            TypeError,
            "ends_with takes a text, got 3",
        ),
        (
            lambda: checks.nth_paragraph_starts_with(1, "Dear Sir"),
            ValueError,
            "nth_paragraph_starts_with: word takes one word, got 'dear sir'",
        ),
        (
            lambda: checks.language("german"),
            ValueError,
            "language takes a code of ISO 639-1, such as 'de', got 'german'; did you mean 'de'?",
        ),
        (
            lambda: checks.language("de-DE"),
            ValueError,
            "language takes a code of ISO 639-1, such as 'de', got 'de-DE'; did you mean 'de'?",
        ),
        (
            lambda: checks.uppercase(language="EN"),
            ValueError,
            "uppercase: language takes a code of ISO 639-1, such as 'de', got 'EN'; did you mean 'en'?",
        ),
    ],
)
def test_errors_of_functions(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


COUNTS = ["words", "sentences", "capital_words", "highlighted", "placeholders"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (f"{name}(60)", f"{name} takes at_least=, at_most= or exactly= by name: write {name}(exactly=60)")
            for name in COUNTS
        ),
        *(
            (
                f"{name}('x', 2)",
                f"{name} takes at_least=, at_most= or exactly= by name: write {name}('x', exactly=2)",
            )
            for name in ("keyword_frequency", "letter_frequency")
        ),
        (
            "sections(3)",
            "sections takes marker=, at_least=, at_most= or exactly= by name: write sections(exactly=3)",
        ),
        ("sections('Day', 3)", "sections takes marker=, at_least=, at_most= or exactly= by name"),
        ("words(60, at_most=80)", "words takes at_least=, at_most= or exactly= by name"),
        ("words('60')", "words takes at_least=, at_most= or exactly= by name"),
        ("paragraphs(3, 4)", "paragraphs takes at_least= or at_most= by name"),
        ("bullets(3, 4)", "bullets takes at_least= or at_most= by name"),
        (
            "nth_paragraph_starts_with(1, 'The', 2)",
            "nth_paragraph_starts_with takes paragraphs= by name: "
            "write nth_paragraph_starts_with(1, 'The', paragraphs=2)",
        ),
        ("uppercase('en')", "uppercase takes language= by name: write uppercase(language='en')"),
        ("lowercase('en')", "lowercase takes language= by name: write lowercase(language='en')"),
        ("words(atmost=60)", "words has no atmost=; did you mean 'at_most'?"),
        ("bullets(number=3)", "bullets has no number=; known: at_least, at_most, exactly"),
    ],
)
def test_calls_that_python_would_refuse(call: str, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        eval(call, {**vars(room)})


@pytest.mark.parametrize(
    ("call", "same"),
    [
        ("paragraphs(3)", "paragraphs(exactly=3)"),
        ("bullets(3)", "bullets(exactly=3)"),
        ("keyword_frequency(word='x', exactly=2)", "keyword_frequency('x', exactly=2)"),
    ],
)
def test_calls_that_mean_the_same(call: str, same: str) -> None:
    assert eval(call, {**vars(room)}) == eval(same, {**vars(room)})
