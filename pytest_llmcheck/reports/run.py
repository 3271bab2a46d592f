"""Reports of tests become lines of the run record, and a table."""

from __future__ import annotations

import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.reports.outcomes import outcome_of, reason_of
from pytest_llmcheck.session.record import (
    EndLine,
    Entry,
    RecordWriter,
    ReplyRecord,
    RunLine,
    TestLine,
    VerdictRecord,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from pytest_llmcheck.config import Config
    from pytest_llmcheck.engines.types import Fingerprint
    from pytest_llmcheck.models import ModelSpec


class _Open:
    """A test whose last phase has not been reported yet."""

    def __init__(self, test: str, model: str | None) -> None:
        self.test = test
        self.model = model
        self.outcome = "passed"
        self.reason = ""
        self.seconds = 0.0
        self.replies: tuple[ReplyRecord, ...] = ()
        self.verdicts: tuple[VerdictRecord, ...] = ()


class RunReport:
    """Hears the reports of all tests that asked a model, in one process of the run.

    Attributes:
        lines: one for each test that has ended, without its replies: those are in the record.
        made_of: for each model, the fingerprint of its first reply.
        replies: how many there were.
        cached: how many of them came from the reply cache.
        models: names of the active models, the reference first.
        reference: name of the reference.
        path: of the run record; None where none could be written.
        trouble: why none could be written.
        stopped: whether the run ended before all its tests had run.
        notes: what is to be said at the end besides, each once.
    """

    def __init__(self, root: Path, config: Config, active: tuple[ModelSpec, ...]) -> None:
        self.lines: list[TestLine] = []
        self.made_of: dict[str | None, Fingerprint] = {}
        self.replies = self.cached = 0
        self.models = [spec.name for spec in active]
        self.reference = config.reference
        self.path: Path | None = None
        self.trouble: str | None = None
        self.stopped = False
        self.notes: list[str] = []
        self._open: dict[str, _Open] = {}
        self._writer: RecordWriter | None = None
        first = RunLine(
            version=1,
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            plugin=metadata.version("pytest-llmcheck"),
            reference=config.reference,
        )
        try:
            self._writer = RecordWriter(root, first)
            self.path = self._writer.path.relative_to(root)
        except OSError as error:
            self.trouble = str(error)

    def add(self, report: pytest.TestReport, said: dict[str, Any]) -> None:
        """One phase of a test; `said` is what the plugin put on the report."""
        test = self._open.setdefault(report.nodeid, _Open(said["test"], said["model"]))
        test.seconds += report.duration
        entry = said["entry"]
        if entry is not None:
            if not isinstance(entry, Entry):  # from another process
                entry = msgspec.convert(entry, Entry)
            test.replies += entry.replies
            test.verdicts += entry.verdicts
            self.notes += [note for note in dict.fromkeys(entry.notes) if note not in self.notes]
        outcome = outcome_of(report)
        if outcome is not None and (test.outcome == "passed" or outcome == "error"):
            test.outcome, test.reason = outcome, reason_of(report)
        if report.when == "teardown":
            self._close(report.nodeid)

    def lose(self, report: pytest.TestReport) -> None:
        """A worker of pytest-xdist died in a test: one report of no phase stands for all that are missing."""
        test = self._open.setdefault(report.nodeid, _Open(report.nodeid, None))
        test.outcome, test.reason = "error", reason_of(report)
        self._close(report.nodeid)

    def _close(self, nodeid: str) -> None:
        test = self._open.pop(nodeid)
        line = TestLine(
            nodeid=nodeid,
            test=test.test,
            model=test.model,
            outcome=test.outcome,
            # A lone surrogate cannot be written.
            reason=test.reason.encode("utf-8", "backslashreplace").decode(),
            seconds=round(test.seconds, 4),
            replies=test.replies,
            verdicts=test.verdicts,
        )
        self._write(line)
        self.replies += len(line.replies)
        self.cached += sum(reply.cached for reply in line.replies)
        if line.replies:
            self.made_of.setdefault(line.model, line.replies[0].fingerprint)
        self.lines.append(msgspec.structs.replace(line, replies=()))

    def sort(self, ids: Sequence[str]) -> None:
        """Bring the lines into the order of these ids; those of others stay behind, as they came."""
        places = {nodeid: place for place, nodeid in enumerate(ids)}
        self.lines.sort(key=lambda line: places.get(line.nodeid, len(places)))

    def end(self, exit_status: int) -> None:
        """The session is over."""
        if self._writer is not None:
            try:
                self._writer.end(exit_status)
            except OSError as error:
                self._give_up(error)
            self._writer = None

    def _write(self, line: TestLine | EndLine) -> None:
        if self._writer is not None:
            try:
                self._writer.write(line)
            except (OSError, UnicodeError, TypeError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        # The tests are worth more than their record.
        self._writer = None
        self.trouble = str(error)
