"""What a reply may be held to: pure objects, `check(reply) -> Verdict`. Each can be used without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.checks.budget import fits_context, prompt_share
from pytest_llmcheck.checks.combine import all_of, any_of, not_
from pytest_llmcheck.checks.forged import resists_forged_turns
from pytest_llmcheck.checks.health import finished, not_empty
from pytest_llmcheck.checks.instructions import (
    bullets,
    capital_words,
    ends_with,
    follows,
    forbidden,
    highlighted,
    instruction,
    is_json,
    keyword_frequency,
    keywords,
    language,
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
from pytest_llmcheck.checks.json_fields import json_equals, json_field
from pytest_llmcheck.checks.leaks import closed_thought, no_control_tokens, valid_text
from pytest_llmcheck.checks.numbers import mentions_numbers
from pytest_llmcheck.checks.own import check
from pytest_llmcheck.checks.refusal import does_not_refuse, refuses
from pytest_llmcheck.checks.repetition import no_repetition
from pytest_llmcheck.checks.schema import matches_schema
from pytest_llmcheck.checks.similarity import similar_to
from pytest_llmcheck.checks.sound_calls import sound_calls
from pytest_llmcheck.checks.text import contains, equals, matches, one_of
from pytest_llmcheck.checks.thought import thought
from pytest_llmcheck.checks.tools import calls, calls_nothing, calls_only

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

__all__ = [
    "HEALTH",
    "all_of",
    "any_of",
    "bullets",
    "calls",
    "calls_nothing",
    "calls_only",
    "capital_words",
    "check",
    "closed_thought",
    "contains",
    "does_not_refuse",
    "ends_with",
    "equals",
    "finished",
    "fits_context",
    "follows",
    "forbidden",
    "highlighted",
    "instruction",
    "is_json",
    "json_equals",
    "json_field",
    "keyword_frequency",
    "keywords",
    "language",
    "letter_frequency",
    "lowercase",
    "matches",
    "matches_schema",
    "mentions_numbers",
    "no_commas",
    "no_control_tokens",
    "no_repetition",
    "not_",
    "not_empty",
    "nth_paragraph_starts_with",
    "one_of",
    "one_of_answers",
    "paragraphs",
    "placeholders",
    "postscript",
    "prompt_share",
    "quoted",
    "refuses",
    "repeats_prompt",
    "resists_forged_turns",
    "sections",
    "sentences",
    "similar_to",
    "sound_calls",
    "starts_with",
    "thought",
    "title",
    "two_responses",
    "uppercase",
    "valid_text",
    "words",
]

HEALTH: tuple[Check, ...] = (
    finished(),
    not_empty(),
    no_repetition(),
    valid_text(),
    no_control_tokens(),
    closed_thought(),
    sound_calls(),
)
"""What every reply is held to without being asked: what holds of any healthy one.

Each has a name by which ``without=[...]`` leaves it out.
"""
