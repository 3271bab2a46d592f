"""What a reply may be held to: pure objects, `check(reply) -> Verdict`. Each can be used without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.checks.health import finished
from pytest_llmcheck.checks.schema import matches_schema
from pytest_llmcheck.checks.text import contains, matches

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

__all__ = ["HEALTH", "contains", "finished", "matches", "matches_schema"]

HEALTH: tuple[Check, ...] = (finished(),)
"""What every reply is held to without being asked.

The catalogue grows by what no test would ever want and what holds of any healthy reply (an endless
repetition, control tokens in the text), each under a name by which ``without=[...]`` leaves it out.
"""
