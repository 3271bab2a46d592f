"""The test process's side: starts or finds the model host, asks it, and says what became of it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from filelock import FileLock

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.errors import EngineError, LlmcheckError, ModelError, PromptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_llmcheck.engines.llama.settings import Info, Settings
    from pytest_llmcheck.engines.types import Completion, Request

START_SECONDS = 60.0
"""How long a host may take until it listens (not: until the model is loaded)."""

HANDSHAKE_SECONDS = 10.0
"""How long a listening host may take to say its version."""

PATIENCE = 30.0
"""Seconds without any sign of life after which a host counts as hung."""

A = TypeVar("A", bound=protocol.Message)

SPIN_COUNT = "1000"
"""How long OpenMP's threads spin at a barrier before they sleep; the user's own GOMP_SPINCOUNT wins.

By default they spin for about a millisecond: on a machine that is busy with other work two threads
then decode tenfold slower than one. See docs/performance.md for the figures.
"""

KINDS: dict[str, type[LlmcheckError]] = {"prompt": PromptError, "model": ModelError}


class HostEnded(Exception):  # noqa: N818 - a signal, not an error
    """The connection is gone; inside this file only."""


class LlamaEngine:
    """A model that answers. Thread-safe; starts its host on first use and again after it died.

    Args:
        settings: what to load.
        folder: private folder of the run; workers that share it share the host.
        progress: called with (stage, fraction) while the model is loading.
        patience: seconds without a sign of life after which the host is killed.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        progress: Callable[[str, float], None] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.settings = settings
        self._progress = progress
        self._patience = patience
        key = hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:10]
        self._base = folder / key
        self._opening = threading.Lock()
        self._line: Line | None = None
        self._info: Info | None = None

    def load(self) -> Info:
        """Load the model, unless that has happened; what the host says of itself.

        Raises:
            EngineError: llama.cpp refused the file, or the host cannot start.
            ModelError: the file cannot be read.
        """
        if self._info is None:
            self._open()
        assert self._info is not None
        return self._info

    @property
    def pid(self) -> int | None:
        """Process id of the host, while one is running for us."""
        return None if self._line is None or self._line.ended else self._line.pid

    def complete(self, request: Request) -> Completion:
        """Continue a prompt.

        Raises:
            PromptError: the prompt is empty or does not fit.
            EngineError: the host died, hung, or ran into the time limit.
        """
        return self._ask(
            lambda id_: protocol.Generate(id_, request), protocol.Done, request.timeout
        ).completion

    def tokenise(self, text: str) -> tuple[int, ...]:
        """Token ids of a rendered prompt."""
        return self._ask(lambda id_: protocol.Tokenise(id_, text), protocol.Tokens, self._patience).ids

    def close(self) -> None:
        """Let go of the host; it ends with its last client."""
        with self._opening:
            if self._line is not None:
                self._line.close()
                self._line = None

    def _ask(self, message: Callable[[int], protocol.Message], answer: type[A], limit: float) -> A:
        line = self._open()
        return self._wait(line, message, answer, limit)

    def _open(self) -> Line:
        with self._opening:
            if self._line is None or self._line.ended:
                if self._line is not None:
                    self._line.close()
                self._line = None
                line = self._find_or_start()
                try:
                    loaded = self._wait(
                        line, lambda id_: protocol.Load(id_, self.settings), protocol.Loaded, float("inf")
                    )
                except BaseException:
                    line.close()
                    raise
                self._info = loaded.info
                self._line = line
            return self._line

    def _wait(
        self, line: Line, message: Callable[[int], protocol.Message], answer: type[A], limit: float
    ) -> A:
        pending = line.ask(message)
        try:
            while True:
                try:
                    result = pending.future.result(timeout=min(self._patience / 4, 2.0))
                    break
                except TimeoutError:
                    self._look_after(line, limit)
        except HostEnded:
            raise EngineError(self._obituary(line), passing=True) from None
        except BaseException:
            # Ctrl-C or a hung host: nobody waits for this answer any more.
            line.cancel(pending.id)
            raise
        if isinstance(result, protocol.Failed):
            raise KINDS.get(result.kind, EngineError)(f"model {self.settings.name!r}: {result.message}")
        if not isinstance(result, answer):
            raise EngineError(f"the model host answered {type(result).__name__} to {answer.__name__}")
        return result

    def _look_after(self, line: Line, limit: float) -> None:
        """Kill a host that shows no life, or that has been in one decode call beyond the time limit."""
        line.ping()
        silent = time.monotonic() - line.heard
        if silent > self._patience:
            why = f"did not answer for {silent:.0f} s"
        elif line.busy > max(limit, self._patience):
            why = f"has been in one call of llama.cpp for {line.busy:.0f} s (time limit {limit:g} s)"
        else:
            return
        line.kill()
        raise EngineError(
            f"the model host of {self.settings.name!r} (process {line.pid}) {why} and was killed; the next "
            f"test starts a new one{_tail(self._log)}",
            passing=True,
        )

    @property
    def _log(self) -> Path:
        return self._base.with_suffix(".log")

    def _obituary(self, line: Line) -> str:
        how = line.how_it_ended()
        return (
            f"the model host of {self.settings.name!r} (process {line.pid}) {how} while it was working; the "
            f"next test starts a new one{_tail(self._log)}"
        )

    def _find_or_start(self) -> Line:
        path = self._base.with_suffix(".sock")
        with FileLock(self._base.with_suffix(".lock"), timeout=START_SECONDS * 2):
            with contextlib.suppress(OSError, HostEnded):
                return Line(path, None, self.settings.name, self._progress)
            path.unlink(missing_ok=True)
            process = self._start(path)
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError, HostEnded):
                    return Line(path, process, self.settings.name, self._progress)
                code = process.poll()
                if code is not None or time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    how = "does not listen" if code is None else describe_exit(code)
                    raise EngineError(f"the model host cannot start: it {how}{_tail(self._log)}")
                time.sleep(0.01)

    def _start(self, path: Path) -> subprocess.Popen[bytes]:
        # -P: a file of the user's named like a module of ours must not be imported instead.
        command = [sys.executable, "-P", "-m", "pytest_llmcheck.engines.llama.host", str(path)]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for pytest; the host must live to be told.
                start_new_session=True,
                env={"GOMP_SPINCOUNT": SPIN_COUNT, **os.environ},
            )


