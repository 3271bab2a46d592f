"""Validation that ends: jsonschema's own rules, stopped when their time is up.

jsonschema has no limits. It searches patterns with `re`, which cannot be stopped, and goes through every
alternative of every ``anyOf`` within every other, which can take longer than any run.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from time import thread_time
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from attrs import fields

from pytest_llmcheck.errors import PatternError
from pytest_llmcheck.patterns import search as search_pattern
from pytest_llmcheck.schema_library import ValidationError, validators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema.protocols import Validator

    Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

SECONDS = 10.0
"""How long one validation may take, in processor time: what else the machine does is no fault of a schema.

That of the thread; in a pattern, that of the process (see `pytest_llmcheck.patterns`)."""

MOST_ERRORS = 100_000
"""Violations of one validation. Each takes some 3 KB, so that memory would end before the time does."""

LONGEST_IRI = 5_000
"""Characters. The parser behind these formats takes about a millisecond for each, and cannot be stopped."""


class StoppedError(Exception):
    """A validation was stopped.

    Attributes:
        keyword: the one that was at work, such as ``pattern``.
        schema: the part of the schema that has it; the very object.
    """

    def __init__(self, why: str, keyword: str, schema: object) -> None:
        super().__init__(why)
        self.keyword = keyword
        self.schema = schema


@dataclass(slots=True)
class _Clock:
    end: float
    errors: int = 0


_CLOCK: ContextVar[_Clock] = ContextVar("_CLOCK")


def errors_of(validator: Validator, value: Any, seconds: float | None = None) -> list[ValidationError]:
    """All that is wrong with a value.

    Args:
        validator: of a class that `limited` has made.
        value: as `json.loads` gives it.
        seconds: the longest that it may take; `SECONDS` by default.

    Raises:
        StoppedError: the time was up, or there was no end to what is wrong.
    """
    before = _CLOCK.set(_Clock(thread_time() + (SECONDS if seconds is None else seconds)))
    try:
        return list(validator.iter_errors(value))
    finally:
        _CLOCK.reset(before)


@lru_cache(maxsize=32)
def limited(draft: type[Validator]) -> type[Validator]:
    """The validator class of a draft, with the same rules and with limits."""
    copies: dict[FunctionType, FunctionType] = {}
    rules = {keyword: _watched(keyword, _rebound(rule, copies)) for keyword, rule in draft.VALIDATORS.items()}
    rules.update(
        {
            keyword: _watched(keyword, _multiple_of)
            for keyword in ("multipleOf", "divisibleBy")
            if keyword in rules
        }
    )
    made: type[Any] = validators.extend(draft, rules)  # type: ignore[no-untyped-call]  # of jsonschema
    initial = [(field.name, field.alias) for field in fields(made) if field.init]

    def evolve(self: Any, **changes: Any) -> Any:
        # jsonschema's own goes back to its own classes at a schema that names its draft.
        schema = changes.setdefault("schema", self.schema)
        named = schema.get("$schema") if isinstance(schema, dict) else None
        cls = type(self)
        if named is not None:
            found = validators.validator_for({"$schema": named}, default=draft)
            cls = made if found is draft else limited(found)
        for name, alias in initial:
            if alias not in changes:
                changes[alias] = getattr(self, name)
        return cls(**changes)

    made.evolve = evolve
    return made


def _watched(keyword: str, rule: Keyword) -> Keyword:
    """A rule of a draft that looks at the clock whenever it is asked."""

    def watched(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if thread_time() > _CLOCK.get().end:
            raise StoppedError("time", keyword, schema)
        if keyword == "format" and "iri" in str(value) and len(str(instance)) > LONGEST_IRI:
            raise StoppedError("iri", keyword, schema)
        try:
            yield from rule(validator, value, instance, schema) or ()
        except PatternError as error:
            raise StoppedError(str(error), keyword, schema) from None
        except _TooManyError:
            raise StoppedError("errors", keyword, schema) from None

    return watched


def _rebound(function: Any, copies: dict[FunctionType, FunctionType]) -> Any:
    """A copy of a function of jsonschema that calls ours where jsonschema's cannot be stopped.

    The rules look up `re` and their helpers among the globals of their modules; the copy has globals of its
    own. jsonschema itself stays as it is for whoever else uses it.
    """
    if not isinstance(function, FunctionType) or not function.__module__.startswith("jsonschema."):
        return function
    if function in copies:
        return copies[function]
    names: dict[str, Any] = dict(function.__globals__)
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copies[function] = copy  # before its helpers: some call each other
    names.update({name: _rebound(held, copies) for name, held in names.items()})
    if isinstance(names.get("_utils"), ModuleType):
        names["_utils"] = _Utils(names["_utils"], copies)
    names.update({name: ours for name, ours in _OURS.items() if name in names})
    return copy


class _Utils:
    """A module of helpers, each rebound when it is asked for."""

    def __init__(self, module: Any, copies: dict[FunctionType, FunctionType]) -> None:
        self._module, self._copies = module, copies

    def __getattr__(self, name: str) -> Any:
        return _OURS.get(name) or _rebound(getattr(self._module, name), self._copies)


class _Search:
    """Stands in for the module `re`."""

    @staticmethod
    def search(pattern: str, text: str) -> object:
        left = _CLOCK.get().end - thread_time()
        return search_pattern(pattern, text, seconds=max(round(left, 1), 0.1))


class _TooManyError(Exception):
    pass


def _counted(*args: Any, **kwargs: Any) -> ValidationError:
    clock = _CLOCK.get()
    clock.errors += 1
    if clock.errors > MOST_ERRORS:
        raise _TooManyError
    return ValidationError(*args, **kwargs)


def _additional_properties(instance: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Names that neither ``properties`` nor ``patternProperties`` know.

    jsonschema joins the patterns with ``|``, which renumbers their groups and refuses flags in the second.
    """
    known = schema.get("properties", {})
    allowed = schema.get("patternProperties", {})
    for name in instance:
        if name not in known and not any(_Search.search(pattern, name) for pattern in allowed):
            yield name


def _multiple_of(_validator: Any, divisor: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """In decimal: to jsonschema, which divides binary fractions, 19.99 is no multiple of 0.01."""
    number = isinstance(instance, int | float) and not isinstance(instance, bool)
    if number and _exact(instance) % _exact(divisor):
        yield _counted(f"{instance!r} is not a multiple of {divisor!r}")


def _exact(number: float) -> Fraction:
    """As it is written: 0.1 is a tenth."""
    return Fraction(number if isinstance(number, int) else repr(number))


def _unique(values: list[Any]) -> bool:
    """Whether all differ, in linear time: jsonschema compares objects each with each."""
    return len({_frozen(value) for value in values}) == len(values)


def _frozen(value: Any) -> object:
    if isinstance(value, dict):
        return frozenset((key, _frozen(held)) for key, held in value.items())
    if isinstance(value, list):
        return tuple(_frozen(held) for held in value)
    # To Python, True equals 1.
    return (bool, value) if isinstance(value, bool) else value


_OURS: dict[str, Any] = {
    "re": _Search,
    "ValidationError": _counted,
    "find_additional_properties": _additional_properties,
    "uniq": _unique,
}
