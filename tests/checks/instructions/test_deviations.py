"""Where the verdicts are meant to differ from the official code's: each row of the table in the docs.

What the official code does is shown too, so that a row goes when its fault is mended there.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from pytest_llmcheck.checks.instructions import instruction, judge
from tests.support.official_ifeval import if_verifiable, lm_eval

AT_LEAST_2 = {"relation": "at least", "num_sentences": 2}
DIFFERENT: list[tuple[str, dict[str, Any], str, bool | None]] = [
    # A language that cannot be told counts as followed.
    ("language:response_language", {"language": "de"}, "12345", None),
    # Capitals alone are taken for whatever looks like them.
    ("language:response_language", {"language": "en"}, "A COW IS A COW, AND A COW IS A COW.", True),
    # The word is taken as a regular expression.
    ("keywords:existence", {"keywords": ["a.c"]}, "abc", False),
    ("keywords:frequency", {"keyword": "1+1", "frequency": 1, "relation": "at least"}, "It is 1+1", True),
    ("keywords:forbidden_words", {"forbidden_words": ["and/or?"]}, "This and/o", True),
    ("detectable_format:multiple_sections", {"section_spliter": "S.", "num_sections": 1}, "So 1", False),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, "Two snobs", False),
    # So is the space around it.
    ("keywords:existence", {"keywords": ["zax "]}, "A zax.", True),
    ("keywords:forbidden_words", {"forbidden_words": ["zax "]}, "A zax.", False),
    # A word that ends in a sign is never found before a space.
    ("keywords:forbidden_words", {"forbidden_words": ["C#"]}, "I like C# best", False),
    # Python's JSON is not that of RFC 8259.
    ("detectable_format:json_format", {}, "[NaN]", False),
    ("detectable_format:json_format", {}, '{"a": 1, "a": 2}', False),
    # "don't" can never be the first word, since it is cut at the apostrophe.
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "don't"},
        "Don't go.",
        True,
    ),
    # The numbers of a list, and what follows some abbreviations, count as sentences.
    ("length_constraints:number_sentences", AT_LEAST_2, "1. Apple\n2. Pear", False),
    ("length_constraints:number_sentences", AT_LEAST_2, "It is small, i.e. very small.", False),
]


@pytest.mark.parametrize(("id_", "parameters", "text", "ours"), DIFFERENT)
def test_differs_on_purpose(id_: str, parameters: dict[str, Any], text: str, ours: bool | None) -> None:
    assert judge(text, [instruction(id_, **parameters)]).strict == (ours,)
    for official in (lm_eval(), if_verifiable()):
        assert official(text, id_, **parameters)[0] is not ours


def test_a_word_that_is_no_regular_expression() -> None:
    asked = {"keywords": ["C++", "(a"]}
    assert judge("C++ (a", [instruction("keywords:existence", **asked)]).strict == (True,)
    with pytest.raises(Exception, match=r"missing \)|multiple repeat"):
        lm_eval()("C++ (a", "keywords:existence", **asked)


def test_json_without_a_bottom() -> None:
    text = "[" * 200_000
    assert judge(text, [instruction("detectable_format:json_format")]).strict == (False,)
    with pytest.raises(RecursionError):
        lm_eval()(text, "detectable_format:json_format")


def test_a_sign_for_a_letter() -> None:
    asked = {"letter": "#", "let_frequency": 2, "let_relation": "at least"}
    check = instruction("keywords:letter_frequency", **asked)
    assert [judge(text, [check]).strict[0] for text in ("# a #", "# a")] == [True, False]
    said = set()
    for seed in range(40):
        random.seed(seed)
        said.add(lm_eval()("e # t # e t", "keywords:letter_frequency", **asked)[0])
    assert said == {True, False}


def test_missing_parameters() -> None:
    said = set()
    for seed in range(40):
        random.seed(seed)
        said.add(lm_eval()("word " * 300, "length_constraints:number_words", num_words=300)[0])
    assert said == {True, False}
    with pytest.raises(ValueError, match=r"^length_constraints:number_words needs relation$"):
        instruction("length_constraints:number_words", num_words=300)


def test_an_unknown_id() -> None:
    if_verifiable()  # What it has unpacked can be imported from now on.
    from if_verifiable.common import evaluate_instructions  # type: ignore[import-not-found]
    from if_verifiable.ifeval import INSTRUCTION_DICT  # type: ignore[import-not-found]

    _, scores = evaluate_instructions(
        "Yes", ["no:such", "punctuation:no_comma"], [{}, {}], "", INSTRUCTION_DICT
    )
    assert scores.binary_strict == 1.0  # Of the two, all are followed.
    with pytest.raises(ValueError, match=r"^no instruction of IFEval has the id 'no:such'"):
        instruction("no:such")
