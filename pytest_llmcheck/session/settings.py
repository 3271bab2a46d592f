"""What `@pytest.mark.llm(...)` may say, and which of it applies right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pytest_llmcheck.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


LEAST_N_CTX = 16
"""As in the settings of a model."""


class MarkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keywords of the mark; None where it is silent.

    Attributes:
        system: system prompt where the call gives none.
        max_tokens: bound of the reply in tokens.
        n_ctx: context of the conversation in tokens.
        models: names of the models that the test is for.
    """

    system: str | None = None
    max_tokens: int | None = None
    n_ctx: int | None = None
    models: tuple[str, ...] | None = None


_TAKEN = {
    "system": "a text",
    "max_tokens": "a whole number",
    "n_ctx": "a whole number, or a list of some",
    "models": "a name or a list of names",
}


class Marked(NamedTuple):
    """What the marks of a test say.

    Attributes:
        settings: the keywords; `n_ctx` is None where there are several.
        ladder: several context lengths, ``n_ctx=[2048, 8192]``, as given: the test runs once for each.
    """

    settings: MarkSettings
    ladder: tuple[int, ...] = ()


def merge(marks: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]], where: str) -> Marked:
    """One set of settings from the marks of a test, the closest first.

    Args:
        marks: (args, kwargs) of each mark.
        where: the test, for messages.

    Raises:
        ConfigError: a positional argument, an unknown keyword or a wrong type.
    """
    merged: dict[str, Any] = {}
    known = MarkSettings.__struct_fields__
    for args, kwargs in marks:
        if args:
            raise ConfigError(
                f"@pytest.mark.llm of {where} takes keywords only ({', '.join(known)}), got {args!r}"
            )
        for key, value in kwargs.items():
            if key not in known:
                hint = did_you_mean(key, known)
                raise ConfigError(f"@pytest.mark.llm of {where} has an unknown keyword {key!r}: {hint}")
            merged.setdefault(key, [value] if key == "models" and isinstance(value, str) else value)
    ladder: tuple[int, ...] = ()
    if isinstance(merged.get("n_ctx"), list | tuple):
        ladder = _ladder(merged.pop("n_ctx"), where)
    try:
        settings = msgspec.convert(merged, MarkSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"@pytest.mark.llm of {where}: {_in_words(merged, error)}") from None
    for key, least in (("max_tokens", 1), ("n_ctx", LEAST_N_CTX)):
        value = getattr(settings, key)
        if value is not None and value < least:
            raise ConfigError(f"@pytest.mark.llm of {where}: {key} must be at least {least}, got {value}")
    return Marked(settings, ladder)


def at_n_ctx(told: Marked, n_ctx: int | None, where: str) -> MarkSettings:
    """The settings at one of several context lengths.

    Args:
        told: what the marks say.
        n_ctx: the context length that the running test is at; None where it is not run once for each.
        where: the test, or what else has the marks.

    Raises:
        ConfigError: this is none of the lengths that the marks say.
    """
    if n_ctx is not None and n_ctx in told.ladder:
        return msgspec.structs.replace(told.settings, n_ctx=n_ctx)
    if not told.ladder:
        raise ConfigError(
            f"@pytest.mark.llm of {where}: the mark of a single parameter cannot undo the several context "
            "lengths of its function: give n_ctx in one of them only"
        )
    raise ConfigError(
        f"@pytest.mark.llm(n_ctx={list(told.ladder)}) of {where}: this cannot be run once for each of these "
        "context lengths: unittest classes, getfixturevalue, marks of single parameters, and fixtures of a "
        "wider scope in tests with a mark of their own cannot be multiplied. Take `llm` or `llms` as an "
        "argument of a test function and put the mark on it, its class or its module, or give one n_ctx"
    )


def _in_words(given: Mapping[str, Any], error: msgspec.ValidationError) -> str:
    """Which keyword has the wrong type, without msgspec's notation."""
    for key, value in given.items():
        try:
            msgspec.convert({key: value}, MarkSettings)
        except msgspec.ValidationError:
            return f"{key} takes {_TAKEN[key]}, got {value!r}"
    return str(error)


def _ladder(given: Iterable[Any], where: str) -> tuple[int, ...]:
    lengths = tuple(given)
    wrong = [one for one in lengths if isinstance(one, bool) or not isinstance(one, int) or one < LEAST_N_CTX]
    if wrong:
        raise ConfigError(
            f"@pytest.mark.llm of {where}: n_ctx takes whole numbers of at least {LEAST_N_CTX}, "
            f"got {wrong[0]!r}"
        )
    if not lengths or len(set(lengths)) < len(lengths):
        problem = "names a context length twice" if lengths else "names no context length"
        raise ConfigError(f"@pytest.mark.llm of {where}: n_ctx={list(lengths)} {problem}")
    return lengths
