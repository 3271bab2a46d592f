"""Calls that Python would refuse in its own words, such as ``words(60)``, refused with what to write."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pytest_llmcheck.checks.instructions.base import written
from pytest_llmcheck.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")


def by_name(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that takes arguments by name only.

    Python says of ``words(60)`` that it "takes 0 positional arguments but 1 was given", and of
    ``words(atmost=60)`` nothing of ``at_most``.
    """
    name = function.__name__
    parameters = inspect.signature(function).parameters
    named = [key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    places = len(parameters) - len(named)

    @functools.wraps(function)
    def checked(*args: P.args, **given: P.kwargs) -> R:
        __tracebackhide__ = True
        if len(args) > places:
            takes = f"{name} takes {_either(named)} by name"
            raise TypeError(takes + _remedy(name, args[:places], args[places:], named, given))
        for key in given:
            if key not in parameters:
                raise TypeError(f"{name} has no {key}=; {did_you_mean(key, parameters)}")
        return function(*args, **given)

    return checked


def _either(named: list[str]) -> str:
    """``at_least=, at_most= or exactly=``."""
    *others, last = [f"{key}=" for key in named]
    return f"{', '.join(others)} or {last}" if others else last


def _remedy(
    name: str,
    placed: tuple[object, ...],
    beyond: tuple[object, ...],
    named: list[str],
    given: Mapping[str, object],
) -> str:
    """The call that was meant, where that is plain: a number alone is the exact one."""
    count = isinstance(beyond[0], int) and "exactly" in named
    if len(beyond) > 1 or given or not (count or len(named) == 1):
        return ""
    return f": write {written(name, *placed, **{'exactly' if count else named[0]: beyond[0]})}"
