"""What `llm.chat` and its like are given, checked before a model is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.errors import ConfigError, PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.types import Sampling

ARGUMENTS = (
    "constrain",
    "max_tokens",
    "min_p",
    "seed",
    "system",
    "temperature",
    "tools",
    "top_k",
    "top_p",
)
"""Of `chat`, for hints where a name is none of them."""


def check_max_tokens(value: int) -> int:
    """The same, if it is a bound that a reply can have.

    Raises:
        ConfigError: not a whole number.
        PromptError: below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"max_tokens must be a whole number, got {value!r}")
    if value < 1:
        raise PromptError(f"max_tokens must be at least 1, got {value}")
    return value


def check_count(name: str, value: object) -> None:
    """Refuse what is no number of replies.

    Raises:
        ConfigError: names the argument.
    """
    __tracebackhide__ = True
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_sampled(n: int, first: Sampling) -> list[Sampling]:
    """How each of `n` samples is drawn: as the first, with the seeds that follow its seed.

    Raises:
        ConfigError: no number of replies, a value out of its range, or a temperature of 0.
    """
    __tracebackhide__ = True
    check_count("n", n)
    if check_sampling(first).greedy:
        raise ConfigError("sample at temperature 0 is one answer repeated; give a temperature, or use chat")
    seeded = [msgspec.structs.replace(first, seed=first.seed + i) for i in range(n)]
    check_sampling(seeded[-1])
    return seeded


def continuation_of(given: str | Reply | Sequence[int]) -> str | tuple[int, ...]:
    """A text as it is, or the token ids of a reply, its end included.

    Raises:
        ConfigError: neither a text, a reply nor token ids.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, Reply):
        end = () if given.end is None else (given.end.id,)
        return (*(token.id for token in given.tokens), *end)
    if wrong := [one for one in given if isinstance(one, bool) or not isinstance(one, int)]:
        raise ConfigError(f"a continuation is a text, a reply or token ids; got {wrong[0]!r} among them")
    return tuple(given)


def check_sampling(sampling: Sampling) -> Sampling:
    """The same, if every value is in its range.

    Raises:
        ConfigError: names the argument and its range.
    """
    __tracebackhide__ = True
    for name in ("top_k", "seed"):
        value = getattr(sampling, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{name} must be a whole number, got {value!r}")
    for name in ("temperature", "top_p", "min_p"):
        value = getattr(sampling, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} must be a number, got {value!r}")
    ranges = {
        "temperature": (0.0 <= sampling.temperature < float("inf"), "at least 0"),
        "top_k": (sampling.top_k >= 0, "at least 0"),
        "top_p": (0.0 < sampling.top_p <= 1.0, "above 0 and at most 1"),
        "min_p": (0.0 <= sampling.min_p <= 1.0, "from 0 to 1"),
        "seed": (0 <= sampling.seed < 2**64, "from 0 to 2**64 - 1"),
    }
    for name, (good, allowed) in ranges.items():
        if not good:
            raise ConfigError(f"{name} must be {allowed}, got {getattr(sampling, name)!r}")
    return sampling
