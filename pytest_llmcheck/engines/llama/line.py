"""The test process's end of a model host's socket, and how a host's death is told."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.errors import PromptError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


SENDING_SECONDS = 30
"""How long a host may leave unread what does not fit into the socket; then it counts as gone."""

END = "llmcheck host: ended"
"""The last line of a host's log that ended by itself."""


class HostEnded(Exception):  # noqa: N818 - a signal, not an error
    """The connection is gone; for the client only."""


class Pending:
    """A question on its way.

    Attributes:
        id: repeated by the answer.
        future: gets the answer, or `HostEnded`.
        begun: whether the host works on this and nothing else.
    """

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.future: Future[protocol.FromHost] = Future()
        self.begun = False


class Line:
    """One connection to a host, with a thread that sorts its answers by request id.

    Attributes:
        pid: process id of the host.
        ended: whether the connection is gone.
        busy: seconds that the host's present call of llama.cpp had taken when it last told.
        idle: seconds since the host had anything to do when it last told.
        leaving: whether it said that it makes room.

    Raises:
        OSError: nobody listens there.
        HostEnded: somebody does, but refuses us or ends at once.
    """

    def __init__(
        self,
        path: Path,
        process: subprocess.Popen[bytes] | None,
        name: str = "",
        progress: Callable[[str, float], None] | None = None,
    ) -> None:
        self._process = process
        self._name = name
        self._progress = progress
        self._ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._sending = threading.Lock()
        self._raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.ended = False
        self._gone = threading.Event()
        self._pinged = -math.inf
        self._unanswered = 0
        self.leaving = False
        self.busy = 0.0
        self.idle = 0.0
        # A stopped host accepts, by the kernel's backlog, and then says nothing.
        self._raw.settimeout(protocol.HANDSHAKE_SECONDS)
        try:
            self._raw.connect(str(path))
            protocol.send(self._raw, protocol.Hello(protocol.VERSION, protocol.secret_of(path.parent)))
            body = protocol.receive(self._raw)
            welcome = None if body is None else protocol.from_host.decode(body)
            if not isinstance(welcome, protocol.Welcome) or welcome.version != protocol.VERSION:
                raise HostEnded
            self._raw.settimeout(None)
            # A host that does not read must not keep us from noticing.
            protocol.limit_sending(self._raw, SENDING_SECONDS)
        except BaseException:
            self._raw.close()
            raise
        self.pid = welcome.pid
        threading.Thread(target=self._read, name=f"llmcheck {name}", daemon=True).start()

    def ask(self, message: Callable[[int], protocol.Message]) -> Pending:
        """Send a request; its future gets the answer, or `HostEnded`."""
        pending = Pending(next(self._ids))
        self._pending[pending.id] = pending
        try:
            self._send(message(pending.id))
        except OSError:
            self._end()
        except protocol.BadFrame as error:
            self._pending.pop(pending.id, None)
            raise PromptError(f"the request cannot be sent: {error}") from None
        if self.ended:
            self._end()
        return pending

    def cancel(self, id_: int) -> None:
        """Tell the host that nobody waits for this answer."""
        self._pending.pop(id_, None)
        with contextlib.suppress(OSError):
            self._send(protocol.Cancel(id_))

    def ping(self) -> None:
        """Ask for a sign of life; `busy`, `idle` and `leaving` tell what came."""
        with contextlib.suppress(OSError):
            self._send(protocol.Ping(0))

    def silent(self, interval: float) -> float:
        """Seconds in which the host has answered none of our pings; sends another one each `interval`.

        Counted in pings and not by the clock: a process that was stopped itself has not been waiting.
        """
        now = time.monotonic()
        if now - self._pinged >= interval:
            self._pinged = now
            silent = self._unanswered * interval
            self._unanswered += 1
            self.ping()
            return silent
        return max(0, self._unanswered - 1) * interval

    def wait_ended(self, seconds: float) -> None:
        """Wait until the connection is gone, at most so long."""
        self._gone.wait(seconds)

    def make_room(self) -> None:
        """Ask the host to end once it has answered what it was asked."""
        with contextlib.suppress(OSError):
            self._send(protocol.MakeRoom())

    def kill(self, log: Path, why: str) -> None:
        """End the host by force; its log says why, for other clients, to whom it would seem to have died."""
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(f"\n{_KILLED}{why}\n")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Hang up. If we started the host, wait for its end, and see to it."""
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)
        self._raw.close()
        self._end()
        if self._process is not None:
            self._reap(self._process)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        import subprocess

        # Other workers may still use it; then it ends with the last of them and init reaps it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            return
        threading.Thread(target=process.wait, daemon=True).start()

    def how_it_ended(self, log: Path) -> str:
        """In words, with the signal.

        Only the process that has started a host is told its exit status. To the others its log tells:
        Python names a fatal signal there, and SIGKILL leaves no trace, unless a client has sent it.
        """
        import subprocess

        said = lines_of(log)
        for line in said:
            if line.startswith(_KILLED):
                return f"{line.removeprefix(_KILLED)} and was killed"
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return describe_exit(self._process.wait(timeout=5))
            return "closed its connection"
        for signal_, words in _FATAL.items():
            if any(words in line for line in said):
                return describe_exit(-signal_)
        if END in said:
            return "ended"
        if any(line.startswith("Traceback (most recent call last)") for line in said):
            return describe_exit(1)
        return describe_exit(-signal.SIGKILL)

    def _send(self, message: protocol.Message) -> None:
        with self._sending:
            protocol.send(self._raw, message)

    def _read(self) -> None:
        try:
            while (body := protocol.receive(self._raw)) is not None:
                self._unanswered = 0
                self._sort(protocol.from_host.decode(body))
        except (OSError, protocol.BadFrame, msgspec.DecodeError):
            pass
        finally:
            self._end()

    def _sort(self, message: Any) -> None:
        if isinstance(message, protocol.Pong):
            self.busy, self.idle, self.leaving = message.busy, message.idle, message.leaving
        elif isinstance(message, protocol.Progress):
            if self._progress is not None:
                self._progress(f"loading {self._name}", message.fraction)
        elif isinstance(message, protocol.Begun):
            if pending := self._pending.get(message.id):
                pending.begun = True
        elif pending := self._pending.pop(message.id, None):
            pending.future.set_result(message)

    def _end(self) -> None:
        self.ended = True
        self._gone.set()
        # A request may be cancelled by its own thread at the same moment.
        with contextlib.suppress(KeyError):
            while True:
                _, pending = self._pending.popitem()
                pending.future.set_exception(HostEnded())


_FATAL = {
    # What faulthandler writes, see Modules/faulthandler.c of CPython.
    signal.SIGSEGV: "Fatal Python error: Segmentation fault",
    signal.SIGABRT: "Fatal Python error: Aborted",
    signal.SIGBUS: "Fatal Python error: Bus error",
    signal.SIGFPE: "Fatal Python error: Floating",
    signal.SIGILL: "Fatal Python error: Illegal instruction",
}


def describe_exit(code: int) -> str:
    """An exit status in words.

    >>> describe_exit(-11)
    'was killed by SIGSEGV'
    """
    if code >= 0:
        return f"ended with exit status {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (perhaps out of memory)" if name == "SIGKILL" else "")


def lines_of(log: Path) -> list[str]:
    """The lines of a host's log that say something."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def tail(log: Path) -> str:
    """The end of the host's log, for messages, up to the line that names a fatal signal.

    Python's own stack, which comes after that, is the same for all crashes; and some of llama.cpp's chatter
    is left out.
    """
    lines = lines_of(log)
    fatal = [i for i, line in enumerate(lines) if line.startswith(_FATAL_ERROR)]
    lines = lines[: fatal[0] + 1] if fatal else lines
    lines = [line for line in lines if not _CHATTER.match(line)][-8:]
    return "\n  end of its log:\n    " + "\n    ".join(lines) if lines else ""


_FATAL_ERROR = "Fatal Python error: "
_KILLED = "pytest-llmcheck: this host "
_CHATTER = re.compile(rf"^(?:\.+$|llama_graph_n_input_tensors: |{_KILLED})")
