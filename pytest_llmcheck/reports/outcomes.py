"""Outcomes of tests: an undecided test is not passed, and a failure has a reason in a line or two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_llmcheck.verdict import Verdict


_EXCEPTION = re.compile(r"\A(?:[A-Za-z_]\w*\.)*(?:CheckFailed|Failed|\w+Error): ")


def decide(
    report: pytest.TestReport, item: pytest.Item, undecided: Sequence[Verdict], *, strict: bool
) -> None:
    """Report a test that raised nothing as skipped, or failed under `strict`, if something is undecided.

    Under `xfail` too: a test that could not be judged has not passed unexpectedly.
    """
    if not undecided:
        return
    vars(report).pop("wasxfail", None)
    first = undecided[0]
    more = f" (and {len(undecided) - 1} more)" if len(undecided) > 1 else ""
    reason = f"{first.status}: {first.check}: {first.reason}{more}"
    if strict:
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(failed by --llm-strict)"
    else:
        path, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (path, (line or 0) + 1, f"Skipped: {reason}")


def outcome_of(report: pytest.TestReport) -> str | None:
    """``passed``, ``failed``, ``skipped`` or ``error``; None for a phase that decides nothing."""
    if report.when == "call":
        return str(report.outcome)
    if report.failed:
        return "error"
    return "skipped" if report.skipped else None


def reason_of(report: pytest.TestReport) -> str:
    """Why a test did not pass, without a traceback; empty if it passed."""
    longrepr: Any = report.longrepr
    if longrepr is None:
        return ""
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    text = str(longrepr if crash is None else crash.message)
    return _EXCEPTION.sub("", text).removeprefix("assert ").strip()
