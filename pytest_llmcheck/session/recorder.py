"""What the running test has asked and heard, until its report takes it along."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.session.record import Entry
    from pytest_llmcheck.verdict import Verdict


class Recorder:
    """Collects replies and verdicts of one phase of a test. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replies: list[Reply] = []
        self._verdicts: list[Verdict] = []
        self._notes: list[str] = []

    def asked(self, reply: Reply) -> None:
        """A model has answered."""
        with self._lock:
            self._replies.append(reply)

    def heard(self, reply: Reply, verdicts: tuple[Verdict, ...]) -> None:
        """Checks have judged a reply."""
        with self._lock:
            self._verdicts.extend(verdicts)

    def judged(self, verdict: Verdict) -> None:
        """A snapshot has judged."""
        with self._lock:
            self._verdicts.append(verdict)

    def note(self, text: str) -> None:
        """Something to be said once at the end of the run, such as a cache that cannot be written."""
        with self._lock:
            self._notes.append(text)

    @property
    def anything(self) -> bool:
        """Whether something came since the last `take`."""
        return bool(self._replies or self._verdicts or self._notes)

    @property
    def undecided(self) -> tuple[Verdict, ...]:
        """The undecided verdicts among what came since the last `take`."""
        with self._lock:
            return tuple(verdict for verdict in self._verdicts if verdict.undecided)

    def take(self) -> tuple[Entry, tuple[Verdict, ...]]:
        """What came since the last call: for the report, and the undecided verdicts among it."""
        from pytest_llmcheck.session.record import Entry, reply_record, verdict_record

        with self._lock:
            replies, self._replies = self._replies, []
            verdicts, self._verdicts = self._verdicts, []
            notes, self._notes = self._notes, []
        entry = Entry(
            replies=tuple(reply_record(reply) for reply in replies),
            verdicts=tuple(verdict_record(verdict) for verdict in verdicts),
            notes=tuple(notes),
        )
        return entry, tuple(verdict for verdict in verdicts if verdict.undecided)


def to_builtins(entry: Entry) -> dict[str, Any]:
    """As lists and dicts, which pytest-xdist can send from worker to controller."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(entry)
    return plain
