"""The renderer: our end of the worker that compiles and renders chat templates within limits.

There is one worker for each Python process, started at the first question and shared by all templates and
threads. A template that breaks a limit takes it down; the next question starts another.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_llmcheck.prompts.wire import (
    ANSWER,
    DONE,
    FAILED,
    QUESTION,
    UNKNOWN,
    WALL_SECONDS,
    Failure,
    Moment,
    Trouble,
    Verb,
    output_limit,
)

_READ_BYTES = 1 << 16
_ROOM_FOR_NAMES = 1 << 20
"""Added to the limit of an answer: errors, and the names of a template's variables."""

_PROGRAM = "import sys; sys.path += sys.argv[1:]; from pytest_llmcheck.prompts.worker import main; main()"
_PACKAGES = ("pytest_llmcheck", "jinja2", "markupsafe")


_PERHAPS_NOT_ITS_FAULT = (Trouble.MEMORY, Trouble.CRASHED, Trouble.START)
"""What the worker did before may have filled its memory, or somebody killed it: a fresh one is asked."""

_TAKES_IT_DOWN = (Trouble.MEMORY, Trouble.START, Trouble.CPU, Trouble.WALL, Trouble.CRASHED)


class RenderingFailedError(Exception):
    """There is no answer; with the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class _EndedError(Exception):
    """The worker closed its pipes."""


class Renderer:
    """Asks the worker, one question at a time; starts it when needed. May be shared between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        # Weakly: what is registered is kept until the end of the interpreter.
        abandon = weakref.WeakMethod(self._abandon)
        os.register_at_fork(after_in_child=lambda: (method := abandon()) and method())

    def render(self, key: str, source: str, now: Moment, given: dict[str, Any]) -> str:
        """What the template prints.

        Args:
            key: tells templates apart: source and moment.
            source: of the template; sent when the worker does not know the key.
            now: what ``strftime_now`` formats.
            given: the template's variables, of plain types.

        Raises:
            RenderingFailedError: the template is not valid, refused, failed or broke a limit; or the worker
                cannot be started.
        """
        return self._ask(Verb.RENDER, key, source, now, given).decode()

    def variables(self, key: str, source: str, now: Moment) -> frozenset[str]:
        """The names that the template reads from outside.

        Raises:
            RenderingFailedError: as `render`.
        """
        return frozenset(self._ask(Verb.VARIABLES, key, source, now, {}).decode().split("\n")) - {""}

    def prepare(self) -> None:
        """Start the worker without waiting for it, where a template is about to be rendered.

        If it cannot be started, the first question says so.
        """
        with self._lock, contextlib.suppress(OSError):
            if self._worker is None:
                self._worker = _Worker()

    def _ask(self, verb: Verb, key: str, source: str, now: Moment, given: dict[str, Any]) -> bytes:
        short, full = (marshal.dumps((verb.value, key, sent, now, given)) for sent in (None, source))
        with self._lock:
            if self._worker is not None and not self._worker.alive:
                self._end()
            fresh = self._worker is None
            try:
                return self._exchange(short, full)
            except RenderingFailedError as error:
                if fresh or error.failure.trouble not in _PERHAPS_NOT_ITS_FAULT:
                    raise
            return self._exchange(full, full)

    def _exchange(self, question: bytes, full: bytes) -> bytes:
        """The answer to a question; `full` is asked when the template is not known.

        Raises:
            RenderingFailedError: with the reason.
        """
        try:
            if self._worker is None:
                self._worker = _Worker()
            kind, payload = self._worker.ask(question)
            if kind == UNKNOWN:
                kind, payload = self._worker.ask(full)
        except _EndedError:
            assert self._worker is not None
            failure = self._worker.cause_of_death()
        except TimeoutError:
            failure = Failure(Trouble.WALL)
        except OSError as error:
            failure = Failure(Trouble.START, str(error))
        except BaseException:
            # Ctrl-C amid an answer: the rest of it would be taken for the answer to the next question.
            self._end()
            raise
        else:
            if kind == DONE:
                return payload
            failure = _failure_in(kind, payload)
        if failure.trouble in _TAKES_IT_DOWN:
            self._end()
        raise RenderingFailedError(failure)

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _abandon(self) -> None:
        """In the child of a fork: the worker is the parent's, and the lock may be held by nobody here."""
        self._lock = threading.Lock()
        if self._worker is not None:
            self._worker.abandon()
            self._worker = None


