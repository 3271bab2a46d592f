"""The host's end of a client's socket."""

from __future__ import annotations

import contextlib
import hmac
import os
import socket
import struct
import sys
import threading
from typing import NamedTuple

import msgspec

from pytest_llmcheck.engines.llama import protocol

SENDING_SECONDS = 10
"""How long a client may leave unread what does not fit into the socket; then it counts as gone."""


class Connection:
    """One client. Written to by the engine's thread and by its own reader.

    Attributes:
        gone: whether it has hung up.
        cancelled: ids of requests whose answers it does not wait for any more.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._writing = threading.Lock()
        self.gone = False
        self.cancelled: set[int] = set()

    def greet(self, secret: str) -> bool:
        """Whether the peer is a process of this user, knows the secret and speaks our version."""
        try:
            self._raw.settimeout(protocol.HANDSHAKE_SECONDS)
            if (user := peer_user(self._raw)) not in (None, os.getuid()):
                raise protocol.BadFrame(f"it belongs to user {user}")
            body = protocol.receive(self._raw, protocol.LARGEST_GREETING)
            if body is None:
                return False
            hello = protocol.from_client.decode(body)
            if not isinstance(hello, protocol.Hello) or not hmac.compare_digest(
                hello.secret.encode(), secret.encode()
            ):
                raise protocol.BadFrame("it does not belong to this run")
            if hello.version != protocol.VERSION:
                self.send(protocol.Welcome(protocol.VERSION, os.getpid()))
                return False
            self._raw.settimeout(None)
            # A client that is stopped must not stop all others.
            protocol.limit_sending(self._raw, SENDING_SECONDS)
        except (protocol.BadFrame, msgspec.DecodeError, OSError) as error:
            print(f"refusing a client: {error}", file=sys.stderr, flush=True)
            return False
        return True

    def send(self, message: protocol.Message) -> None:
        """Send, unless the client has gone."""
        try:
            with self._writing:
                protocol.send(self._raw, message)
        except OSError:
            self.gone = True
        except protocol.BadFrame as error:
            said = f"the answer cannot be sent: {error}"
            self.send(protocol.Failed(getattr(message, "id", 0), "engine", said))

    def receive(self) -> protocol.FromClient | None:
        """The next message; None when the client has gone or does not keep to the protocol."""
        try:
            body = protocol.receive(self._raw)
            return None if body is None else protocol.from_client.decode(body)
        except (protocol.BadFrame, msgspec.DecodeError, OSError) as error:
            if not self.gone:
                print(f"dropping a client: {error}", file=sys.stderr, flush=True)
            return None

    def close(self) -> None:
        """Hang up; the reader's thread then ends."""
        self.gone = True
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)
        self._raw.close()


class Asked(NamedTuple):
    """A message that needs the engine, who sent it, and when it came (`perf_counter`)."""

    connection: Connection
    message: protocol.Load | protocol.Generate | protocol.Rate | protocol.Tokenise
    received: float

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.connection.gone or self.message.id in self.connection.cancelled

    @property
    def alone(self) -> bool:
        """Whether nothing else is to be in the host's hands meanwhile."""
        return isinstance(self.message, protocol.Generate | protocol.Rate) and self.message.alone


def peer_user(raw: socket.socket) -> int | None:
    """User id of the process at the other end; None where the system does not tell.

    The folder of the socket is private in any case.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    layout = "3i"  # struct ucred: pid, uid, gid
    _, user, _ = struct.unpack(layout, raw.getsockopt(socket.SOL_SOCKET, option, struct.calcsize(layout)))
    return int(user)
