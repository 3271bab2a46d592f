"""Request -> Reply: what is asked of an engine and what it gives back. Data only, safe to send."""

from __future__ import annotations

import hashlib
import struct
from typing import Literal

import msgspec

from pytest_llmcheck.prompts.forged import Spans

FinishReason = Literal["stop", "length", "context", "thought"]
"""Why a reply ended: by the model, at max_tokens, by a full context, by the model inside its thought.

An engine knows nothing of thoughts and says ``stop`` for the last.
"""


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the next token is chosen.

    At temperature 0 it is greedy: the token with the largest logit, the lowest id among equals, and
    nothing else matters. Above 0, the filters work in llama.cpp's order: top-k, top-p, min-p, then the
    temperature. The defaults are llama.cpp's.

    Attributes:
        temperature: divides the logits; 0 is greedy.
        top_k: keep the k largest; 0 keeps all.
        top_p: keep the smallest set whose probability reaches p; 1 keeps all.
        min_p: keep tokens with at least this share of the largest probability; 0 keeps all.
        seed: of the request's own generator; equal seeds give equal replies.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int = 0

    @property
    def greedy(self) -> bool:
        """Whether the seed and the filters have no say."""
        return self.temperature == 0.0


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the text of a reply is held to while it is decoded.

    Attributes:
        kind: ``schema`` for a JSON Schema, ``grammar`` for llama.cpp's GBNF.
        source: the schema as JSON, or the grammar's text with a rule ``root``.
    """

    kind: Literal["schema", "grammar"]
    source: str

    @property
    def sha256(self) -> str:
        """Hash of kind and source, hexadecimal."""
        return hashlib.sha256(f"{self.kind}\n{self.source}".encode()).hexdigest()


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One prompt to be continued.

    Attributes:
        prompt: the rendered text; control tokens in it are parsed as such.
        max_tokens: upper bound of the reply's length, in tokens.
        sampling: how tokens are chosen.
        top_logprobs: how many alternatives to report with each token.
        timeout: seconds that the engine may work on it; waiting for a free slot does not count.
        constraint: what the reply's text is held to.
        plain: places in `prompt`, in characters, of control tokens that are letters only; in order.
    """

    prompt: str
    max_tokens: int = 512
    sampling: Sampling = Sampling()
    top_logprobs: int = 5
    timeout: float = 600.0
    constraint: Constraint | None = None
    plain: Spans = ()


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A prompt and what is given as its continuation (teacher forcing).

    Attributes:
        prompt: the rendered text; control tokens in it are parsed as such.
        continuation: token ids, or a text that is tokenised on its own, control tokens not parsed.
        top_logprobs: how many alternatives to report with each token.
        timeout: seconds that the engine may work on it.
        write_rows: a file to be made with the whole rows of logits, for another model's `read_rows`.
        read_rows: a file that another model's `write_rows` made for the same prompt and continuation.
        plain: see `Request`.
    """

    prompt: str
    continuation: str | tuple[int, ...]
    top_logprobs: int = 5
    timeout: float = 600.0
    write_rows: str = ""
    read_rows: str = ""
    plain: Spans = ()


# gc=False: replies hold thousands of these, and none refers to anything that could refer back.
class Alternative(msgspec.Struct, frozen=True, gc=False):
    """A token that could have come at a position, with its log-probability in nats."""

    id: int
    text: str
    logprob: float


class Token(msgspec.Struct, frozen=True):
    """A token of the reply.

    Attributes:
        id: in the model's vocabulary.
        text: its piece; bytes that are no UTF-8 on their own show as U+FFFD.
        logprob: natural logarithm of its probability before temperature and filters.
        top: the most likely tokens at this position, best first.
    """

    id: int
    text: str
    logprob: float
    top: tuple[Alternative, ...] = ()


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, taken in the model host around the decode calls.

    Attributes:
        queued: from arrival in the host until work began.
        prefill: over the prompt.
        ttft: time to first token: from the start of work until the first token was chosen.
        decode: over the tokens after the first.
        total: from the start of work to the end.
        prompt_tokens: tokens of the prompt.
        reply_tokens: tokens of the reply, the end-of-generation token included.
        reused_tokens: tokens of the prompt whose state came from the prefix store.
        company: the largest number of other requests that were decoded in the same calls.
    """

    queued: float
    prefill: float
    ttft: float
    decode: float
    total: float
    prompt_tokens: int
    reply_tokens: int
    reused_tokens: int = 0
    company: int = 0

    @property
    def tokens_per_second(self) -> float | None:
        """Decode speed over the tokens after the first; None for fewer than two tokens."""
        if self.reply_tokens < 2 or self.decode <= 0:
            return None
        return (self.reply_tokens - 1) / self.decode


