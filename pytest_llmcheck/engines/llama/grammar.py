"""Holding a reply to a JSON Schema or a GBNF grammar while it is decoded.

Schemas are turned into GBNF by `schema_grammar`, a converter of our own (it says why); the grammar itself is
followed by llama.cpp's grammar sampler. `gbnf` refuses beforehand what llama.cpp would not survive.
"""

from __future__ import annotations

import codecs
import ctypes
import json
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_llmcheck.engines.llama import gbnf
from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.sampling import largest
from pytest_llmcheck.engines.llama.schema_grammar import schema_to_gbnf
from pytest_llmcheck.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_llmcheck.engines.llama.sampling import Row, Sampler
    from pytest_llmcheck.engines.llama.vocabulary import Vocabulary
    from pytest_llmcheck.engines.types import Constraint

NEAREST = 64
"""How many of the best tokens a greedy choice looks at before all of them."""

PATIENCE = 5.0
"""Seconds for one call of llama.cpp: the stacks of an ambiguous grammar can double with every token."""

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


@dataclass(frozen=True)
class Compiled:
    """A constraint that llama.cpp can follow.

    Attributes:
        text: the grammar, in GBNF.
        ignored: parts of the schema that it does not enforce, such as ``multipleOf at $.price``.
    """

    text: str
    ignored: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def compile_constraint(constraint: Constraint) -> Compiled:
    """Turn a constraint into a grammar, in bounded time.

    Raises:
        ConfigError: the grammar or the schema is invalid, or llama.cpp could not follow it; with the place.
    """
    if constraint.kind == "grammar":
        gbnf.check(constraint.source)
        return Compiled(constraint.source)
    try:
        schema = json.loads(constraint.source, parse_constant=_no_constant)
    except ValueError as error:
        raise ConfigError(f"the schema is not JSON: {error}") from None
    except RecursionError:
        raise ConfigError("the schema is nested too deeply") from None
    text, ignored = schema_to_gbnf(schema)
    try:
        gbnf.check(text)
    except ConfigError as error:
        raise ConfigError(f"the schema cannot be turned into a grammar: {error}") from None
    return Compiled(text, ignored)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class GrammarState:
    """Where the reply of one request stands in its grammar. `close` frees it.

    Args:
        compiled: what the reply is held to.
        vocabulary: of the model; it must outlive this object.

    Raises:
        ConfigError: llama.cpp refuses the grammar.
    """

    def __init__(self, compiled: Compiled, vocabulary: Vocabulary) -> None:
        self._sampler: Any = None
        self._vocabulary = vocabulary
        self._tokens = _read_tokens(vocabulary)
        # llama.cpp does not look at continuation bytes; this does.
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._checked: int | None = None
        self._ended = False
        started = perf_counter()
        self._sampler = llama.llama_sampler_init_grammar(vocabulary.pointer, compiled.text.encode(), b"root")
        if not self._sampler:
            raise ConfigError(
                "llama.cpp refuses the grammar; the reason is at the end of its log. It begins with: "
                f"{compiled.text[:200]!r}"
            )
        self._one = np.zeros(1, dtype=_CANDIDATE)
        self._one_array = _array_of(self._one)
        self._all: NDArray[Any] | None = None
        self._all_array: Any = None
        self._mind(started)

    def choose(self, row: Row, sampler: Sampler) -> int:
        """The id of the next token, which the grammar allows.

        The token that the sampler picks is checked alone. Where it is rejected, the sampler picks again among
        the allowed tokens only; above temperature 0 that is another draw from the request's generator, as in
        llama.cpp's own `common_sampler_sample`, so that equal seeds still give equal replies.

        Raises:
            EngineError: the grammar allows nothing, or has become too ambiguous to follow.
        """
        token = sampler.choose(row)
        if not self._allows(token):
            token = self._choose_allowed(row, sampler)
        self._checked = token
        return token

    def accept(self, token: int) -> None:
        """The next token of the reply.

        Raises:
            EngineError: the grammar does not allow it.
        """
        # llama.cpp aborts the process on a token that it would have rejected.
        if token != self._checked and not self._allows(token):
            raise EngineError(
                f"the grammar does not allow the token {self._vocabulary.shown(token)!r} ({token}) here"
            )
        self._checked = None
        if token in self._vocabulary.end_of_generation:
            self._ended = True
            return
        started = perf_counter()
        llama.llama_sampler_accept(self._sampler, token)
        self._decoder.decode(self._vocabulary.piece(token))
        self._mind(started)

    def close(self) -> None:
        """Free llama.cpp's part; nothing else may be called afterwards."""
        if self._sampler:
            llama.llama_sampler_free(self._sampler)
            self._sampler = None

    def __del__(self) -> None:
        self.close()

    def _allows(self, token: int) -> bool:
        if not self._fits(token):
            return False
        self._one["id"], self._one["logit"] = token, 0.0
        started = perf_counter()
        llama.llama_sampler_apply(self._live(), self._one_array)
        self._mind(started)
        return bool(self._one["logit"][0] == 0.0)

    def _live(self) -> Any:
        # llama.cpp asserts that there is a state to go on from.
        if not self._sampler or self._ended:
            raise EngineError("the grammar is at its end: the reply was finished or the request closed")
        return self._sampler

    def _fits(self, token: int) -> bool:
        """Whether the token is text, and goes on with the character begun before it."""
        if self._tokens.whole[token]:
            return not self._pending()
        if token in self._tokens.never:
            return False
        decoder = codecs.getincrementaldecoder("utf-8")()
        decoder.setstate(self._decoder.getstate())
        try:
            decoder.decode(self._vocabulary.piece(token))
        except UnicodeDecodeError:
            return False
        return True

    def _pending(self) -> bool:
        return bool(self._decoder.getstate()[0])

    def _choose_allowed(self, row: Row, sampler: Sampler) -> int:
        if sampler.greedy:
            near = largest(row, NEAREST)
            candidates = np.zeros(near.size, dtype=_CANDIDATE)
            candidates["id"] = near
            started = perf_counter()
            llama.llama_sampler_apply(self._live(), _array_of(candidates))
            self._mind(started)
            # Finite only: the rest is looked at with all the others.
            for index in np.flatnonzero((candidates["logit"] == 0.0) & np.isfinite(row[near])):
                if self._fits(int(near[index])):
                    return int(near[index])
        masked = np.where(self.allowed(), row, np.float32(-np.inf))
        if not np.isfinite(masked.max()):
            raise EngineError(self._exhausted())
        token = sampler.choose(masked)
        # A draw at the very end of the cumulated probabilities could meet a masked token.
        return token if np.isfinite(masked[token]) else int(masked.argmax())

    def allowed(self) -> NDArray[np.bool_]:
        """For every token whether it may come next: a pass over the vocabulary."""
        if self._all is None:
            self._all = np.zeros(self._vocabulary.size, dtype=_CANDIDATE)
            self._all["id"] = np.arange(self._vocabulary.size)
            self._all_array = _array_of(self._all)
        self._all["logit"] = 0.0
        started = perf_counter()
        llama.llama_sampler_apply(self._live(), self._all_array)
        self._mind(started)
        allowed = np.asarray(self._all["logit"] == 0.0)
        if self._pending():
            for token in np.flatnonzero(allowed):
                allowed[token] = self._fits(int(token))
            return allowed
        return allowed & self._tokens.fresh

    def _exhausted(self) -> str:
        if not self._vocabulary.end_of_generation:
            return "the grammar allows no token, and the model has no token that ends a reply"
        return (
            "the grammar allows no token here: no piece of this model's vocabulary goes on with the text "
            "so far, and the grammar does not let it end"
        )

    @staticmethod
    def _mind(started: float) -> None:
        spent = perf_counter() - started
        if spent > PATIENCE:
            raise EngineError(
                f"one step of the grammar took {spent:.1f} s: it is too ambiguous (alternatives that begin "
                "alike and recurse double the work with every token); give them different beginnings"
            )


