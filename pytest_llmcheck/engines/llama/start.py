"""Finding the model host of a run, starting it once however many ask, and asking others to make room."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock

from pytest_llmcheck.engines.llama.line import HostEnded, Line, describe_exit, tail
from pytest_llmcheck.engines.llama.programs import program
from pytest_llmcheck.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_llmcheck.engines.llama.settings import Settings

START_SECONDS = 60.0
"""How long a host may take until it listens (not: until the model is loaded)."""

SPIN_COUNT = "5000"
"""How long OpenMP's threads spin at a barrier before they sleep; the user's own GOMP_SPINCOUNT wins.

By default they spin for about a millisecond: on a machine that is busy with other work two threads
then decode tenfold slower than one. See docs/performance.md for the figures.
"""


class Starter:
    """The hosts in the private folder of a run.

    Args:
        settings: the part for the host names its socket: equal settings, one host.
        folder: of the run.
        progress: called with (stage, fraction) while a model is loading.
    """

    def __init__(
        self, settings: Settings, folder: Path, progress: Callable[[str, float], None] | None
    ) -> None:
        key = hashlib.sha256(msgspec.json.encode(settings.host)).hexdigest()[:10]
        base = folder / key
        self._base = base
        self._socket = base.with_suffix(".sock")
        self._lock = base.with_suffix(".lock")
        self._folder = folder
        self._name = settings.name
        self._progress = progress

    def log(self, pid: int) -> Path:
        """Where the host with this process id writes.

        Each has its own: the next one may start before everybody has read why the last one died.
        """
        return self._base.with_name(f"{self._base.name}-{pid}.log")

    def find(self) -> Line:
        """A line to the host that is running.

        Raises:
            OSError: none is.
            HostEnded: it is about to end.
        """
        return Line(self._socket, None, self._name, self._progress)

    def find_or_start(self) -> Line:
        """A line to the host, which one of those who ask starts.

        Raises:
            EngineError: it cannot be started; with the end of its log.
        """
        with FileLock(self._lock, timeout=START_SECONDS * 2):
            with contextlib.suppress(OSError, HostEnded):
                return self.find()
            self._socket.unlink(missing_ok=True)
            process = self._start()
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError, HostEnded):
                    return Line(self._socket, process, self._name, self._progress)
                code = process.poll()
                if code is not None or time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    how = "does not listen" if code is None else describe_exit(code)
                    raise EngineError(f"the model host cannot start: it {how}{tail(self.log(process.pid))}")
                time.sleep(0.01)

    def _start(self) -> subprocess.Popen[bytes]:
        command = program("host", str(self._socket))
        new = self._base.with_suffix(".log")
        # Appended to, as others may too.
        with new.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for pytest; the host must live to be told.
                start_new_session=True,
                env={"GOMP_SPINCOUNT": SPIN_COUNT, **os.environ},
            )
        new.rename(self.log(process.pid))
        return process

    def ask_for_room(self) -> bool:
        """Ask the host of this run that has been idle longest to end; False if there is no other."""
        others: list[Line] = []
        leaving = False
        for path in self._folder.glob("*.sock"):
            if path != self._socket:
                try:
                    others.append(Line(path, None))
                except HostEnded:
                    # It listens and serves nobody new: it has been asked already.
                    leaving = True
                except OSError:
                    pass
        for line in others:
            line.ping()
        time.sleep(0.05)
        leaving = leaving or any(line.leaving for line in others)
        ranked = sorted(others, key=lambda line: line.idle, reverse=True)
        if ranked and not leaving:
            ranked[0].make_room()
        for line in ranked:
            line.close()
        return leaving or bool(ranked)
