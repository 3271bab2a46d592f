"""What test process and model host say to each other: typed, versioned messages, never pickle.

A frame is a length of four bytes, big-endian, and that many bytes of MessagePack. Every request carries an id
that its answer repeats.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.llama.settings import Info, Settings
from pytest_llmcheck.engines.types import Completion, Request

if TYPE_CHECKING:
    import socket

VERSION = 1
LARGEST_FRAME = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages."""


class Hello(Message, frozen=True):
    """First from the client; the host closes the connection if it speaks another version."""

    version: int


class Welcome(Message, frozen=True):
    """First from the host."""

    version: int
    pid: int


class Load(Message, frozen=True):
    """Load the model, or say that it is loaded. Answer: `Progress` many times, then `Loaded` or `Failed`."""

    id: int
    settings: Settings


class Progress(Message, frozen=True):
    """A share of the loading is done."""

    id: int
    fraction: float


class Loaded(Message, frozen=True):
    """The model is ready."""

    id: int
    info: Info


class Generate(Message, frozen=True):
    """Continue a prompt. Answer: `Done` or `Failed`."""

    id: int
    request: Request


class Done(Message, frozen=True):
    """The completion of a `Generate`."""

    id: int
    completion: Completion


class Tokenise(Message, frozen=True):
    """Token ids of a rendered prompt. Answer: `Tokens` or `Failed`."""

    id: int
    text: str


class Tokens(Message, frozen=True):
    """Token ids."""

    id: int
    ids: tuple[int, ...]


class Cancel(Message, frozen=True):
    """Give up the request with this id; it is answered by `Failed`, kind ``cancelled``."""

    id: int


class Ping(Message, frozen=True):
    """Are you well? Answer: `Pong`, also while a reply is being decoded."""

    id: int


class Pong(Message, frozen=True):
    """Health. `busy` is how many seconds the present decode call has taken so far, 0 when idle."""

    id: int
    busy: float


class Failed(Message, frozen=True):
    """A request could not be answered. `kind` is ``prompt``, ``engine``, ``model`` or ``cancelled``."""

    id: int
    kind: str
    message: str


FromClient = Hello | Load | Generate | Tokenise | Cancel | Ping
FromHost = Welcome | Progress | Loaded | Done | Tokens | Pong | Failed

_encoder = msgspec.msgpack.Encoder()
from_client = msgspec.msgpack.Decoder(FromClient)
from_host = msgspec.msgpack.Decoder(FromHost)


class BadFrame(Exception):  # noqa: N818 - what came, not what went wrong here
    """The peer does not speak this protocol."""


def send(connection: socket.socket, message: Message) -> None:
    """Write one frame. The caller makes sure that no other thread writes at the same time."""
    body = _encoder.encode(message)
    if len(body) > LARGEST_FRAME:
        raise BadFrame(f"a message of {len(body)} bytes is over the limit of {LARGEST_FRAME}")
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> bytes | None:
    """Read one frame; None when the peer has closed.

    Raises:
        BadFrame: its length is beyond the limit.
    """
    head = _read(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > LARGEST_FRAME:
        raise BadFrame(f"a frame of {length} bytes is over the limit of {LARGEST_FRAME}")
    return _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        try:
            part = connection.recv(min(count, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
