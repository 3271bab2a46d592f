"""How long work is shown: rooms report, callers show."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then during work that may take long."""

    def __call__(self, stage: str, fraction: float, /) -> None:
        """Report that `stage` (``hashing q4.gguf``) is done to `fraction`, between 0 and 1."""


def silent(stage: str, fraction: float) -> None:
    """Show nothing."""