class Prompt(msgspec.Struct, frozen=True):
    """Messages as the model sees them.

    Attributes:
        text: as rendered.
        token_ids: of the text.
        plain: see `Request`.
    """

    text: str
    token_ids: tuple[int, ...]
    plain: Spans = ()

    @property
    def sha256(self) -> str:
        """Hash of the rendered text and of which control tokens in it are letters only, hexadecimal."""
        digest = hashlib.sha256(self.text.encode())
        if self.plain:
            digest.update(f"\n{self.plain}".encode())
        return digest.hexdigest()

    @property
    def tokens_sha256(self) -> str:
        """Hash of the token ids as little-endian 32-bit integers, hexadecimal; empty where there are none."""
        ids = self.token_ids
        return hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest() if ids else ""


class Numerics(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the bits of a reply, given equal weights and an equal prompt.

    Attributes:
        library: hash over the shared libraries of llama.cpp and ggml.
        processor: the features of the CPU or the names of the devices that the library uses.
        grid: tokens of one prefill chunk.
        width: KV streams of the context.
        rows: the rule for padding rows of a decode step, see `engines.llama.canonical`.
        cache: types of the K and V cache, such as ``f16/f16``.
        flash_attention: whether it is on.
        stable: False where this engine cannot keep replies independent of their company.
    """

    library: str
    processor: str
    grid: int
    width: int
    rows: str
    cache: str
    flash_attention: bool
    stable: bool = True

    @property
    def digest(self) -> str:
        """Short hash over all fields, for front matter and comparison."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What made a reply. Two replies come from the same model when `same_model` holds; names do not matter.

    Attributes:
        model: the name, for people.
        quant: derived from the tensors, for people.
        build: of the engine, for people.
        device: where it ran, for people.
        weights: SHA-256 of the GGUF file.
        adapters: hashes of LoRA adapters with their scales.
        template: SHA-256 of the chat template's source.
        settings: what changes replies besides, such as ``n_ctx``; sorted pairs.
        sampling: how tokens were chosen.
        max_tokens: the bound that was set.
        prompt: SHA-256 of the rendered prompt.
        prompt_tokens: SHA-256 of its token ids; empty in records from before it was taken down.
        numerics: what decides the bits.
        constraint: hash of the schema or grammar that the reply was held to; empty where it was free.
        noise: see `engines.llama.settings.Info`.
    """

    model: str
    quant: str
    build: str
    device: str
    weights: str
    template: str
    prompt: str
    sampling: Sampling
    max_tokens: int
    numerics: Numerics
    adapters: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    constraint: str = ""
    prompt_tokens: str = ""
    noise: float = 0.0

    def same_model(self, other: Fingerprint) -> bool:
        """Equal weights, adapters, template and settings, whatever the names."""
        return (self.weights, self.adapters, self.template, self.settings) == (
            other.weights,
            other.adapters,
            other.template,
            other.settings,
        )


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine gives back for a request, before the session makes a `Reply` of it.

    Attributes:
        text: the continuation, UTF-8, control tokens left out.
        marked: the same with control tokens shown by their names; empty where there is none among `tokens`.
        controls: begin and end of those names in `marked`, in characters; in order.
        finish_reason: ``stop`` (end of generation), ``length`` or ``context``.
        tokens: the tokens of the text.
        end: the end-of-generation token, where one ended the reply.
        prompt_ids: token ids of the prompt.
        timings: see `Timings`.
        ignored: parts of the schema that the constraint does not enforce, such as ``multipleOf at $.price``.
    """

    text: str
    finish_reason: FinishReason
    tokens: tuple[Token, ...]
    end: Token | None
    prompt_ids: tuple[int, ...]
    timings: Timings
    ignored: tuple[str, ...] = ()
    marked: str = ""
    controls: Spans = ()


class Scoring(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine gives back for a `ScoreRequest`.

    Attributes:
        tokens: the continuation's tokens with their log-probabilities and alternatives.
        prompt_ids: token ids of the prompt.
        timings: see `Timings`; `decode` is 0.
        divergence: with `read_rows`, for each token the KL divergence of this model from the other, in nats.
        same_top: with `read_rows`, for each token whether both models find the same token most likely.
    """

    tokens: tuple[Token, ...]
    prompt_ids: tuple[int, ...]
    timings: Timings
    divergence: tuple[float, ...] = ()
    same_top: tuple[bool, ...] = ()
