"""What an audit judges: a model's prompts and the vocabulary that takes them apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.prompts.audit.probes import Prompts


@dataclass(frozen=True)
class Lexicon:
    """What a tokenizer says, as llama.cpp has it.

    Attributes:
        prompt: ids of `Prompts.prompt` as the engine takes it.
        parts: ids of each of `Prompts.parts`, control tokens parsed, nothing added.
        bos: id of the token that begins a text, if any.
        adds_bos: whether the engine puts it before a prompt that lacks it.
        adds_eos: whether llama.cpp by itself ends a prompt with the end-of-sequence token.
        end_of_generation: the tokens at which a reply ends, id to name.
        special: control and user-defined tokens, id to name.
        named_ends: names of the tokens that the file itself calls its end (eos, eot).
        pieces: names of all tokens that are in `prompt` and `parts`.
    """

    prompt: tuple[int, ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    bos: int | None = None
    adds_bos: bool = False
    adds_eos: bool = False
    end_of_generation: Mapping[int, str] = field(default_factory=dict)
    special: Mapping[int, str] = field(default_factory=dict)
    named_ends: frozenset[str] = frozenset()
    pieces: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        prompts: what its template makes of the probes.
        lexicon: what its tokenizer makes of those; None where it cannot be read.
        unreadable: why not.
        expected: templates that it should have: whose it is, and the hash of its source.
    """

    prompts: Prompts
    lexicon: Lexicon | None
    unreadable: str = ""
    expected: tuple[tuple[str, str], ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the special tokens that the vocabulary has; Gemma's runs of line breaks are none."""
        return frozenset(filter(str.strip, self.lexicon.special.values() if self.lexicon else ()))

    @cached_property
    def used(self) -> frozenset[str]:
        """Names of the special tokens in the simplest prompt."""
        if self.lexicon is None:
            return frozenset()
        return frozenset(self.lexicon.special[t] for t in self.lexicon.prompt if t in self.lexicon.special)

    @cached_property
    def split(self) -> tuple[str, ...]:
        """What looks like control tokens in the prompts, and is several tokens to the vocabulary."""
        parts = self.lexicon.parts if self.lexicon else {}
        return tuple(mark for mark in self.prompts.control_like if len(parts.get(mark, ())) > 1)
