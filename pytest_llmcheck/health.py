"""The checks that every reply of a run is held to: our own, and those that plugins add."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.judging import is_check, no_check
from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    import pytest

    from pytest_llmcheck.verdict import Check

HOOK = "pytest_llmcheck_health_checks"


def health_checks(config: pytest.Config) -> tuple[Check, ...]:
    """Ours, then those of plugins in the order in which pluggy calls them.

    Raises:
        ConfigError: a plugin's hook raised, or gave something else than checks, or one under a name that is
            taken.
    """
    from pytest_llmcheck.checks import HEALTH

    found = {check.name: (check, "pytest-llmcheck") for check in HEALTH}
    manager = config.pluginmanager
    # Last come, first called: as pluggy does it.
    implementations = getattr(manager.hook, HOOK).get_hookimpls()[::-1]
    for one in implementations:
        # Each by itself, so that the plugin at fault can be named.
        others = [other.plugin for other in implementations if other.plugin is not one.plugin]
        try:
            returned = manager.subset_hook_caller(HOOK, others)(config=config)
        except Exception as error:  # whatever a plugin raises
            raise ConfigError(f"{HOOK} of {one.plugin_name} raised {_told(error)}") from None
        for given in returned:
            for check in _checks(given, one.plugin_name):
                if check.name in found:
                    raise ConfigError(
                        f"{HOOK} of {one.plugin_name}: the name {check.name!r} is taken by "
                        f"{found[check.name][1]}; give the check another one"
                    )
                found[check.name] = (check, one.plugin_name)
    return tuple(check for check, _ in found.values())


def _checks(given: object, plugin: str) -> tuple[Check, ...]:
    """What a plugin returned, if it is checks."""
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ConfigError(f"{HOOK} of {plugin} returned {given!r}; it must return a list of checks")
    checks = tuple(given)
    for check in checks:
        if not is_check(check):
            raise ConfigError(f"{HOOK} of {plugin}: {no_check('it', check)}")
    return checks


def _told(error: Exception) -> str:
    """An error and the line that raised it."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    shown = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{shown} ({frame.f_code.co_filename}:{line})"
