"""The model host: one model in a process of its own, serving one request at a time.

    python -P -m pytest_llmcheck.engines.llama.host SOCKET

Started by `client` in a process session of its own, with its standard streams already redirected. It ends
with its last client, also when that is killed: the kernel closes a dead client's socket.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import socket
import sys
import threading
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.errors import LlmcheckError, ModelError, PromptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.engines.llama.log import Log
    from pytest_llmcheck.engines.llama.settings import Info
    from pytest_llmcheck.engines.llama.weights import Model

FIRST_CLIENT_SECONDS = 30.0
"""A host that nobody connects to ends after this time."""


class Connection:
    """One client. Written to by the engine's thread and by its own reader."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._writing = threading.Lock()
        self.gone = False
        self.cancelled: set[int] = set()

    def send(self, message: protocol.Message) -> None:
        """Send, unless the client has gone."""
        try:
            with self._writing:
                protocol.send(self._raw, message)
        except OSError:
            self.gone = True

    def receive(self) -> protocol.FromClient | None:
        """The next message; None when the client has gone."""
        body = protocol.receive(self._raw)
        return None if body is None else protocol.from_client.decode(body)

    def close(self) -> None:
        """Close the socket; its reader thread then ends."""
        self.gone = True
        self._raw.close()


@dataclass(frozen=True, slots=True)
class Job:
    """A message that needs the engine."""

    connection: Connection
    message: protocol.Load | protocol.Generate | protocol.Tokenise
    received: float


class Host:
    """Accepts clients and lets the main thread work on their requests in order of arrival."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._clients: set[Connection] = set()
        self._changing = threading.Lock()
        self._ending = False
        self._since: float | None = None
        self._log: Log | None = None
        self._model: Model | None = None
        self._info: Info | None = None

    def run(self) -> None:
        """Serve until the last client has gone."""
        threading.Thread(target=self._accept, daemon=True).start()
        first = threading.Timer(FIRST_CLIENT_SECONDS, self._end_if_alone)
        first.daemon = True
        first.start()
        while (job := self._jobs.get()) is not None:
            self._work(job)
        if self._model is not None:
            self._model.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection(raw)
            with self._changing:
                if self._ending:
                    # Not greeted: it starts a host of its own.
                    connection.close()
                    return
                self._clients.add(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: Connection) -> None:
        try:
            while (message := connection.receive()) is not None:
                self._dispatch(connection, message)
        except (protocol.BadFrame, msgspec.DecodeError, OSError) as error:
            print(f"dropping a client: {error}", file=sys.stderr, flush=True)
        finally:
            connection.close()
            with self._changing:
                self._clients.discard(connection)
            self._end_if_alone()

    def _end_if_alone(self) -> None:
        with self._changing:
            if not self._clients:
                self._ending = True
                self._listener.close()
                self._jobs.put(None)

    def _dispatch(self, connection: Connection, message: protocol.FromClient) -> None:
        match message:
            case protocol.Hello(version=version):
                connection.send(protocol.Welcome(protocol.VERSION, os.getpid()))
                if version != protocol.VERSION:
                    connection.close()
            case protocol.Ping(id=id_):
                since = self._since
                connection.send(protocol.Pong(id_, 0.0 if since is None else perf_counter() - since))
            case protocol.Cancel(id=id_):
                connection.cancelled.add(id_)
            case _:
                self._jobs.put(Job(connection, message, perf_counter()))

    def _work(self, job: Job) -> None:
        # Imported by its first user: `import llama_cpp` takes longer than everything before it.
        from pytest_llmcheck.engines.llama.generation import Cancelled

        id_ = job.message.id
        self._since = perf_counter()
        answer: protocol.Message
        try:
            answer = self._answer(job, self._go_on(job))
        except Cancelled:
            answer = protocol.Failed(id_, "cancelled", "cancelled")
        except PromptError as error:
            answer = protocol.Failed(id_, "prompt", str(error))
        except ModelError as error:
            answer = protocol.Failed(id_, "model", str(error))
        except (LlmcheckError, MemoryError) as error:
            answer = protocol.Failed(id_, "engine", str(error) or type(error).__name__)
        finally:
            self._since = None
        job.connection.cancelled.discard(id_)
        job.connection.send(answer)

    def _go_on(self, job: Job) -> Callable[[], bool]:
        def cancelled() -> bool:
            # Asked between decode calls: the host is alive, only a single call may hang.
            self._since = perf_counter()
            return job.connection.gone or job.message.id in job.connection.cancelled

        return cancelled

    def _answer(self, job: Job, cancelled: Callable[[], bool]) -> protocol.Message:
        from pytest_llmcheck.engines.llama.generation import generate

        message = job.message
        if isinstance(message, protocol.Load):
            return protocol.Loaded(message.id, self._load(job.connection, message))
        if self._model is None:
            return protocol.Failed(message.id, "engine", "no model is loaded in this host")
        if isinstance(message, protocol.Tokenise):
            return protocol.Tokens(message.id, tuple(self._model.vocabulary.tokenise(message.text)))
        completion = generate(self._model, message.request, received=job.received, cancelled=cancelled)
        return protocol.Done(message.id, completion)

    def _load(self, connection: Connection, message: protocol.Load) -> Info:
        from pytest_llmcheck.engines.llama.log import Log
        from pytest_llmcheck.engines.llama.settings import Info
        from pytest_llmcheck.engines.llama.weights import Model, build

        if self._info is not None:
            return self._info

        def progress(fraction: float) -> None:
            self._since = perf_counter()
            connection.send(protocol.Progress(message.id, fraction))

        started = perf_counter()
        self._log = self._log or Log()
        self._model = Model(message.settings, self._log, progress)
        vocabulary = self._model.vocabulary
        self._info = Info(
            build=build(),
            device=self._model.device,
            numerics=self._model.numerics,
            n_vocab=vocabulary.size,
            end_of_generation=tuple(vocabulary.shown(t) for t in sorted(vocabulary.end_of_generation)),
            load_seconds=perf_counter() - started,
        )
        return self._info


def main() -> None:
    """Serve on the Unix socket named on the command line."""
    faulthandler.enable()
    path = sys.argv[1]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()
    # The socket's file stays behind: by now another host may have put its own there.
    Host(listener).run()


if __name__ == "__main__":
    main()
