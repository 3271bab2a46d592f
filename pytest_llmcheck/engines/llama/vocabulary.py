"""Text to token ids and back, as llama.cpp does it."""

from __future__ import annotations

import codecs
import ctypes
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.mixed import tokenise_mixed
from pytest_llmcheck.engines.llama.sampling import Describer
from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.prompts.forged import control_pattern

if TYPE_CHECKING:
    import re

    from pytest_llmcheck.prompts.forged import Spans


# llama_token_attr in llama.h
CONTROL, USER_DEFINED, RSTRIP = 1 << 3, 1 << 4, 1 << 8


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

    @cached_property
    def bos(self) -> int | None:
        """The token that begins a text; None where there is none."""
        return self._known(llama.llama_vocab_bos(self._vocab))

    @cached_property
    def eos(self) -> int | None:
        """The token that ends a text; None where there is none."""
        return self._known(llama.llama_vocab_eos(self._vocab))

    @cached_property
    def adds_bos(self) -> bool:
        """Whether the model was trained on texts that begin with `bos`."""
        return bool(llama.llama_vocab_get_add_bos(self._vocab))

    @cached_property
    def adds_eos(self) -> bool:
        """Whether llama.cpp's own tokenizing puts `eos` at the end of a text; `tokenise` never does."""
        return bool(llama.llama_vocab_get_add_eos(self._vocab))

    def with_attribute(self, attribute: int) -> tuple[int, ...]:
        """The tokens that have an attribute, `CONTROL` or `USER_DEFINED`, as llama.cpp corrected them."""
        read, vocab = llama.llama_vocab_get_attr, self._vocab
        return tuple(token for token in range(self.size) if read(vocab, token) & attribute)

    @cached_property
    def _control(self) -> re.Pattern[str]:
        """Matches the control tokens in a text."""
        return control_pattern(map(self.shown, self.with_attribute(CONTROL)))

    @cached_property
    def _stripping(self) -> frozenset[str]:
        """The tokens after which llama.cpp drops white space."""
        return frozenset(map(self.shown, self.with_attribute(RSTRIP)))

    @cached_property
    def _user_defined(self) -> frozenset[str]:
        """The tokens that llama.cpp finds even where no control tokens are to be parsed."""
        return frozenset(map(self.shown, self.with_attribute(USER_DEFINED)))

    def _known(self, token: int) -> int | None:
        return token if 0 <= token < self.size else None

    def tokenise(self, text: str, plain: Spans = ()) -> list[int]:
        """Token ids of a rendered prompt; control tokens in the text are parsed as such.

        A beginning-of-sequence token is added where the model was trained with one and the template has
        not written it. So there are never two by our doing and never one too few; llama-server comes to the
        same ids by taking off what the template wrote (`common_chat_template_direct_apply_impl` in chat.cpp)
        and letting its tokenizer write it. No end-of-sequence token is added, as the prompt is to go on.

        Args:
            text: the prompt.
            plain: places of control tokens that are letters only, see `tokenise_mixed`.
        """
        if plain:
            tokens = tokenise_mixed(
                self._tokenise,
                text,
                plain,
                self._control,
                stripping=self._stripping,
                stubborn=self._user_defined,
            )
        else:
            tokens = self.tokenise_special(text)
        if self.adds_bos and self.bos is not None and tokens[:1] != [self.bos]:
            tokens.insert(0, self.bos)
        return tokens

    def tokenise_special(self, text: str) -> list[int]:
        """Token ids of a piece of a prompt: control tokens are parsed, nothing is added."""
        return self._tokenise(text, special=True)

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
        self._controls: list[int] = []

    def add(self, token: int) -> None:
        """The next token of the reply."""
        piece = self._vocabulary.piece(token)
        if not piece and (name := self._vocabulary.shown(token)):
            self._controls.append(len(self._parts))
            self._parts.append(name)
        else:
            self._parts.append(self._decoder.decode(piece))

    def text(self) -> str:
        """The whole text; bytes that never became a character show as U+FFFD."""
        self._finish()
        controls = set(self._controls)
        return "".join(part for at, part in enumerate(self._parts) if at not in controls)

    def marked(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """The text with control tokens by their names, and where these are; empty where there is none."""
        if not self._controls:
            return "", ()
        self._finish()
        ends = [0, *accumulate(map(len, self._parts))]
        return "".join(self._parts), tuple((ends[at], ends[at + 1]) for at in self._controls)

    def _finish(self) -> None:
        self._parts.append(self._decoder.decode(b"", final=True))
        self._decoder.reset()
