"""The checks that plugins and a project's ``conftest.py`` add, by the names that files of cases use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_llmcheck.verdict import Check

HOOK = "pytest_llmcheck_checks"


def added_checks(config: pytest.Config) -> Mapping[str, Callable[..., Check]]:
    """What the hook gives, together.

    Raises:
        ConfigError: it is no mapping of names to functions, or a name is taken.
    """
    from pytest_llmcheck import checks

    added: dict[str, Callable[..., Check]] = {}
    for given in config.hook.pytest_llmcheck_checks(config=config):
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{HOOK} returned {given!r}; it must return functions that make checks, by name"
            )
        for name, factory in given.items():
            if not isinstance(name, str) or not callable(factory):
                raise ConfigError(f"{HOOK} returned {name!r}: {factory!r}; expected a name and a function")
            if name in checks.__all__ or name in added:
                owner = "pytest-llmcheck" if name in checks.__all__ else "another plugin"
                raise ConfigError(
                    f"{HOOK}: the name {name!r} is taken by {owner}; give the check another one"
                )
            added[name] = factory
    return added
