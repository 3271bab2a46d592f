"""What `@pytest.mark.llm(...)` may say, and which of it applies right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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


def merge(marks: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]], where: str) -> MarkSettings:
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
    try:
        settings = msgspec.convert(merged, MarkSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"@pytest.mark.llm of {where}: {error}") from None
    for key in ("max_tokens", "n_ctx"):
        value = getattr(settings, key)
        if value is not None and value < 1:
            raise ConfigError(f"@pytest.mark.llm of {where}: {key} must be at least 1, got {value}")
    return settings
