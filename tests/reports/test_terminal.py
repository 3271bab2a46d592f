"""The conclusion on each model, from hand-made lines of a run."""

from __future__ import annotations

import pytest

from pytest_llmcheck.reports.terminal import conclusion, first_break
from pytest_llmcheck.session.record import TestLine, VerdictRecord


def line(test: str, model: str | None, outcome: str, *verdicts: VerdictRecord) -> TestLine:
    return TestLine(
        nodeid=f"{test}[{model}]",
        test=test,
        model=model,
        outcome=outcome,
        reason=outcome,
        seconds=0.1,
        replies=(),
        verdicts=verdicts,
    )


def lines(**outcomes: str) -> list[TestLine]:
    """`f16="passed failed"`: the outcomes of tests a, b, ... by model."""
    return [
        line("abcdef"[i], model, outcome)
        for model, row in outcomes.items()
        for i, outcome in enumerate(row.split())
    ]


CUT = VerdictRecord("finished()", "failed", "cut off")
SNAPSHOT = VerdictRecord("snapshot(text)", "failed", "reply of q2 differs")
MISSING = VerdictRecord("snapshot", "failed", "no baseline: __llmcheck__/test_it/a.md")
UNDECIDED = VerdictRecord("snapshot", "not applicable", "weights differ")


@pytest.mark.parametrize(
    ("given", "model", "expected"),
    [
        (lines(f16="passed passed"), "f16", "reference, passes 2 of 2 tests"),
        (lines(f16="passed skipped"), "f16", "reference, passes 1 of 2 tests"),
        (lines(f16="failed"), "f16", "the reference itself fails 1 of 1 test"),
        (lines(f16="passed", q4="passed"), "q4", "safe, passes 1 test"),
        (lines(f16="passed passed", q4="passed failed"), "q4", "BROKEN, fails 1 of 2 tests"),
        (
            lines(f16="passed failed", q4="failed failed"),
            "q4",
            "BROKEN, fails 2 of 2 tests; 1 of them fail on f16 too",
        ),
        (
            lines(f16="failed", q4="failed"),
            "q4",
            "fails 1 of 1 test, as f16 does: no verdict on the candidate",
        ),
        (lines(q4="failed passed"), "q4", "BROKEN, fails 1 of 2 tests"),
        (lines(f16="passed", q4="skipped"), "q4", "no test fails, 1 skipped of 1 test"),
        (
            [line("a", "f16", "passed"), line("a", "q4", "skipped", UNDECIDED)],
            "q4",
            "no test fails, 1 undecided of 1 test",
        ),
        (
            lines(f16="passed", q4="error"),
            "q4",
            "no verdict, passes 0 of 1 test; 1 ended in an error",
        ),
        (
            [line("a", "f16", "failed", MISSING), line("b", "f16", "passed")],
            "f16",
            "reference, passes 1 of 2 tests; 1 has no baseline yet: pytest --llm-update",
        ),
        (
            [line("a", "q4", "failed", MISSING, CUT)],
            "q4",
            "BROKEN, fails 1 of 1 test",
        ),
        (
            [*lines(q4="passed"), line("b", None, "failed")],
            "q4",
            "passes 1 test, but tests that are not run per model fail",
        ),
    ],
)
def test_conclusion(given: list[TestLine], model: str, expected: str) -> None:
    assert conclusion(given, model, "f16")[0] == expected


def test_a_stopped_run_calls_nobody_safe() -> None:
    given = lines(f16="passed passed", q4="passed passed")
    said, _ = conclusion(given, "q4", "f16", stopped=True)
    assert said == "passes the 2 tests that ran before the run was stopped: no verdict"


def test_the_break_that_is_told_is_one_that_the_reference_passes() -> None:
    given = lines(f16="failed passed", q4="failed failed")
    broken = first_break(given, ["f16", "q4"], "f16")
    assert broken is not None
    assert (broken.test, broken.model) == ("b", "q4")


def test_the_break_that_is_told_is_by_a_check_if_there_is_one() -> None:
    given = [
        *lines(f16="passed passed"),
        line("a", "q2", "failed", SNAPSHOT),
        line("b", "q2", "failed", CUT),
    ]
    broken = first_break(given, ["f16", "q2"], "f16")
    assert broken is not None
    assert broken.test == "b"


def test_nothing_is_told_where_nothing_breaks() -> None:
    assert first_break(lines(f16="passed", q4="passed"), ["f16", "q4"], "f16") is None
