"""A line that shows that hashing, quantising or loading is going on."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

QUIET_SECONDS = 1.0
"""Work that is over sooner is not shown."""


class TerminalProgress:
    """Shows progress where pytest writes its own.

    On a terminal one line is rewritten; elsewhere each stage is said once, when it has taken a second.

    Args:
        terminal: pytest's terminal reporter.
        capture: pytest's capture manager, if there is one.
    """

    def __init__(self, terminal: pytest.TerminalReporter, capture: Any) -> None:
        self._terminal = terminal
        self._capture = capture
        self._stage = ""
        self._since = 0.0
        self._shown = ""

    def __call__(self, stage: str, fraction: float) -> None:
        """See `models.Progress`."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._since = stage, now
        done = fraction >= 1
        if now - self._since < QUIET_SECONDS and not (done and self._shown):
            return
        if self._terminal.isatty:
            text = "" if done else f"llmcheck: {stage} {fraction:4.0%}"
            if text != self._shown:
                self._write("\r" + text.ljust(len(self._shown)) + ("\r" if done else ""))
                self._shown = text
        elif self._shown != stage:
            self._shown = stage
            self._write(f"\nllmcheck: {stage} ...\n")

    def _write(self, text: str) -> None:
        suspended = (
            contextlib.nullcontext() if self._capture is None else self._capture.global_and_fixture_disabled()
        )
        with suspended:
            self._terminal.write(text, flush=True)
