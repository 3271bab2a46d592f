"""Text to token ids and back, as llama.cpp does it."""

from __future__ import annotations

import codecs
import ctypes
from functools import cached_property
from typing import Any

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.sampling import Describer
from pytest_llmcheck.errors import EngineError


class Vocabulary:
    """The tokenizer of a loaded model."""

    def __init__(self, model: Any) -> None:
        self._vocab = llama.llama_model_get_vocab(model)
        if not self._vocab:
            raise EngineError("llama.cpp gives no vocabulary for this model")
        self.size: int = llama.llama_vocab_n_tokens(self._vocab)
        self._pieces: dict[tuple[int, bool], bytes] = {}
        self._shown: dict[int, str] = {}

    @property
    def pointer(self) -> Any:
        """llama.cpp's vocabulary; it lives as long as the model."""
        return self._vocab

    @cached_property
    def describer(self) -> Describer:
        """Makes tokens with their log-probabilities of rows of logits."""
        return Describer(self)

    @cached_property
    def end_of_generation(self) -> frozenset[int]:
        """The ids at which llama.cpp ends a reply."""
        is_end = llama.llama_vocab_is_eog
        return frozenset(token for token in range(self.size) if is_end(self._vocab, token))

    def tokenise(self, text: str) -> list[int]:
        """Token ids of a rendered prompt; control tokens in the text are parsed as such.

        A beginning-of-sequence token is added where the model was trained with one and the template has
        not written it: never two, never a missing one.
        """
        tokens = self._tokenise(text, special=True)
        if llama.llama_vocab_get_add_bos(self._vocab):
            bos = llama.llama_vocab_bos(self._vocab)
            if tokens[:1] != [bos]:
                tokens.insert(0, bos)
        return tokens

    def tokenise_text(self, text: str) -> list[int]:
        """Token ids of a text in which control tokens are no more than letters; nothing is added."""
        return self._tokenise(text, special=False)

    def _tokenise(self, text: str, *, special: bool) -> list[int]:
        raw = text.encode()
        room = len(raw) + 8
        while True:
            buffer = (ctypes.c_int32 * room)()
            count = llama.llama_tokenize(self._vocab, raw, len(raw), buffer, room, False, special)
            if count >= 0:
                return list(buffer[:count])
            if -count <= room:
                raise EngineError(f"llama.cpp cannot tokenise a prompt of {len(raw)} bytes")
            room = -count

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token, of any length; control tokens have some only if `special`."""
        key = (token, special)
        found = self._pieces.get(key)
        if found is None:
            found = self._pieces[key] = self._read_piece(token, special)
        return found

    def _read_piece(self, token: int, special: bool) -> bytes:
        room = 32
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = llama.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def shown(self, token: int) -> str:
        """A token for people: control tokens by their names, lone bytes as U+FFFD."""
        text = self._shown.get(token)
        if text is None:
            text = self._shown[token] = self.piece(token, special=True).decode("utf-8", "replace")
        return text


class Detokeniser:
    """Pieces to text, incrementally: a character may be spread over several tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []

    def add(self, token: int) -> None:
        """The next token of the reply."""
        self._parts.append(self._decoder.decode(self._vocabulary.piece(token)))

    def text(self) -> str:
        """The whole text; bytes that never became a character show as U+FFFD."""
        self._parts.append(self._decoder.decode(b"", final=True))
        self._decoder.reset()
        return "".join(self._parts)
