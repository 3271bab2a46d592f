"""Whole rows of logits in a file: how one model's host hands its distributions to another's.

The rows of a reply of 200 tokens are 40 MB for a vocabulary of 50,000, too much for a message; both models
need not be loaded at the same time. Raw single precision, row after row, in the byte order of the machine.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_llmcheck.engines.logits import kl_divergence
from pytest_llmcheck.errors import EngineError

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.canonical import Rows


class RowsWriter:
    """Appends rows; the file is there under its name once it is whole."""

    def __init__(self, path: str, n_vocab: int) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        self._n_vocab = n_vocab
        self._file = self._partial.open("wb")

    def write(self, rows: Rows) -> None:
        """Append rows of logits.

        Raises:
            OSError: the disk is full.
        """
        rows.tofile(self._file)

    def finish(self) -> None:
        """Close the file and give it its name."""
        self._file.close()
        self._partial.replace(self._path)

    def close(self) -> None:
        """Remove what was not finished."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._partial.unlink()


class RowsReader:
    """Compares rows with those of a file, mapped into memory.

    Attributes:
        divergence: KL divergence of ours from the file's, in nats, of each row compared so far.
        same_top: whether both find the same token most likely.
    """

    def __init__(self, path: str, count: int, n_vocab: int) -> None:
        self.divergence: list[float] = []
        self.same_top: list[bool] = []
        expected = count * n_vocab * 4
        if (size := os.stat(path).st_size) != expected:
            raise EngineError(
                f"the reference's rows take {size} bytes where {count} tokens of a vocabulary of {n_vocab} "
                f"take {expected}: the two models have different vocabularies"
            )
        self._rows: np.memmap[tuple[int, int], np.dtype[np.float32]] | None = np.memmap(
            path, dtype=np.float32, mode="r", shape=(count, n_vocab)
        )

    def compare(self, rows: Rows) -> None:
        """Compare the next rows."""
        assert self._rows is not None
        first = len(self.divergence)
        theirs = self._rows[first : first + len(rows)]
        for reference, ours in zip(theirs, rows, strict=True):
            self.divergence.append(kl_divergence(reference, ours))
            self.same_top.append(int(reference.argmax()) == int(ours.argmax()))

    def close(self) -> None:
        """Let go of the file."""
        self._rows = None
