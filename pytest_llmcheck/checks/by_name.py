"""Checks by their names and arguments, as a file of cases has them: ``{"contains": ["Paris"]}``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.judging import is_check
from pytest_llmcheck.errors import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.verdict import Check

Factory = Callable[..., "Check"]

_NONE: Mapping[str, Factory] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Source:
    """What the names in a file mean.

    Attributes:
        added: checks beside those of this package, by their names.
        folder: that paths are relative to; None for the working directory.
    """

    added: Mapping[str, Factory]
    folder: Path | None


def check_from(
    name: str, argument: object, added: Mapping[str, Factory] = _NONE, folder: Path | None = None
) -> Check:
    """One check from its name and what a file says beside it.

    The argument is JSON-like, and is given to the function in the way that fits it:

    - an object whose keys are all parameters of the function is given by name:
      ``{"words": {"at_most": 60}}``, ``{"contains": {"texts": ["a"], "ignore_case": true}}``;
    - a list is spread where the function takes any number: ``{"contains": ["a", "b"]}``;
    - ``true`` and ``null`` call a function that needs no argument: ``{"refuses": true}``;
    - all else is the first argument: ``{"matches": "^A"}``, ``{"matches_schema": {"type": "object"}}``;
    - where the function takes checks, each is such an object in turn: ``{"not": {"contains": "sorry"}}``;
    - a parameter that has an underscore in Python, since the word is taken there, needs none:
      ``{"instruction": {"id": "punctuation:no_comma"}}``;
    - of tools, ``{"calls": {"get_weather": {"city": "Berlin"}}}`` has the name and the arguments; an argument
      may be a check. `calls_only` takes such objects and names: ``["now", {"get_weather": {"city": "B"}}]``.

    Args:
        name: of a check of this package, or of `added`; ``not``, ``all_of`` and ``any_of`` as well.
        argument: what the file says.
        added: further checks by name, as plugins add them; they win over none of this package.
        folder: that the path of a schema is relative to; the working directory if None.

    Raises:
        ValueError: no such check, or an argument that it does not take; the message names both.
    """
    __tracebackhide__ = True
    return _check(name, argument, _Source(added, folder))


def checks_from(
    asked: object, added: Mapping[str, Factory] = _NONE, folder: Path | None = None
) -> tuple[Check, ...]:
    """All checks of an object such as ``{"contains": "Paris", "words": {"at_most": 60}}``, or of a list.

    A name alone is a check without an argument: ``["finished", {"contains": "Paris"}]``.

    Args:
        asked: what a file says.
        added: see `check_from`.
        folder: see `check_from`.

    Raises:
        ValueError: it is something else, or says nothing; or see `check_from`.
    """
    __tracebackhide__ = True
    return _checks(asked, _Source(added, folder))


def _check(name: str, argument: object, source: _Source) -> Check:
    __tracebackhide__ = True
    factory = _find(name, source)
    try:
        positional, named = _arguments(name, factory, argument, source)
        _check_complete(factory, positional, named)
        made = factory(*positional, **named)
    except (TypeError, ValueError) as error:
        told = str(error)
        raise ValueError(told if told.startswith(name) else f"{name}: {told}") from None
    if not is_check(made):
        raise ValueError(f"{name}: expected a check with a name, got {made!r}")
    return made


def _checks(asked: object, source: _Source) -> tuple[Check, ...]:
    __tracebackhide__ = True
    parts = asked if isinstance(asked, list) else [asked]
    checks: list[Check] = []
    for part in parts:
        if isinstance(part, str):
            checks.append(_check(part, None, source))
        elif isinstance(part, Mapping) and all(isinstance(name, str) for name in part):
            checks.extend(_check(name, argument, source) for name, argument in part.items())
        else:
            raise ValueError(f'expected checks by name, such as {{"contains": "Paris"}}; got {part!r}')
    if not checks:
        raise ValueError('no check is named; for example {"contains": "Paris"}')
    return tuple(checks)


def _known(source: _Source) -> dict[str, Factory]:
    checks = import_module("pytest_llmcheck.checks")
    ours: dict[str, Factory] = {each: getattr(checks, each) for each in checks.__all__ if each.islower()}
    del ours["check"]  # it takes a function, which no file can hold
    ours["not"] = ours["not_"]
    return {**source.added, **ours}


def _find(name: str, source: _Source) -> Factory:
    __tracebackhide__ = True
    known = _known(source)
    if name not in known:
        raise ValueError(f"no check is called {name!r}: {did_you_mean(name, known)}")
    return known[name]


def _arguments(
    name: str, factory: Factory, argument: object, source: _Source
) -> tuple[list[Any], dict[str, Any]]:
    __tracebackhide__ = True
    parameters = list(inspect.signature(factory).parameters.values())
    known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    many = next((each for each in parameters if each.kind is each.VAR_POSITIONAL), None)
    first = next((each for each in parameters if each.kind in _POSITIONAL), many)
    argument = _in_python(argument, parameters)
    if name == "instruction":
        return _instruction(argument)
    if name == "calls" and (call := _call(argument)):
        tool, arguments = call
        return [tool], {word: _converted(parameters[-1], value, source) for word, value in arguments.items()}
    if isinstance(argument, Mapping) and _by_name(argument, parameters):
        # What is no parameter by itself is one of **more, which is the last.
        named = {each.name: each for each in parameters}
        given = {
            word: _converted(named.get(word, parameters[-1]), value, source)
            for word, value in argument.items()
        }
        return _in_place(given, parameters), given
    if (argument is None or argument is True) and not _needed(parameters):
        return [], {}
    if first is None:
        raise ValueError(f"expected {_takes(known)}, got {argument!r}")
    value = _converted(first, argument, source)
    return list(value) if first is many else [value], {}


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _converted(parameter: inspect.Parameter, value: object, source: _Source) -> Any:
    """A value as the parameter takes it: checks made of their names, a tuple for any number of values."""
    __tracebackhide__ = True
    many = parameter.kind is parameter.VAR_POSITIONAL
    if _mixed(parameter):
        values = value if many and isinstance(value, list) else [value]
        each = [_check_or_value(parameter, one, source) for one in values]
        return tuple(each) if many else each[0]
    if str(parameter.annotation) == "Check":
        checks = _checks(value, source)
        if not many and len(checks) > 1:
            raise ValueError(f"{parameter.name} is one check, got {len(checks)}: put them into all_of")
        return checks if many else checks[0]
    if many:
        return tuple(value) if isinstance(value, list) else (value,)
    if str(parameter.annotation) == "Schema" and isinstance(value, str):
        return _path(value, source)
    return value


def _path(schema: str, source: _Source) -> str:
    """The path of a schema from the working directory; JSON as it is."""
    from pytest_llmcheck.schema_given import is_json_text

    if source.folder is None or is_json_text(schema) or not schema.strip():
        return schema
    return os.path.relpath(source.folder / schema)


def _in_python(argument: object, parameters: list[inspect.Parameter]) -> object:
    """The same with the names of parameters as Python has them: ``id_`` for ``id``."""
    if not isinstance(argument, Mapping):
        return argument
    names = {each.name for each in parameters}
    return {
        f"{word}_" if word not in names and f"{word}_" in names else word: value
        for word, value in argument.items()
    }


def _instruction(argument: object) -> tuple[list[Any], dict[str, Any]]:
    """Id and parameters; the id alone, beside its parameters, or before them as the name of a tool is."""
    __tracebackhide__ = True
    id_, given = argument, {}
    if isinstance(argument, Mapping) and "id_" in argument:
        given = {**argument}
        id_ = given.pop("id_")
    elif call := _call(argument):
        id_, given = call[0], {**call[1]}
    if not isinstance(id_, str):
        example = '{"id": "length_constraints:number_words", "relation": "at least", "num_words": 60}'
        raise ValueError(f"expected the id of an instruction, or an object such as {example}; got {id_!r}")
    return [id_], given


def _check_or_value(parameter: inspect.Parameter, value: object, source: _Source) -> object:
    """A check, where the value is an object with the name of one; else the value as it is."""
    __tracebackhide__ = True
    if not isinstance(value, Mapping) or len(value) != 1:
        return value
    # What else it may be, an object with such a key is hardly ever.
    ((name, argument),) = value.items()
    if "Calls" in str(parameter.annotation) and name != "calls" and _call(value):
        name, argument = "calls", value
    return _check(name, argument, source) if name in _known(source) else value


def _call(argument: object) -> tuple[str, Mapping[str, object]] | None:
    """Tool and arguments, of an object such as ``{"get_weather": {"city": "Berlin"}}``."""
    if not isinstance(argument, Mapping) or len(argument) != 1:
        return None
    ((tool, arguments),) = argument.items()
    return (tool, arguments) if isinstance(arguments, Mapping) else None


def _mixed(parameter: inspect.Parameter) -> bool:
    """Whether it takes a check or something else, such as ``Check | Any`` and ``Calls | str``."""
    kinds = str(parameter.annotation).split(" | ")
    return len(kinds) > 1 and not {"Check", "Calls"}.isdisjoint(kinds)


def _in_place(given: dict[str, Any], parameters: list[inspect.Parameter]) -> list[Any]:
    """Take out of what is given by name what the function takes by its place only."""
    spread = any(each.kind is each.VAR_POSITIONAL and each.name in given for each in parameters)
    placed: list[Any] = []
    for each in parameters:
        if each.name not in given:
            continue
        if each.kind is each.VAR_POSITIONAL:
            placed += given.pop(each.name)
        elif each.kind is each.POSITIONAL_ONLY or (spread and each.kind is each.POSITIONAL_OR_KEYWORD):
            placed.append(given.pop(each.name))
    return placed


def _by_name(argument: Mapping[str, object], parameters: list[inspect.Parameter]) -> bool:
    """Whether an object holds the function's parameters, and is not itself the first of them.

    Raises:
        ValueError: it can only be the parameters, and one of them does not exist.
    """
    __tracebackhide__ = True
    known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    others = [word for word in argument if word not in known]
    alone = all(each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) for each in parameters)
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return alone or known[0] in argument
    if alone and others:
        raise ValueError(f"it has no parameter {others[0]!r}: {did_you_mean(str(others[0]), known)}")
    return alone or (bool(argument) and not others)


def _check_complete(factory: Factory, positional: list[Any], named: Mapping[str, Any]) -> None:
    __tracebackhide__ = True
    given = inspect.signature(factory).bind_partial(*positional, **named).arguments
    for each in inspect.signature(factory).parameters.values():
        single = each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        if single and each.default is each.empty and each.name not in given:
            known = ", ".join(inspect.signature(factory).parameters)
            raise ValueError(f"it needs {each.name!r}, in an object of its parameters ({known})")


def _needed(parameters: list[inspect.Parameter]) -> bool:
    return any(each.default is each.empty and each.kind in _POSITIONAL for each in parameters)


def _takes(known: list[str]) -> str:
    return f"an object with {', '.join(known)}" if known else "no argument (write true)"
