"""What a model host is started with and what it says of itself; known on both sides of the socket."""

from __future__ import annotations

import msgspec

from pytest_llmcheck.engines.types import Numerics


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model host is started for. Equal settings share one host.

    Attributes:
        name: of the model, for messages.
        path: of the GGUF file, absolute.
        n_ctx: tokens of one conversation.
        width: KV streams.
        threads: CPU threads.
        device: ``auto``, ``cpu`` or ``gpu``.
    """

    name: str
    path: str
    n_ctx: int
    width: int
    threads: int
    device: str


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself once the model is loaded.

    Attributes:
        build: engine and version.
        device: where the layers are.
        numerics: what decides the bits.
        n_vocab: size of the vocabulary.
        end_of_generation: names of the tokens that end a reply.
        load_seconds: from opening the file until the context was ready.
    """

    build: str
    device: str
    numerics: Numerics
    n_vocab: int
    end_of_generation: tuple[str, ...]
    load_seconds: float
