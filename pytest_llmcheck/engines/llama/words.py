"""A model's tokenizer without its weights: ``python -P -m pytest_llmcheck.engines.llama.words``.

llama.cpp reads the vocabulary of a GGUF file alone in a fraction of a second. It does so in a process of its
own, because a damaged vocabulary makes it abort. `ask` is the way in; the program answers one `Question` on
its stdin with `Words` or `Refused` on its stdout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pytest_llmcheck.engines.llama.line import describe_exit, tail
from pytest_llmcheck.engines.llama.programs import program
from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.prompts.forged import Spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llmcheck.engines.llama.vocabulary import Vocabulary

SECONDS = 60.0
"""How long the program may take; the largest vocabularies take one."""

Mode = Literal["prompt", "special", "plain"]


class Text(msgspec.Struct, frozen=True, array_like=True):
    """A text to be tokenised.

    Attributes:
        text: what it says.
        mode: ``prompt`` for a rendered prompt, as the engine takes it (control tokens are parsed, a missing
            BOS is added); ``special`` for a part of one (parsed, nothing is added); ``plain`` for a text in
            which control tokens are no more than letters.
        plain: with ``prompt``, places of control tokens that are letters only, as `Prompt.plain` has them.
    """

    text: str
    mode: Mode = "prompt"
    plain: Spans = ()


class Tokens(msgspec.Struct, frozen=True, array_like=True):
    """A tokenised text.

    Attributes:
        ids: its tokens.
        pieces: the bytes of each; control tokens by their names.
    """

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]


class Words(msgspec.Struct, frozen=True, kw_only=True, tag="words"):
    """What a file's tokenizer says, as llama.cpp has it after its own corrections.

    Attributes:
        texts: the tokens of the texts asked about, in their order.
        size: number of tokens in the vocabulary.
        bos: id of the token that begins a text; None where there is none.
        eos: id of the token that ends a text; None where there is none.
        adds_bos: whether the model was trained on texts that begin with `bos`.
        adds_eos: whether llama.cpp's own tokenizing appends `eos`; the engine here never does.
        end_of_generation: the tokens at which a reply ends, id to name.
        control: the tokens that steer and are never text, id to name.
        user_defined: the tokens that are found in a text before it is split, id to name.
    """

    texts: tuple[Tokens, ...]
    size: int
    bos: int | None
    eos: int | None
    adds_bos: bool
    adds_eos: bool
    end_of_generation: dict[int, str]
    control: dict[int, str]
    user_defined: dict[int, str]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why llama.cpp does not take the file."""

    error: str


class Question(msgspec.Struct, frozen=True):
    """What the program is asked; the path as the file system spells it."""

    path: bytes
    texts: tuple[Text, ...]


def ask(path: Path, texts: Iterable[Text | str] = ()) -> Words:
    """Read the vocabulary of a GGUF file, and tokenise texts with it; no weights are loaded.

    Args:
        path: the file; it may hold a vocabulary and no tensors.
        texts: what to tokenise; a plain str is a rendered prompt.

    Raises:
        EngineError: llama.cpp refuses the file's vocabulary, or died reading it.
    """
    given = tuple(Text(text) if isinstance(text, str) else text for text in texts)
    question = msgspec.msgpack.encode(Question(os.fsencode(Path(path).absolute()), given))
    command = program("words")
    with tempfile.NamedTemporaryFile(prefix="llmcheck-", suffix=".log") as log:
        try:
            done = subprocess.run(
                command,
                input=question,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=SECONDS,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"llama.cpp did not read the vocabulary of {path} within {SECONDS:g} s; "
                "is the file whole, and its disk reachable?",
                passing=True,
            ) from None
        except OSError as error:
            raise EngineError(
                f"the vocabulary of {path} cannot be read: {command[0] or 'Python'} cannot be started: "
                f"{error.strerror}; is the machine out of memory or processes?",
                passing=True,
            ) from None
        if done.returncode != 0:
            raise EngineError(
                f"llama.cpp {describe_exit(done.returncode)} reading the vocabulary of {path}: the file is "
                f"damaged or was converted wrongly, download or convert it again{tail(Path(log.name))}"
            )
    told = msgspec.msgpack.decode(done.stdout, type=Words | Refused)
    if isinstance(told, Refused):
        raise EngineError(
            f"llama.cpp cannot read the vocabulary of {path}: {told.error}; download or convert the file "
            "again, or install a newer llama-cpp-python"
        )
    return told


def main() -> None:
    """Answer the question on stdin."""
    # llama.cpp and its libraries print on fd 1 as they like: it goes to the log, and the answer to a copy.
    answers = os.dup(1)
    os.dup2(2, 1)
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question)
    with os.fdopen(answers, "wb") as out:
        out.write(msgspec.msgpack.encode(answer(question)))


def answer(question: Question) -> Words | Refused:
    """The program's answer; loads llama.cpp into this process."""
    from pytest_llmcheck.engines.llama.bindings import llama
    from pytest_llmcheck.engines.llama.log import Log
    from pytest_llmcheck.engines.llama.vocabulary import CONTROL, USER_DEFINED, Vocabulary

    log = Log()
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(question.path, params)
    if not model:
        return Refused(log.errors() or "it does not say why")
    vocabulary = Vocabulary(model)

    def named(ids: Iterable[int]) -> dict[int, str]:
        return {token: vocabulary.shown(token) for token in sorted(ids)}

    return Words(
        texts=tuple(_tokens(vocabulary, text) for text in question.texts),
        size=vocabulary.size,
        bos=vocabulary.bos,
        eos=vocabulary.eos,
        adds_bos=vocabulary.adds_bos,
        adds_eos=vocabulary.adds_eos,
        end_of_generation=named(vocabulary.end_of_generation),
        control=named(vocabulary.with_attribute(CONTROL)),
        user_defined=named(vocabulary.with_attribute(USER_DEFINED)),
    )


def _tokens(vocabulary: Vocabulary, text: Text) -> Tokens:
    match text.mode:
        case "prompt":
            ids = vocabulary.tokenise(text.text, text.plain)
        case "special":
            ids = vocabulary.tokenise_special(text.text)
        case _:
            ids = vocabulary.tokenise_text(text.text)
    return Tokens(tuple(ids), tuple(vocabulary.piece(token, special=True) for token in ids))


if __name__ == "__main__":
    main()
