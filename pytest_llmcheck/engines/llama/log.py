"""llama.cpp's log: to the host's log file, and its last lines kept for messages."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from pytest_llmcheck.engines.llama.bindings import llama

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable

# ggml_log_level in ggml.h
DEBUG_LEVEL, ERROR_LEVEL, CONTINUED_LEVEL = 1, 4, 5


class Log:
    """Receives llama.cpp's log for the life of the process.

    llama.cpp says why it refuses a file only in its log; `errors` gives that to the user.
    """

    _current: ClassVar[Log | None] = None

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self._errors: deque[str] = deque(maxlen=20)
        self._lines: deque[str] = deque(maxlen=2000)
        self._skipping = False
        self._on_line = on_line
        # ctypes does not keep callbacks alive; llama.cpp, whose log is one for the process, would call freed
        # memory as soon as nobody holds this object.
        Log._current = self
        self._callback = llama.llama_log_callback(self._write)
        llama.llama_log_set(self._callback, None)

    def _write(self, level: int, text: bytes, _: ctypes.c_void_p) -> None:
        # A continued line goes where the one that it continues went.
        if level != CONTINUED_LEVEL:
            self._skipping = level == DEBUG_LEVEL
        if self._skipping:
            return
        os.write(2, text)
        line = text.decode("utf-8", "replace").strip()
        if level == ERROR_LEVEL and line:
            self._errors.append(line)
        if line:
            self._lines.append(line)
        if self._on_line is not None and line:
            self._on_line(line)

    def start(self) -> None:
        """Forget what was logged so far."""
        self._errors.clear()
        self._lines.clear()

    def lines(self) -> tuple[str, ...]:
        """What was logged since `start`, oldest first."""
        return tuple(self._lines)

    def errors(self) -> str:
        """The errors logged since the last call, shortest useful form, newest last."""
        lines = list(dict.fromkeys(self._errors))
        self._errors.clear()
        # "llama_model_load: error loading model: X" and two more that only repeat that loading failed.
        telling = [line for line in lines if "failed to load model" not in line]
        return "; ".join(line.partition(": ")[2] or line for line in telling or lines)
