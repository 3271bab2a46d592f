"""What can go wrong, by room. Every message names the thing and the remedy."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class LlmcheckError(Exception):
    """Base of all errors that a user can mend; shown without a traceback into this package."""


class ConfigError(LlmcheckError):
    """The settings, or a name given on the command line or in a mark, are wrong."""


class ModelError(LlmcheckError):
    """A model cannot be found, read, made, or does not fit."""


class PromptError(LlmcheckError):
    """The messages cannot be turned into a prompt, or the prompt does not fit the context.

    Attributes:
        hostile: the chat template broke a limit that no honest one comes near.
        passing: the machine was the trouble; another try may go well.
    """

    def __init__(self, message: str, *, hostile: bool = False, passing: bool = False) -> None:
        super().__init__(message)
        self.hostile = hostile
        self.passing = passing


class EngineError(LlmcheckError):
    """The engine could not answer: it died, hung, refused the file or ran out of memory.

    Attributes:
        passing: the host died or hung; another try may go well. False where llama.cpp refused in words.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class PatternError(LlmcheckError):
    """A regular expression of the user was stopped: it ran for longer than it may."""


class SchemaError(LlmcheckError):
    """A JSON Schema of the user cannot be held against a reply: validation was stopped, or has no end.

    Attributes:
        keyword: the one that was at work, such as ``pattern``.
    """

    def __init__(self, message: str, keyword: str) -> None:
        super().__init__(message)
        self.keyword = keyword


class CheckError(LlmcheckError):
    """A check is to blame, not the reply: it wants a tool that the request lacks, or measures in per cent."""


for _error in (
    LlmcheckError,
    ConfigError,
    ModelError,
    PromptError,
    EngineError,
    PatternError,
    SchemaError,
    CheckError,
):
    # Shown in failures: the name under which users import it.
    _error.__module__ = "pytest_llmcheck"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest of the known names, else with all of them.

    >>> did_you_mean("n_ctxx", ["n_ctx", "quant"])
    "did you mean 'n_ctx'?"
    """
    names = sorted(known)
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    return "known: " + ", ".join(names) if names else "none is known"
