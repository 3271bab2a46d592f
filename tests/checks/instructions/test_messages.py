"""What each instruction says when it is not followed, word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pytest_llmcheck.checks.instructions as room
from pytest_llmcheck import (
    Status,
    bullets,
    capital_words,
    ends_with,
    forbidden,
    highlighted,
    is_json,
    keyword_frequency,
    keywords,
    letter_frequency,
    lowercase,
    no_commas,
    nth_paragraph_starts_with,
    one_of_answers,
    paragraphs,
    placeholders,
    postscript,
    quoted,
    repeats_prompt,
    sections,
    sentences,
    starts_with,
    title,
    two_responses,
    uppercase,
    words,
)
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

CASES: list[tuple[Check, str, str]] = [
    (
        words(at_most=3),
        "It goes on and on",
        "expected at most 3 words, got 5; the first too many:|It goes on and on|           ^",
    ),
    (words(at_least=3), "It goes", "expected at least 3 words, got 2"),
    (words(exactly=1), "It goes", "expected exactly 1 word, got 2; the first too many:|It goes|   ^"),
    (words(at_least=2, at_most=3), "It", "expected 2 to 3 words, got 1"),
    (words(at_most=9), "", "the reply is empty"),
    (words(at_most=9), " \n", "the reply is blank"),
    (
        sentences(at_most=1),
        "It is. It was.",
        "expected at most 1 sentence, got 2; the first too many:|It is. It was.|       ^",
    ),
    (sentences(at_least=3), "It is. It was.", "expected at least 3 sentences, got 2"),
    (paragraphs(2), "One", "expected exactly 2 paragraphs, got 1"),
    (paragraphs(1), "One\n***\nTwo", "expected exactly 1 paragraph, got 2; the first too many:|Two|^"),
    (
        paragraphs(2),
        "One *** *** Two",
        "expected text between two dividers (***), none here:|One *** *** Two|        ^",
    ),
    (
        nth_paragraph_starts_with(2, "So"),
        "One\n\nTwo",
        "expected paragraph 2 to start with the word 'so', got 'Two'|Two|^",
    ),
    (nth_paragraph_starts_with(2, "So"), "One", "expected a paragraph 2 (parted by blank lines), got 1"),
    (
        nth_paragraph_starts_with(1, "One", paragraphs=2),
        "One",
        "expected exactly 2 paragraphs (parted by blank lines), got 1",
    ),
    (
        nth_paragraph_starts_with(2, "So"),
        "One\n\n\n\nSo",
        "paragraph 2 is empty: more than one blank line in a row, or one at the beginning",
    ),
    (bullets(3), "* One\n- Two", "expected exactly 3 bullet points, got 2"),
    (bullets(1), "* One\n- Two", "expected exactly 1 bullet point, got 2; the first too many:|- Two|^"),
    (sections(at_least=2), "Section 1\nText", "expected at least 2 sections, got 1"),
    (highlighted(at_least=2), "*One*", "expected at least 2 highlighted parts, got 1"),
    (placeholders(at_least=1), "Dear Sir", "expected at least 1 placeholder, got 0"),
    (title(), "One", "expected a title in double angular brackets, such as <<a title>>, got none"),
    (two_responses(), "One", "expected 2 responses, parted by ******, got 1"),
    (two_responses(), "One******One", "expected 2 different responses, got the same twice"),
    (two_responses(), "One************Two", "expected text between two separators (******)"),
    (
        is_json(),
        '```json\n{"a": }\n```',
        'expected JSON, in a fence or without; expected a JSON value at line 2, column 7|{"a": }|      ^',
    ),
    (is_json(), "```json\n```", "expected JSON, in a fence or without; the fence is empty"),
    (keywords("fox", "dog"), "A Fox", "expected all 2 keywords in the reply; missing: 'dog'"),
    (keywords("dog"), "A fox", "expected the keyword in the reply; missing: 'dog'"),
    (
        forbidden("fox", "dog"),
        "A Fox, a fox",
        "expected none of the forbidden words, got 'Fox', 'fox'; the first:|A Fox, a fox|  ^",
    ),
    (forbidden("fox"), "A fox", "expected none of the forbidden words, got 'fox':|A fox|  ^"),
    (keyword_frequency("fox", at_least=2), "A fox", "expected at least 2 occurrences of 'fox', got 1"),
    (
        keyword_frequency("fox", at_most=0),
        "A fox",
        "expected no occurrence of 'fox', got 1; the first too many:|A fox|  ^",
    ),
    (one_of_answers("yes", "no"), "Maybe", "expected one of these answers: 'yes', 'no'; got none"),
    (
        letter_frequency("o", at_most=1),
        "Oh no",
        "expected at most 1 occurrence of 'o', got 2; the first too many:|Oh no|    ^",
    ),
    (capital_words(at_least=2), "The BBC", "expected at least 2 words in capital letters, got 1"),
    (uppercase(), "HI you", "expected only capital letters, got 3 lower-case ones; the first:|HI you|   ^"),
    (lowercase(), "hi You", "expected only lower-case letters, got 1 capital letter:|hi You|   ^"),
    (lowercase(), "123", "expected lower-case letters, got no letter that has a case"),
    (no_commas(), "Yes, it is, sir", "expected no comma, got 2 commas; the first:|Yes, it is, sir|   ^"),
    (no_commas(), "Yes, it is", "expected no comma, got 1 comma:|Yes, it is|   ^"),
    (
        starts_with("Dear Sir"),
        "Dear Madam",
        "expected 'Sir' after the first 5 characters, got 'Madam'|Dear Madam|     ^",
    ),
    (starts_with("Dear"), "Hello", "expected the reply to start with 'Dear', got 'Hello'|Hello|^"),
    (
        repeats_prompt("Say hello."),
        "Say hi.",
        "expected 'ello.' after the first 5 characters, got 'i.'|Say hi.|     ^",
    ),
    (ends_with("Bye."), "Hello", "expected the reply to end with 'Bye.', got 'Hello'"),
    (
        ends_with("Bye."),
        "Bye. You?",
        "expected the reply to end with 'Bye.', got 'Bye. You?'|it has that text, and goes on after it",
    ),
    (
        quoted(),
        "One",
        'expected the whole reply in double quotation marks ("), none at the beginning and at the end',
    ),
    (quoted(), '"One', 'expected the whole reply in double quotation marks ("), none at the end'),
    (quoted(), '"', 'expected the whole reply in double quotation marks ("), none at the end'),
    (postscript(), "One", "expected a postscript that begins with 'P.S.', got none"),
]


@pytest.mark.parametrize(("check", "text", "reason"), CASES, ids=[repr(check) for check, _, _ in CASES])
def test_not_followed(check: Check, text: str, reason: str) -> None:
    verdict = check(make_reply(text))
    assert (verdict.status, verdict.score, verdict.check) == (Status.FAILED, 0.0, repr(check))
    assert verdict.reason.split("\n") == reason.split("|")


def test_every_function_but_language_has_a_case() -> None:
    made = {check.name for check, _, _ in CASES}
    others = {"INSTRUCTIONS", "Judgement", "follows", "instruction", "judge", "language", "loose_variants"}
    assert made == set(room.__all__) - others


def test_the_token_at_the_place() -> None:
    verdict = no_commas()(make_reply("Yes, it is", pieces=["Yes", ",", " it", " is"]))
    assert verdict.reason.split("\n")[1:] == ["Yes, it is", "   ^", "the token there: ',' 0.50, '~' 0.25"]
    assert verdict.evidence == {"count": 1, "position": 3}


def test_the_token_that_ended_the_reply() -> None:
    verdict = repeats_prompt("Say hello to me.")(make_reply("Say hello", pieces=["Say", " hello"]))
    assert verdict.reason.split("\n") == [
        "expected ' to me.' after the first 9 characters, got ''",
        "Say hello",
        "         ^",
        "the token there: '<end>' 0.50, '~' 0.25",
    ]


@pytest.mark.parametrize(
    ("check", "shown"),
    [
        (words(at_most=60), "words(at_most=60)"),
        (words(at_least=2, at_most=2), "words(exactly=2)"),
        (bullets(3), "bullets(exactly=3)"),
        (sections(at_least=2), "sections(at_least=2)"),
        (sections(marker="Day", exactly=7), "sections(marker='Day', exactly=7)"),
        (letter_frequency("Q", at_least=3), "letter_frequency('q', at_least=3)"),
        (
            nth_paragraph_starts_with(2, "So", paragraphs=3),
            "nth_paragraph_starts_with(2, 'so', paragraphs=3)",
        ),
        (uppercase(language="en"), "uppercase(language='en')"),
        (lowercase(), "lowercase()"),
        (forbidden("a", "b", "a"), "forbidden('a', 'b')"),
        (repeats_prompt("x" * 500), f"repeats_prompt('{'x' * 56} ... {'x' * 56}')"),
    ],
)
def test_values(check: Check, shown: str) -> None:
    assert repr(check) == shown
    assert len({check, check}) == 1
    assert shown.startswith(check.name)
