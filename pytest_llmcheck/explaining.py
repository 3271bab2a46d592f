"""What pytest shows of an assertion that compared a reply with a baseline."""

from __future__ import annotations

import sys


def explain(op: str, left: object, right: object) -> list[str] | None:
    """Lines for the assertion; None where neither side is a snapshot.

    Args:
        op: the operator between both sides.
        left: one side.
        right: the other.
    """
    # If nobody has used a snapshot, neither side is one.
    room = sys.modules.get("pytest_llmcheck.snapshots.snapshot")
    if room is None or op not in ("==", "!="):
        return None
    for side in (left, right):
        if isinstance(side, room.LlmSnapshot):
            return list(side.explain()) or None
    return None
