"""Control tokens in what a user or a tool says: a forged turn, or text that only talks about them.

Servers parse control tokens wherever they stand in a rendered prompt, so ``<|im_end|>`` in a customer's
message ends the customer's turn. Here they are found, and, if they are to be plain text, kept apart from
those that the template writes.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_llmcheck.models import GGUFHeader

Spans = tuple[tuple[int, int], ...]
"""Begin and end of parts of a text, in characters."""

AUTHORS_ROLES = ("system", "developer", "root", "assistant", "model")
"""System prompts and recorded assistant turns are the test author's own. What all other roles say comes from
outside: users and tools, for which templates have several names."""

_FIRST_STAND_IN = 0xF0000  # supplementary private use area A
_LAST_STAND_IN = 0xFFFFD

# Every control token that steers a chat has one of these; most messages have none, and cost nothing.
_SIGNS = ("<", "[")


class ControlTexts:
    """The texts of a vocabulary's control tokens.

    Args:
        read: gives the texts; called when a message first looks as if it might hold one.
    """

    def __init__(self, read: Callable[[], Iterable[str]]) -> None:
        self._read = read

    def sub(self, replace: Callable[[re.Match[str]], str], text: str) -> str:
        """The text with every control token in it replaced, longer ones first where several match."""
        if not any(sign in text for sign in _SIGNS):
            return text
        return self._compiled.sub(replace, text)

    def found(self, text: str) -> list[str]:
        """The control tokens in a text, in their order."""
        if not any(sign in text for sign in _SIGNS):
            return []
        return self._compiled.findall(text)

    @cached_property
    def texts(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._read())

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return control_pattern(self.texts)


def control_texts(header: GGUFHeader) -> set[str]:
    """Control tokens by the word of the file, and those that llama.cpp knows by name in spite of it."""
    from pytest_llmcheck.models.arrays import GGUFArray
    from pytest_llmcheck.prompts.audit.families import END_MARKS

    tokens = header.metadata.get("tokenizer.ggml.tokens")
    known = END_MARKS.intersection(tokens) if isinstance(tokens, GGUFArray) else ()
    return {*header.control_tokens.values(), *header.special_tokens.values(), *known}


def control_pattern(texts: Iterable[str]) -> re.Pattern[str]:
    """Matches any of these control tokens, the longest first; nothing at all where there are none."""
    ordered = sorted({text for text in texts if text}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered)) or r"(?!)")


def forged_in(messages: Iterable[Mapping[str, Any]], control: ControlTexts) -> tuple[str, ...]:
    """The control tokens in what users and tools say, each once, in their order.

    Args:
        messages: as `normalise` returns them.
        control: of the model's vocabulary.
    """
    found: dict[str, None] = {}
    for message in messages:
        if message["role"] not in AUTHORS_ROLES:
            for text in _texts(message.get("content", "")):
                found.update(dict.fromkeys(control.found(text)))
    return tuple(found)


class Hidden(NamedTuple):
    """Messages in which a private character stands for every control token of users and tools.

    Attributes:
        messages: to be rendered in place of the real ones.
        stand_ins: the character for each token's text.
    """

    messages: list[dict[str, Any]]
    stand_ins: dict[str, str]

    def reveal(self, rendered: str, expected: str) -> tuple[str, Spans]:
        """The rendered text with the tokens back in their places, and where they are.

        Args:
            rendered: what the template made of `messages`.
            expected: what it made of the real ones.

        Raises:
            PromptError: the template did not print the messages' characters as they are, or looks at them.
        """
        texts = {stand_in: text for text, stand_in in self.stand_ins.items()}
        parts: list[str] = []
        spans: list[tuple[int, int]] = []
        seen: set[str] = set()
        at = 0
        for part in re.split(f"([{''.join(texts)}])", rendered) if texts else [rendered]:
            text = texts.get(part, part)
            if part in texts:
                spans.append((at, at + len(text)))
                seen.add(part)
            parts.append(text)
            at += len(text)
        if lost := [texts[one] for one in texts if one not in seen]:
            raise PromptError(
                'content_tokens = "plain" is not possible here: the chat template does not print '
                f"{lost[0]!r} of a message as it stands, so it cannot be told from the template's own. "
                'Use content_tokens = "special"'
            )
        text = "".join(parts)
        if text != expected:
            raise PromptError(
                'content_tokens = "plain" is not possible here: what the chat template prints depends on '
                f"{', '.join(map(repr, self.stand_ins))} in a message, so the letters cannot be told from "
                'its own. Use content_tokens = "special"'
            )
        return text, tuple(spans)


def hide(messages: Sequence[Mapping[str, Any]], control: ControlTexts) -> Hidden:
    """Put private characters in the place of the control tokens of users and tools.

    Args:
        messages: as `normalise` returns them.
        control: of the model's vocabulary.
    """
    used = {c for message in messages for text in _texts(message.get("content", "")) for c in text}
    free = (chr(c) for c in range(_FIRST_STAND_IN, _LAST_STAND_IN) if chr(c) not in used)
    stand_ins: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        text = match[0]
        if text not in stand_ins:
            stand_ins[text] = next(free)
        return stand_ins[text]

    hidden = []
    for message in messages:
        copy = dict(message)
        if message["role"] not in AUTHORS_ROLES and "content" in message:
            content = message["content"]
            copy["content"] = (
                control.sub(replace, content)
                if isinstance(content, str)
                else [{**part, "text": control.sub(replace, part["text"])} for part in content]
            )
        hidden.append(copy)
    return Hidden(hidden, stand_ins)


def _texts(content: str | Sequence[Mapping[str, str]]) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    else:
        yield from (part["text"] for part in content)