class Pending:
    """A question on its way."""

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.future: Future[protocol.FromHost] = Future()


class Line:
    """One connection to a host, with a thread that sorts its answers by request id.

    Raises:
        OSError: nobody listens there.
        HostEnded: somebody does, but speaks another version or ends at once.
    """

    def __init__(
        self,
        path: Path,
        process: subprocess.Popen[bytes] | None,
        name: str,
        progress: Callable[[str, float], None] | None,
    ) -> None:
        self._process = process
        self._name = name
        self._progress = progress
        self._ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._sending = threading.Lock()
        self._raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.ended = False
        self.heard = time.monotonic()
        self.busy = 0.0
        # A stopped host accepts, by the kernel's backlog, and then says nothing.
        self._raw.settimeout(HANDSHAKE_SECONDS)
        try:
            self._raw.connect(str(path))
            protocol.send(self._raw, protocol.Hello(protocol.VERSION))
            body = protocol.receive(self._raw)
            welcome = None if body is None else protocol.from_host.decode(body)
            if not isinstance(welcome, protocol.Welcome) or welcome.version != protocol.VERSION:
                raise HostEnded
            self._raw.settimeout(None)
        except BaseException:
            self._raw.close()
            raise
        self.pid = welcome.pid
        threading.Thread(target=self._read, name=f"llmcheck {name}", daemon=True).start()

    def ask(self, message: Callable[[int], protocol.Message]) -> Pending:
        """Send a request; its future gets the answer, or `HostEnded`."""
        pending = Pending(next(self._ids))
        self._pending[pending.id] = pending
        self.heard = time.monotonic()
        try:
            self._send(message(pending.id))
        except OSError:
            self._end()
        if self.ended:
            self._end()
        return pending

    def cancel(self, id_: int) -> None:
        """Tell the host that nobody waits for this answer."""
        self._pending.pop(id_, None)
        with contextlib.suppress(OSError):
            self._send(protocol.Cancel(id_))

    def ping(self) -> None:
        """Ask for a sign of life; `heard` and `busy` tell what came."""
        with contextlib.suppress(OSError):
            self._send(protocol.Ping(0))

    def kill(self) -> None:
        """End the host by force."""
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
        # Other workers may still use it; then it ends with the last of them and init reaps it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            return
        threading.Thread(target=process.wait, daemon=True).start()

    def how_it_ended(self) -> str:
        """In words, with the signal where we can know it."""
        if self._process is None:
            return "ended"
        try:
            return describe_exit(self._process.wait(timeout=5))
        except subprocess.TimeoutExpired:
            return "closed its connection"

    def _send(self, message: protocol.Message) -> None:
        with self._sending:
            protocol.send(self._raw, message)

    def _read(self) -> None:
        try:
            while (body := protocol.receive(self._raw)) is not None:
                self.heard = time.monotonic()
                self._sort(protocol.from_host.decode(body))
        except (OSError, protocol.BadFrame, msgspec.DecodeError):
            pass
        finally:
            self._end()

    def _sort(self, message: Any) -> None:
        if isinstance(message, protocol.Pong):
            self.busy = message.busy
        elif isinstance(message, protocol.Progress):
            if self._progress is not None:
                self._progress(f"loading {self._name}", message.fraction)
        elif pending := self._pending.pop(message.id, None):
            pending.future.set_result(message)

    def _end(self) -> None:
        self.ended = True
        # A request may be cancelled by its own thread at the same moment.
        with contextlib.suppress(KeyError):
            while True:
                _, pending = self._pending.popitem()
                pending.future.set_exception(HostEnded())


def describe_exit(code: int) -> str:
    """An exit status in words.

    >>> describe_exit(-11)
    'was killed by SIGSEGV'
    """
    if code >= 0:
        return f"ended with exit status {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (perhaps out of memory)" if name == "SIGKILL" else "")


def _tail(log: Path, lines: int = 8) -> str:
    """The end of the host's log, for messages."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n  end of its log:\n    " + "\n    ".join(last) if last else ""
