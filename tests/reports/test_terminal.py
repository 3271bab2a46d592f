"""The conclusion on each model, from hand-made lines of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_llmcheck.config import Config
from pytest_llmcheck.reports.run import RunReport
from pytest_llmcheck.reports.terminal import conclusion, first_break, from_cache, summarise
from pytest_llmcheck.session.record import ReplyRecord, TestLine, VerdictRecord, read_record
from pytest_llmcheck.session.recorder import Recorder, to_builtins
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pathlib import Path


def line(
    test: str,
    model: str | None,
    outcome: str,
    *verdicts: VerdictRecord,
    replies: tuple[ReplyRecord, ...] = (),
) -> TestLine:
    return TestLine(
        nodeid=f"{test}[{model}]",
        test=test,
        model=model,
        outcome=outcome,
        reason=outcome,
        seconds=0.1,
        replies=replies,
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
        (
            [*lines(f16="passed"), line("b", "f16", "skipped", UNDECIDED)],
            "f16",
            "reference, passes 1 of 2 tests; 1 undecided",
        ),
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


@pytest.mark.parametrize(
    ("cached", "replies", "expected"),
    [
        (0, 1, ""),
        (0, 0, ""),
        (1, 1, "1 of 1 reply came from the reply cache (--llm-cache off asks again)"),
        (3, 4, "3 of 4 replies came from the reply cache (--llm-cache off asks again)"),
    ],
)
def test_how_many_replies_came_from_the_cache(cached: int, replies: int, expected: str) -> None:
    assert from_cache(cached, replies) == expected


class Screen:
    """What a terminal reporter is told, with the colour of each line."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[str, bool]] = {}

    def write_sep(self, sep: str, title: str) -> None:
        pass

    def write(self, text: str, **markup: bool) -> None:
        pass

    def write_line(self, text: str, **markup: bool) -> None:
        self.lines[text] = markup


def test_notes_are_said_once_and_a_cached_reply_is_recorded_as_one(tmp_path: Path) -> None:
    report = RunReport(tmp_path, Config(reference="f16", default=(), models={}), ())
    trouble = "nothing more is written to the reply cache: database or disk is full"
    for name in ("test_a", "test_b"):
        recorder = Recorder()
        recorder.asked(replace(make_reply("Paris."), cached=name == "test_b"))
        recorder.note(trouble)
        entry, undecided = recorder.take()
        assert undecided == ()
        said: dict[str, Any] = {"test": name, "model": None, "entry": to_builtins(entry)}
        for when in ("call", "teardown"):
            said_now = said if when == "call" else {**said, "entry": {"replies": [], "verdicts": []}}
            report.add(
                pytest.TestReport(name, (name, 1, name), {}, "passed", None, cast("Any", when)), said_now
            )
    report.end(0)
    assert report.notes == [trouble]
    screen = Screen()
    summarise(cast("pytest.TerminalReporter", screen), report)
    assert screen.lines[trouble] == {"yellow": True}
    assert "1 of 2 replies came from the reply cache (--llm-cache off asks again)" in screen.lines
    assert report.path is not None
    text = (tmp_path / report.path).read_text(encoding="utf-8")
    assert text.count('"cached":true') == 1
    assert '"cached":false' not in text
    tests = [each for each in read_record(tmp_path / report.path) if isinstance(each, TestLine)]
    assert [test.replies[0].cached for test in tests] == [False, True]


def test_a_note_alone_is_something() -> None:
    recorder = Recorder()
    assert not recorder.anything
    recorder.note("the disk is full")
    assert recorder.anything
    assert recorder.take()[0].notes == ("the disk is full",)
    assert not recorder.anything


def test_where_a_reply_came_from_does_not_change_it() -> None:
    reply = make_reply("Paris.")
    assert replace(reply, cached=True) == reply
