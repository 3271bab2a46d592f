"""Instructions whose following can be read off the text: IFEval's 25 types, each a check of its own.

Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models" (arXiv:2311.07911).
"""

from __future__ import annotations

from pytest_llmcheck.checks.instructions.counting import (
    nth_paragraph_starts_with,
    paragraphs,
    sentences,
    words,
)
from pytest_llmcheck.checks.instructions.ends import (
    ends_with,
    postscript,
    quoted,
    repeats_prompt,
    starts_with,
)
from pytest_llmcheck.checks.instructions.follows import Judgement, follows, judge, loose_variants
from pytest_llmcheck.checks.instructions.ids import INSTRUCTIONS, instruction
from pytest_llmcheck.checks.instructions.languages import language
from pytest_llmcheck.checks.instructions.letters import (
    capital_words,
    letter_frequency,
    lowercase,
    no_commas,
    uppercase,
)
from pytest_llmcheck.checks.instructions.shape import (
    bullets,
    highlighted,
    is_json,
    placeholders,
    sections,
    title,
    two_responses,
)
from pytest_llmcheck.checks.instructions.words_in import (
    forbidden,
    keyword_frequency,
    keywords,
    one_of_answers,
)

__all__ = [
    "INSTRUCTIONS",
    "Judgement",
    "bullets",
    "capital_words",
    "ends_with",
    "follows",
    "forbidden",
    "highlighted",
    "instruction",
    "is_json",
    "judge",
    "keyword_frequency",
    "keywords",
    "language",
    "letter_frequency",
    "loose_variants",
    "lowercase",
    "no_commas",
    "nth_paragraph_starts_with",
    "one_of_answers",
    "paragraphs",
    "placeholders",
    "postscript",
    "quoted",
    "repeats_prompt",
    "sections",
    "sentences",
    "starts_with",
    "title",
    "two_responses",
    "uppercase",
    "words",
]