class _Worker:
    """One process of the worker.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=_environment(),
            # Ctrl-C goes to the whole group of a terminal.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions = self._process.stdin.fileno()
        self._answers = self._process.stdout.fileno()
        os.set_blocking(self._questions, False)
        self._writable = select.poll()
        self._writable.register(self._questions, select.POLLOUT)
        self._readable = select.poll()
        self._readable.register(self._answers, select.POLLIN)
        self._finalizer = weakref.finalize(self, _end, self._process)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: bytes) -> tuple[bytes, bytes]:
        """The kind and the payload of the answer.

        Raises:
            _EndedError: the process ended.
            TimeoutError: no answer after `WALL_SECONDS`.
        """
        deadline = time.monotonic() + WALL_SECONDS
        self._write(QUESTION.pack(len(question)) + question, deadline)
        answer = bytearray()
        self._read(answer, ANSWER.size, deadline)
        kind, length = ANSWER.unpack_from(answer)
        # UTF-8 takes 4 bytes for a character at most. The limit protects this process.
        if length > 4 * output_limit(len(question)) + _ROOM_FOR_NAMES:
            return b"", b""
        self._read(answer, ANSWER.size + length, deadline)
        return kind, bytes(memoryview(answer)[ANSWER.size :])

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._questions, left) :]
            except BlockingIOError:
                _await(self._writable, deadline)
            except BrokenPipeError:
                raise _EndedError from None

    def _read(self, into: bytearray, size: int, deadline: float) -> None:
        while len(into) < size:
            _await(self._readable, deadline)
            data = os.read(self._answers, max(_READ_BYTES, size - len(into)))
            if not data:
                raise _EndedError
            into += data

    def cause_of_death(self) -> Failure:
        """Why it closed its pipes."""
        code = self._process.wait()
        if code == -signal.SIGPROF:
            return Failure(Trouble.CPU)
        if code < 0:
            with contextlib.suppress(ValueError):
                return Failure(Trouble.CRASHED, f"was ended by {signal.Signals(-code).name}")
            return Failure(Trouble.CRASHED, f"was ended by signal {-code}")
        # It ends itself only at the end of its input.
        return Failure(Trouble.START, f"it ended with exit status {code}")

    def end(self) -> None:
        """Kill and reap it."""
        self._finalizer()

    def abandon(self) -> None:
        """Close our ends in a fork, so that the worker ends with the process that started it."""
        self._finalizer.detach()
        _close(self._process)
        # Not our child: there is nothing to wait for, and nothing to warn of.
        self._process.returncode = 0


def _failure_in(kind: bytes, payload: bytes) -> Failure:
    if kind == FAILED:
        with contextlib.suppress(ValueError):
            return Failure.unpack(payload)
    return Failure(Trouble.CRASHED, "gave an answer that is none")


def _await(poll: select.poll, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _command() -> list[str]:
    """Isolated, and without ``site``: it starts in half the time, and finds nothing of the user's."""
    if not sys.executable:
        raise OSError("sys.executable does not say where Python is")
    folders = []
    for package in _PACKAGES:
        found = find_spec(package)
        if found is None or found.origin is None:
            raise OSError(f"the package {package} is not installed")
        folders.append(str(Path(found.origin).parent.parent))
    flags = ["-I", "-S", "-B"] if sys.dont_write_bytecode else ["-I", "-S"]
    return [sys.executable, *flags, "-c", _PROGRAM, *dict.fromkeys(folders)]


def _environment() -> dict[str, str]:
    """What the interpreter itself may need to start, none of the rest: a template is a stranger."""
    loader = {name: value for name, value in os.environ.items() if name.startswith(("LD_", "DYLD_"))}
    # `%s` of strftime_now is a local time.
    return {**loader, "TZ": "UTC", "LC_ALL": "C.UTF-8"}


RENDERER = Renderer()
"""This process's own: templates of one process share a worker, as they would share the import of jinja2."""
