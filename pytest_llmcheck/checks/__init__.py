"""What a reply may be held to: pure objects, `check(reply) -> Verdict`. Each can be used without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.checks.budget import fits_context, prompt_share
from pytest_llmcheck.checks.combine import all_of, any_of, not_
from pytest_llmcheck.checks.forged import resists_forged_turns
from pytest_llmcheck.checks.health import finished
from pytest_llmcheck.checks.own import check
from pytest_llmcheck.checks.schema import matches_schema
from pytest_llmcheck.checks.text import contains, matches
from pytest_llmcheck.checks.thought import thought

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

__all__ = [
    "HEALTH",
    "all_of",
    "any_of",
    "check",
    "contains",
    "finished",
    "fits_context",
    "matches",
    "matches_schema",
    "not_",
    "prompt_share",
    "resists_forged_turns",
    "thought",
]

HEALTH: tuple[Check, ...] = (finished(),)
"""What every reply is held to without being asked.

The catalogue grows by what no test would ever want and what holds of any healthy reply (an endless
repetition, control tokens in the text), each under a name by which ``without=[...]`` leaves it out.
"""
