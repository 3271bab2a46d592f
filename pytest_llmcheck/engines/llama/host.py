"""The model host: one file of weights in a process of its own, serving all clients of a run together.

    python -P -m pytest_llmcheck.engines.llama.host SOCKET

Started by `client` in a process session of its own, with its standard streams already redirected. It ends
with its last client, also when that is killed: the kernel closes a dead client's socket.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import socket
import sys
import threading
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.engines.llama.connection import Asked, Connection
from pytest_llmcheck.engines.llama.line import END

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.service import Service

FIRST_CLIENT_SECONDS = 10.0
"""A host that nobody connects to ends after this time: who started it was killed before it could listen."""

LAST_CALL_SECONDS = 5.0
"""How long a call of llama.cpp may still take once the last client has gone; it might never return."""

STAY_SECONDS = 1.0
"""How long a host serves at least before it makes room for another model; at least twice its loading time."""


class Host:
    """Accepts clients; the main thread works on what they ask.

    Args:
        listener: bound and listening.
        secret: what a client must know.
    """

    def __init__(self, listener: socket.socket, secret: str) -> None:
        self._listener = listener
        self._secret = secret
        self._inbox: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._clients: set[Connection] = set()
        self._changing = threading.Lock()
        self._ending = False
        self._leave_at: float | None = None
        self._since: float | None = None
        self._idle_since: float | None = perf_counter()
        self._service: Service | None = None

    def run(self) -> None:
        """Serve until the last client has gone, or until another model needs the room."""
        threading.Thread(target=self._accept, daemon=True).start()
        first = threading.Timer(FIRST_CLIENT_SECONDS, self._end_if_alone)
        first.daemon = True
        first.start()
        while self._take() and not self._may_leave():
            if self._service is not None and self._service.busy:
                self._idle_since = None
                self._service.turn()
            self.rest()
        self._end()

    def working(self) -> None:
        """A call of llama.cpp begins: from now on only that call may hang."""
        self._since = perf_counter()

    def rest(self) -> None:
        """No call of llama.cpp is running."""
        self._since = None
        if self._idle_since is None and not (self._service is not None and self._service.busy):
            self._idle_since = perf_counter()

    @property
    def _leaving(self) -> bool:
        """Whether another model needs the room, and this one has been here long enough."""
        return self._leave_at is not None and perf_counter() >= self._leave_at

    # -- in the main thread ---------------------------------------------------------------------

    def _take(self) -> bool:
        """Hand on what has come; waits if there is nothing to do. False when it is time to end."""
        block = self._service is None or not self._service.busy
        while True:
            try:
                at = self._leave_at
                left = None if at is None else max(0.0, at - perf_counter())
                asked = self._inbox.get(block=block, timeout=left)
            except queue.Empty:
                return True
            if asked is None:
                # To end, or only to look up.
                with self._changing:
                    return not self._ending
            self._hand_on(asked)
            block = False

    def _hand_on(self, asked: Asked) -> None:
        from pytest_llmcheck.engines.llama.service import Service

        if self._service is None:
            # Imported by its first user: `import llama_cpp` takes longer than everything before it.
            self._service = Service(self)
        if self._leaving and not isinstance(asked.message, protocol.Tokenise):
            refuse(asked)
            return
        try:
            self._service.accept(asked)
        finally:
            self.rest()

    def _may_leave(self) -> bool:
        """Whether room was asked for and everything that came before is answered."""
        return self._leaving and not (self._service is not None and self._service.busy)

    def _end(self) -> None:
        with self._changing:
            self._ending = True
            self._listener.close()
            clients = [*self._clients]
        if self._service is not None:
            self._service.close()
        # What came while the weights were being freed is asked anew elsewhere.
        with contextlib.suppress(queue.Empty):
            while True:
                if (asked := self._inbox.get_nowait()) is not None:
                    refuse(asked)
        print(END, file=sys.stderr, flush=True)
        # Hung up on only now: who hears it may take the memory.
        for client in clients:
            client.close()

    # -- in threads of their own ----------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Connection(raw),), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            if not connection.greet(self._secret):
                return
            with self._changing:
                if self._ending or self._leaving:
                    # Not served: it starts a host of its own.
                    return
                self._clients.add(connection)
            connection.send(protocol.Welcome(protocol.VERSION, os.getpid()))
            while (message := connection.receive()) is not None:
                self._dispatch(connection, message)
        finally:
            connection.close()
            with self._changing:
                self._clients.discard(connection)
            self._end_if_alone()

    def _end_if_alone(self) -> None:
        with self._changing:
            if not self._clients and not self._ending:
                self._ending = True
                self._listener.close()
                self._inbox.put(None)
                patience = threading.Timer(LAST_CALL_SECONDS, os._exit, (1,))
                patience.daemon = True
                patience.start()

    def _dispatch(self, connection: Connection, message: protocol.FromClient) -> None:
        match message:
            case protocol.Ping(id=id_):
                now, since, idle = perf_counter(), self._since, self._idle_since
                busy = 0.0 if since is None else now - since
                idle_for = 0.0 if idle is None else now - idle
                connection.send(protocol.Pong(id_, busy, idle_for, self._leave_at is not None))
            case protocol.Cancel(id=id_):
                connection.cancelled.add(id_)
            case protocol.MakeRoom():
                if self._leave_at is None:
                    service = self._service
                    stay = STAY_SECONDS if service is None else max(STAY_SECONDS, service.stay_seconds)
                    ready = perf_counter() if service is None else service.ready_at
                    self._leave_at = ready + stay
                self._inbox.put(None)
            case protocol.Hello():
                connection.close()
            case _:
                self._inbox.put(Asked(connection, message, perf_counter()))


def refuse(asked: Asked) -> None:
    """Answer a request that came too late: it is to be asked anew."""
    said = "the host makes room for another model"
    asked.connection.send(protocol.Failed(asked.message.id, "leaving", said))


def main() -> None:
    """Serve on the Unix socket named on the command line, for the run whose private folder it lies in."""
    faulthandler.enable()
    path = Path(sys.argv[1])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    os.chmod(path, 0o600)
    listener.listen(64)
    # The socket's file stays behind: by now another host may have put its own there.
    Host(listener, protocol.secret_of(path.parent)).run()


if __name__ == "__main__":
    main()
