"""The run record: the one file that a run leaves behind, with every reply and its evidence.

JSON Lines: a `RunLine`, then one `TestLine` for each test that asked a model, then an `EndLine`. Each line is
written when its test ends, by one process, so that a killed run keeps what it had.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.engines.types import Fingerprint, Timings
from pytest_llmcheck.prompts.forged import Spans
from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.engines.types import Token
    from pytest_llmcheck.verdict import Verdict

VERSION = 1

TokenEvidence = tuple[int, float, tuple[tuple[int, float], ...]]
"""A token in short: id, log-probability, and the alternatives' ids and log-probabilities."""


class VerdictRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verdict as recorded."""

    check: str
    status: str
    reason: str
    score: float | None = None
    evidence: dict[str, Any] = {}


class ReplyRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A reply as recorded; `tokens` end with the end-of-generation token if there was one.

    `cached` says that it came from the reply cache, with the timings of the time when it was made.
    """

    prompt: str
    plain: Spans = ()
    text: str
    thinking: str | None = None
    finish_reason: str
    tool_calls: tuple[ToolCall, ...] = ()
    broken_calls: tuple[BrokenCall, ...] = ()
    tool_format: str = ""
    tokens: tuple[TokenEvidence, ...]
    timings: Timings
    fingerprint: Fingerprint
    cached: bool = False


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What happened with models in one phase of a test; travels on the test's report.

    `notes` are for the end of the run and say nothing of the test.
    """

    replies: tuple[ReplyRecord, ...]
    verdicts: tuple[VerdictRecord, ...]
    notes: tuple[str, ...] = ()


class RunLine(msgspec.Struct, frozen=True, kw_only=True, tag="run", tag_field="line"):
    """First line of the file."""

    version: int
    started: str
    plugin: str
    reference: str


class TestLine(msgspec.Struct, frozen=True, kw_only=True, tag="test", tag_field="line"):
    """A test that asked a model, or was to ask one.

    Attributes:
        nodeid: pytest's id.
        test: the id without the model's name, equal for all models.
        model: the model's name; None for a test that is not run for each model.
        outcome: ``passed``, ``failed``, ``skipped`` or ``error``.
        reason: why it did not pass, first lines.
        seconds: of setup, call and teardown.
        replies: all that it asked for.
        verdicts: of all checks and snapshots.
    """

    __test__ = False

    nodeid: str
    test: str
    model: str | None
    outcome: str
    reason: str
    seconds: float
    replies: tuple[ReplyRecord, ...]
    verdicts: tuple[VerdictRecord, ...]


class EndLine(msgspec.Struct, frozen=True, kw_only=True, tag="end", tag_field="line"):
    """Last line of a run that was not killed."""

    exit_status: int
    seconds: float


def verdict_record(verdict: Verdict) -> VerdictRecord:
    """A verdict in recordable form."""
    evidence = {str(key): plain(value) for key, value in verdict.evidence.items()}
    score = None if verdict.score is None else float(verdict.score)
    return VerdictRecord(verdict.check, str(verdict.status), verdict.reason, score, evidence)


def plain(value: Any) -> Any:
    """A value as JSON can hold it; what it cannot is shown as text: a user's check must not stop the run."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return repr(value)


def reply_record(reply: Reply) -> ReplyRecord:
    """A reply in recordable form. Log-probabilities are rounded to 4 decimals: about 90 bytes a token."""
    tokens = reply.tokens if reply.end is None else (*reply.tokens, reply.end)
    return ReplyRecord(
        prompt=reply.prompt.text,
        plain=reply.prompt.plain,
        text=reply.text,
        thinking=reply.thinking,
        finish_reason=reply.finish_reason,
        tool_calls=reply.tool_calls,
        broken_calls=reply.broken_calls,
        tool_format="" if reply.tool_format is None else reply.tool_format.name,
        tokens=tuple([_evidence(token) for token in tokens]),
        timings=reply.timings,
        fingerprint=reply.fingerprint,
        cached=reply.cached,
    )


def _evidence(token: Token) -> TokenEvidence:
    # Lists inside: this runs for every token, and a generator is a third slower.
    return (token.id, round(token.logprob, 4), tuple([(a.id, round(a.logprob, 4)) for a in token.top]))


class RecordWriter:
    """Appends lines to a new file ``.llmcheck/runs/<time>-<random>.jsonl`` under `root`.

    Raises:
        OSError: the folder or the file cannot be written.
    """

    def __init__(self, root: Path, first: RunLine) -> None:
        folder = root / ".llmcheck" / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.path = folder / f"{stamp}-{secrets.token_hex(3)}.jsonl"
        self._file = self.path.open("xb")
        self._started = time.monotonic()
        self.write(first)

    def write(self, line: RunLine | TestLine | EndLine) -> None:
        """Append a line; it is in the kernel's hands when this returns."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    def end(self, exit_status: int) -> None:
        """Write the last line, force all to the disk and close."""
        self.write(EndLine(exit_status=exit_status, seconds=time.monotonic() - self._started))
        os.fsync(self._file.fileno())
        self._file.close()


def read_record(path: Path) -> list[RunLine | TestLine | EndLine]:
    """The lines of a run record; a last line that was cut off by a kill is left out."""
    decoder = msgspec.json.Decoder(RunLine | TestLine | EndLine)
    complete = path.read_bytes().split(b"\n")[:-1]
    return [decoder.decode(line) for line in complete]
