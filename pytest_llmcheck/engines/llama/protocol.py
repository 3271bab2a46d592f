"""What test process and model host say to each other: typed, versioned messages, never pickle.

A frame is a length of four bytes, big-endian, and that many bytes of MessagePack. Every request carries an id
that its answer repeats.

A client first proves that it belongs to the run: it knows the secret in the run's private folder. Until
then it may say nothing but a short `Hello`.
"""

from __future__ import annotations

import secrets
import socket
import struct
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.llama.settings import Info, Settings
from pytest_llmcheck.engines.types import Completion, Request, ScoreRequest, Scoring
from pytest_llmcheck.prompts.forged import Spans

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 4
LARGEST_FRAME = 64 * 1024 * 1024
LARGEST_GREETING = 1024
"""Bytes that a peer may send before it has proved that it belongs to the run."""

HANDSHAKE_SECONDS = 10.0
"""How long either side may take to greet the other."""

_LENGTH = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages."""


class Hello(Message, frozen=True):
    """First from the client. A wrong secret ends the connection; a wrong version after the `Welcome`."""

    version: int
    secret: str


class Welcome(Message, frozen=True):
    """First from the host."""

    version: int
    pid: int


class Load(Message, frozen=True):
    """Load the model and make the context, or say that both are there.

    Answer: `Progress` many times, then `Loaded` or `Failed`; its kind is ``unloaded`` where nothing is
        loaded and `wait` is false, and ``room`` where memory is short.

    Attributes:
        wait: whether to load what is not there; who says so has made sure that nobody else is loading.
    """

    id: int
    settings: Settings
    wait: bool


class Progress(Message, frozen=True):
    """A share of the loading is done."""

    id: int
    fraction: float


class Loaded(Message, frozen=True):
    """Weights and context are ready."""

    id: int
    info: Info


class Generate(Message, frozen=True):
    """Continue a prompt. Answer: `Done` or `Failed`.

    Attributes:
        settings: in whose context.
        alone: nothing else is to be in the host's hands meanwhile; it says `Begun` when that is so.
    """

    id: int
    settings: Settings
    request: Request
    alone: bool = False


class Done(Message, frozen=True):
    """The completion of a `Generate`."""

    id: int
    completion: Completion


class Rate(Message, frozen=True):
    """Score a continuation. Answer: `Rated` or `Failed`. Attributes as for `Generate`."""

    id: int
    settings: Settings
    request: ScoreRequest
    alone: bool = False


class Rated(Message, frozen=True):
    """The answer to `Rate`."""

    id: int
    scoring: Scoring


class Begun(Message, frozen=True):
    """The host now works on this request and nothing else: if it dies, this request is why."""

    id: int


class Tokenise(Message, frozen=True):
    """Token ids of a rendered prompt. Answer: `Tokens` or `Failed`."""

    id: int
    text: str
    plain: Spans = ()


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
    """Health.

    Attributes:
        busy: seconds that the present call of llama.cpp has taken so far, 0 between calls.
        idle: seconds since there was last anything to do, 0 while there is.
        leaving: whether it has been asked to make room.
    """

    id: int
    busy: float
    idle: float
    leaving: bool


class MakeRoom(Message, frozen=True):
    """Another model of the run needs the memory: end once what was asked until now is answered. No answer."""


class Failed(Message, frozen=True):
    """A request could not be answered.

    Attributes:
        kind: ``config``, ``prompt``, ``engine``, ``model``, ``cancelled``, ``unloaded``, ``room`` (memory
            is short),
            ``together`` (it failed in company: ask again, alone) or ``leaving`` (this host makes room: ask
            anew).
    """

    id: int
    kind: str
    message: str


FromClient = Hello | Load | Generate | Rate | Tokenise | Cancel | Ping | MakeRoom
FromHost = Welcome | Progress | Loaded | Begun | Done | Rated | Tokens | Pong | Failed

_encoder = msgspec.msgpack.Encoder()
from_client = msgspec.msgpack.Decoder(FromClient)
from_host = msgspec.msgpack.Decoder(FromHost)


class BadFrame(Exception):  # noqa: N818 - what came, not what went wrong here
    """The peer does not speak this protocol."""


def limit_sending(connection: socket.socket, seconds: int) -> None:
    """Let a write fail with an `OSError` when the peer has not read for so long."""
    option = struct.pack("ll", seconds, 0)  # struct timeval
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, option)


def send(connection: socket.socket, message: Message) -> None:
    """Write one frame. The caller makes sure that no other thread writes at the same time."""
    body = _encoder.encode(message)
    if len(body) > LARGEST_FRAME:
        raise BadFrame(f"a message of {len(body)} bytes is over the limit of {LARGEST_FRAME}")
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, limit: int = LARGEST_FRAME) -> bytes | None:
    """Read one frame of at most `limit` bytes; None when the peer has closed.

    Raises:
        BadFrame: its length is beyond the limit.
    """
    head = _read(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > limit:
        raise BadFrame(f"a frame of {length} bytes is over the limit of {limit}")
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


def secret_of(folder: Path) -> str:
    """The secret of the run whose private folder this is; made by the first who asks.

    Raises:
        OSError: the folder cannot be read or written.
    """
    path = folder / "secret"
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        made = folder / f"secret.{secrets.token_hex(4)}"
        made.touch(mode=0o600)
        made.write_text(secrets.token_hex(16), encoding="ascii")
        try:
            # Only one of those who come at the same time wins; a link never replaces.
            path.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink()
        return path.read_text(encoding="ascii")
