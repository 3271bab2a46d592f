"""The audit: whether the prompts that a file makes are those that its model was trained with.

`read_prompts` renders a few conversations with the model's template, someone with a tokenizer answers
`Prompts.texts`, and `audit` draws the findings from both. Nothing here knows llama.cpp.

The names are imported when first used: a run that remembers the findings needs no rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.lazy import lazily

if TYPE_CHECKING:
    from pytest_llmcheck.prompts.audit.findings import IDS, KINDS, Finding, Severity
    from pytest_llmcheck.prompts.audit.probes import Prompts, Rendered, read_prompts
    from pytest_llmcheck.prompts.audit.rules import audit
    from pytest_llmcheck.prompts.audit.subject import Lexicon, Subject

__all__ = [
    "IDS",
    "KINDS",
    "Finding",
    "Lexicon",
    "Prompts",
    "Rendered",
    "Severity",
    "Subject",
    "audit",
    "read_prompts",
]

__getattr__, __dir__ = lazily(
    globals(),
    {
        "findings": ("IDS", "KINDS", "Finding", "Severity"),
        "probes": ("Prompts", "Rendered", "read_prompts"),
        "rules": ("audit",),
        "subject": ("Lexicon", "Subject"),
    },
)