def _array_of(candidates: NDArray[Any]) -> Any:
    """A reference to a llama_token_data_array over `candidates`."""
    data: Any = ctypes.cast(candidates.ctypes.data, ctypes.POINTER(llama.llama_token_data))
    return ctypes.byref(llama.llama_token_data_array(data, candidates.size, -1, False))


@dataclass(frozen=True)
class _Tokens:
    """What a vocabulary's pieces are as UTF-8.

    Attributes:
        whole: text of whole characters, or the end of generation.
        never: control tokens, which are text to the grammar and not to the reader; NUL; bytes of no text.
        fresh: may come where no character has been begun.
    """

    whole: NDArray[np.bool_]
    never: frozenset[int]
    fresh: NDArray[np.bool_]


@lru_cache(maxsize=4)
def _read_tokens(vocabulary: Vocabulary) -> _Tokens:
    """Once for a model: it takes some tenths of a second."""
    whole = np.zeros(vocabulary.size, dtype=np.bool_)
    fresh = np.zeros(vocabulary.size, dtype=np.bool_)
    never = set()
    for token in range(vocabulary.size):
        if token in vocabulary.end_of_generation:
            whole[token] = fresh[token] = True
            continue
        piece = vocabulary.piece(token)
        if not piece or b"\0" in piece or piece != vocabulary.piece(token, special=True):
            never.add(token)
            continue
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(piece)
        except UnicodeDecodeError:
            if piece[0] & 0xC0 != 0x80:
                never.add(token)
            continue
        fresh[token] = True
        whole[token] = not decoder.getstate()[0]
    return _Tokens(whole, frozenset(never), fresh)
