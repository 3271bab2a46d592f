"""What a reply is found by in the cache: a hash over all that decides it, known without loading a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Generic, TypeVar, overload

import msgspec

from pytest_llmcheck.engines.llama.machine import code_identity, library_hash, machine_identity
from pytest_llmcheck.engines.reply import shorten
from pytest_llmcheck.engines.types import Completion, Request, Sampling, ScoreRequest, Scoring

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.settings import Info, Settings
    from pytest_llmcheck.engines.types import Numerics

Answer = TypeVar("Answer", Completion, Scoring)

#: Of keys and values; another one finds nothing of the old.
FORMAT = 1


class Key(Generic[Answer]):
    """What a reply is found by. Made by `Keys.of`.

    Attributes:
        digest: SHA-256 over all that decides the reply.
        answer: `Completion` or `Scoring`.
        kept: False for a request whose answer is never cached.
    """

    __slots__ = ("_model", "_prompt", "answer", "digest", "kept")

    def __init__(self, digest: bytes, answer: type[Answer], model: str, prompt: str, *, kept: bool) -> None:
        self.digest = digest
        self.kept = kept
        self.answer: type[Answer] = answer
        self._model = model
        self._prompt = prompt

    def __str__(self) -> str:
        what = "reply" if self.answer is Completion else "scoring"
        return f"{what} of model {self._model!r} to the prompt {shorten(self._prompt, 200)}"


class Keys:
    """Makes keys; what is the same for all requests to a model is hashed once."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._prefixes: dict[tuple[Settings, Numerics], bytes] = {}

    @overload
    def of(self, settings: Settings, info: Info, request: Request) -> Key[Completion]: ...
    @overload
    def of(self, settings: Settings, info: Info, request: ScoreRequest) -> Key[Scoring]: ...
    @overload
    def of(
        self, settings: Settings, info: Info, request: Request | ScoreRequest
    ) -> Key[Completion] | Key[Scoring]: ...
    def of(
        self, settings: Settings, info: Info, request: Request | ScoreRequest
    ) -> Key[Completion] | Key[Scoring]:
        """The key of an answer; see `ReplyCache.key`."""
        known = (settings, info.numerics)
        prefix = self._prefixes.get(known)
        if prefix is None:
            context = msgspec.structs.replace(_without_paths(settings).context, threads=0)
            host = msgspec.structs.replace(_without_paths(settings).host, require_gpu=False)
            prefix = self._prefixes[known] = self._encoder.encode(
                (FORMAT, code_identity(), settings.weights, host, context, info.numerics)
            )
        bare: Request | ScoreRequest
        if isinstance(request, Request):
            bare = msgspec.structs.replace(request, prompt="", timeout=0.0)
            if request.sampling.greedy:
                bare = msgspec.structs.replace(bare, sampling=Sampling())
            kept = True
        else:
            bare = msgspec.structs.replace(request, prompt="", timeout=0.0)
            kept = not request.read_rows and not request.write_rows
        digest = hashlib.sha256(prefix)
        digest.update(self._encoder.encode((type(request).__name__, bare)))
        digest.update(request.prompt.encode("utf-8", "surrogatepass"))
        if isinstance(request, Request):
            return Key(digest.digest(), Completion, settings.name, request.prompt, kept=kept)
        return Key(digest.digest(), Scoring, settings.name, request.prompt, kept=kept)

    def of_info(self, settings: Settings) -> bytes:
        """Under what a host says of itself is kept."""
        # Unlike a reply, it may say how many threads there are; and a GPU that is required was found.
        bare = _without_paths(settings)
        identity = (FORMAT, "info", code_identity(), library_hash(), machine_identity())
        return hashlib.sha256(
            self._encoder.encode((*identity, bare.weights, bare.host, bare.context))
        ).digest()

    def of_lengths(self, weights: str, prompt: str, cuts: object) -> bytes:
        """Under what counted tokens are kept."""
        digest = hashlib.sha256(self._encoder.encode((FORMAT, "lengths", code_identity(), weights, cuts)))
        digest.update(prompt.encode("utf-8", "surrogatepass"))
        return digest.digest()


def _without_paths(settings: Settings) -> Settings:
    replace = msgspec.structs.replace
    adapters = tuple(replace(adapter, path="") for adapter in settings.context.adapters)
    return replace(
        settings,
        name="",
        host=replace(settings.host, path=""),
        context=replace(settings.context, adapters=adapters),
    )
