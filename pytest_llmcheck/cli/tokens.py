"""A prompt's tokens and parts, as ``llmcheck render`` shows them."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pytest_llmcheck.cli.common import print_table
from pytest_llmcheck.engines.llama.words import Text, ask
from pytest_llmcheck.engines.types import Prompt
from pytest_llmcheck.prompts.parts import Part, locate
from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_llmcheck.session.rendering import Rendered

IDS_WIDTH = 80
_SPACE = re.compile(rb"\s*")


class Placed(NamedTuple):
    """A token of the prompt.

    Attributes:
        id: in the vocabulary.
        text: its piece; lone bytes as U+FFFD.
        start: where its first character stands in the prompt.
        end: where its last one ends; equal to `start` for a token that the tokenizer adds.
        special: whether it steers, or is found before the text is split.
    """

    id: int
    text: str
    start: int
    end: int
    special: bool


class Seen(NamedTuple):
    """What the model sees: the tokens, and the parts of the text, both in order."""

    prompt: Prompt
    tokens: tuple[Placed, ...]
    parts: tuple[Part, ...]


def see(path: Path, rendered: Rendered) -> Seen:
    """Tokenise a rendered prompt with the tokenizer in a file, and find its parts.

    Args:
        path: the GGUF file; its weights are not loaded.
        rendered: the prompt.

    Raises:
        EngineError: llama.cpp does not take the file's vocabulary.
    """
    words = ask(path, [Text(rendered.text, "prompt", rendered.plain)])
    (told,) = words.texts
    # Some vocabularies define tokens for runs of spaces, which are text like any other.
    named = {token for token, name in words.user_defined.items() if name.strip()}
    special = {*words.control, *named}
    starts = place(rendered.text, told.pieces)
    tokens = tuple(
        Placed(token, piece.decode("utf-8", "replace"), start, end, token in special)
        for token, piece, (start, end) in zip(told.ids, told.pieces, starts, strict=True)
    )
    parts = locate(
        rendered.template, rendered.text, rendered.messages, tools=rendered.tools, **rendered.variables
    )
    return Seen(Prompt(rendered.text, told.ids, rendered.plain), tokens, parts)


def place(text: str, pieces: Iterable[bytes]) -> list[tuple[int, int]]:
    """Where in a text each of its tokens stands, in characters.

    A token that begins inside a character counts from the next one on. Tokenizers add tokens (BOS) and a
    space at the beginning that are not in the text, and some (Phi-3's) drop white space after
    control tokens.
    """
    raw = text.encode()
    # Index of the first character that begins at or after each byte.
    characters = [0] * (len(raw) + 1)
    count = 0
    for at, byte in enumerate(raw):
        characters[at] = count
        if byte & 0xC0 != 0x80:
            count += 1
    characters[len(raw)] = count
    found: list[tuple[int, int]] = []
    at = 0
    for piece in pieces:
        begin, at = _next(raw, piece, at)
        found.append((characters[begin], characters[at]))
    return found


def _next(raw: bytes, piece: bytes, at: int) -> tuple[int, int]:
    """Begin and end of a piece that stands at `at` or after white space there; both `at` if it does not."""
    # White space at the very beginning has a token of its own, which may follow a BOS that was added.
    after = _SPACE.match(raw, at).end() if at else at  # type: ignore[union-attr]  # it matches anything
    for begin in (at, after):
        if raw.startswith(piece, begin):
            return begin, begin + len(piece)
        if piece[:1] == b" " and raw.startswith(piece[1:], begin):
            return begin, begin + len(piece) - 1
    return at, at


def paint(text: str, seen: Seen) -> str:
    """The text with special tokens coloured; nothing in it can steer the terminal."""
    shown: list[str] = []
    at = 0
    for token in seen.tokens:
        if token.special and token.end > token.start:
            shown.append(visible(text[at : token.start], keep="\n"))
            name = visible(text[token.start : token.end], keep="\n")
            shown.append(click.style(name, fg="magenta", bold=True))
            at = token.end
    return "".join(shown) + visible(text[at:], keep="\n")


def divide(seen: Seen) -> list[tuple[Part, list[Placed]]]:
    """The tokens of each part: those that begin in it."""
    divided: list[tuple[Part, list[Placed]]] = [(part, []) for part in seen.parts]
    for token in seen.tokens:
        for part, tokens in reversed(divided):
            if token.start >= part.start:
                tokens.append(token)
                break
    return divided


def report(text: str, seen: Seen) -> None:
    """Print counts and ids part by part."""
    rows: list[tuple[str, str, str, str]] = []
    for part, tokens in divide(seen):
        first, *more = textwrap.wrap(" ".join(str(token.id) for token in tokens), IDS_WIDTH) or [""]
        rows.append((part.kind, f"{len(tokens):,}", f"{part.end - part.start:,}", first))
        rows += [("", "", "", line) for line in more]
    rows.append(("together", f"{len(seen.tokens):,}", f"{len(text):,}", ""))
    print_table(("part", "tokens", "characters", "ids"), rows, numbers=("tokens", "characters"))


def describe(rendered: Rendered, seen: Seen) -> dict[str, Any]:
    """All of it as JSON values; places are in characters."""
    return {
        "template": rendered.template.sha256,
        "prompt": rendered.text,
        "prompt_sha256": seen.prompt.sha256,
        "prompt_tokens_sha256": seen.prompt.tokens_sha256,
        "tokens": [token._asdict() for token in seen.tokens],
        "parts": [{**part._asdict(), "tokens": len(tokens)} for part, tokens in divide(seen)],
        "forged": list(rendered.forged),
    }
