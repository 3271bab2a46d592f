"""Checks that a user writes as a function of the reply."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from pytest_llmcheck.engines.reply import shorten
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.verdict import Check, Judged

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_RETURNS = "return True, False, a text that says why it fails, or a Verdict"


@dataclass(frozen=True)
class OwnCheck:
    """A function of the reply as a check; see `check`.

    Attributes:
        name: as its author called it.
        function: what judges.
        given: parameters other than those of the function's own defaults, in the order in which they came.
    """

    name: str
    function: Callable[..., bool | str | Verdict]
    given: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.given)})"

    @property
    def __signature__(self) -> inspect.Signature:
        """What may be given by name."""
        _, *others = inspect.signature(self.function).parameters.values()
        return inspect.Signature(others)

    @overload
    def __call__(self, reply: Judged) -> Verdict: ...

    @overload
    def __call__(self, **given: Any) -> OwnCheck: ...

    def __call__(self, *args: Judged, **given: Any) -> Verdict | OwnCheck:
        """Judge a reply; with keywords, or nothing at all, the same check with these parameters.

        Raises:
            TypeError: the function has no such parameter, one has no value, or it returned something else.
        """
        __tracebackhide__ = True
        if args and not given and len(args) == 1:
            return self._judge(args[0])
        if args:
            raise TypeError(f"{self.name} takes its parameters by name, got {args[0]!r}")
        _known(self.name, self.function, given)
        return replace(self, given=tuple({**dict(self.given), **given}.items()))

    def _judge(self, reply: Judged) -> Verdict:
        __tracebackhide__ = True
        given = dict(self.given)
        if missing := [name for name in _required(self.function) if name not in given]:
            raise TypeError(f"{self.name} needs {', '.join(missing)}: write {self.name}({missing[0]}=...)")
        try:
            said: object = self.function(reply, **given)
        except AssertionError as error:
            return self._verdict(False, str(error) or self._failed())
        except Exception as error:  # whatever the function raises goes on, with a note
            error.add_note(f"in the check {self!r} ({_place(self.function)}), on {shorten(reply.text, 160)}")
            raise
        if isinstance(said, Verdict):
            return replace(said, check=repr(self), score=self._score(said.score))
        if isinstance(said, bool):
            return self._verdict(said, "it holds" if said else self._failed())
        if isinstance(said, str) and said.strip() and not isinstance(said, Status):
            return self._verdict(False, said)
        raise TypeError(f"the check {self!r} ({_place(self.function)}) returned {said!r:.80}: {_RETURNS}")

    def _verdict(self, holds: bool, reason: str) -> Verdict:
        return Verdict(Status.PASSED if holds else Status.FAILED, repr(self), reason, float(holds))

    def _score(self, score: object) -> float | None:
        __tracebackhide__ = True
        if score is None or (isinstance(score, int | float) and 0 <= score <= 1):
            return score
        where = _place(self.function)
        raise TypeError(f"the check {self!r} ({where}) returned score={score!r:.80}; it is a float, 0 to 1")

    def _failed(self) -> str:
        """What is known of a function that said no more than False."""
        promise = (inspect.getdoc(self.function) or "").partition("\n")[0]
        return f"it does not hold: {promise}" if promise else "it does not hold (return a text to say why)"


def check(name: str) -> Callable[[Callable[..., bool | str | Verdict]], OwnCheck]:
    '''A check of one's own, from a function of the reply.

    ::

        @check("polite")
        def polite(reply, *, words=("please", "thank you")):
            """The reply has a polite word."""
            return any(word in reply.text.lower() for word in words)

        reply.expect(polite)
        reply.expect(polite(words=("bitte", "danke")))

    The function returns True; False, which fails with the first line of its docstring; a text, which fails
    and says why; or a `Verdict`, for what is undecided or has a score. A failed ``assert`` is a failed
    verdict. Nothing else is taken for a pass: None (a forgotten ``return``) is a TypeError, and any other
    exception goes on to the test, with a note that names the check, its line and the reply.

    Args:
        name: shown in messages; the word for ``without=`` where it becomes a health check.

    Returns:
        A decorator. What it makes is a check, and called with keywords the same check with these parameters.

    Raises:
        TypeError: it is no name, or the function does not take a reply, and all else by name.
        ValueError: an empty name, or that of a health check of this package, which would then be left out.
    '''
    __tracebackhide__ = True
    if not isinstance(name, str):
        raise TypeError(f"check takes the name of the check, as in @check('polite'); got {name!r}")
    if not name.strip():
        raise ValueError("a check needs a name, as in @check('polite')")
    # By its name: the package imports this module.
    health: tuple[Check, ...] = import_module("pytest_llmcheck.checks").HEALTH
    if name in {each.name for each in health}:
        raise ValueError(f"{name!r} is a health check of every reply; give the check another name")

    def decorate(function: Callable[..., bool | str | Verdict]) -> OwnCheck:
        __tracebackhide__ = True
        _check_function(name, function)
        return OwnCheck(name, function)

    return decorate


def _check_function(name: str, function: object) -> None:
    __tracebackhide__ = True
    if not callable(function):
        raise TypeError(f"check({name!r}) decorates a function of the reply, got {function!r}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"check({name!r}): a check is a plain function: neither async nor a generator")
    parameters = [*inspect.signature(function).parameters.values()]
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise TypeError(f"check({name!r}): the function takes the reply as its first argument")
    first, *others = parameters
    if wrong := [each for each in others if each.kind not in (first.KEYWORD_ONLY, first.VAR_KEYWORD)]:
        raise TypeError(
            f"check({name!r}): parameters after the reply are given by name: "
            f"write ({first.name}, *, {wrong[0].name})"
        )


def _known(name: str, function: Callable[..., object], given: dict[str, Any]) -> None:
    __tracebackhide__ = True
    from pytest_llmcheck.errors import did_you_mean

    _, *others = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in others):
        return
    known = [each.name for each in others]
    for word in given:
        if word not in known:
            raise TypeError(f"{name} has no parameter {word!r}: {did_you_mean(word, known)}")


def _required(function: Callable[..., object]) -> list[str]:
    _, *others = inspect.signature(function).parameters.values()
    return [each.name for each in others if each.default is each.empty and each.kind is not each.VAR_KEYWORD]


def _place(function: Callable[..., object]) -> str:
    """File and line of a function, as far as they are known."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return repr(function) if code is None else f"{code.co_filename}:{code.co_firstlineno}"
