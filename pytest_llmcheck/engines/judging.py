"""How checks are run on a reply: those that were asked for, and those of its health."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.verdict import Check

_PACKAGE = __name__.partition(".")[0]


class Judgement(NamedTuple):
    """What the checks of one `expect` came to.

    Attributes:
        verdicts: of the health checks that found something, then of all that were asked for; without those of
            checks that raised.
        error: what the first check raised that did; the others are named in its notes.
    """

    verdicts: tuple[Verdict, ...]
    error: Exception | None = None


def is_check(value: object) -> bool:
    """Whether it can judge: an object with a name that can be called; see `Check`."""
    return callable(value) and isinstance(getattr(value, "name", None), str) and not isinstance(value, type)


def no_check(function: str, given: object, takes: str = "checks such as contains('refund')") -> str:
    """Why something is refused where checks are taken, with what was probably meant.

    Args:
        function: that takes them, such as ``expect``.
        given: what is no check.
        takes: what it takes, with an example.
    """
    if inspect.isroutine(given):
        # A check's own function, without its parentheses, or one that judges.
        return f"{function} takes {takes}, got a function: {_check_of(given)}"
    if isinstance(given, list | tuple | set | Iterator):
        kind = "list" if isinstance(given, list) else type(given).__name__
        return f"{function} takes each check by itself: unpack the {kind}, {function}(*[...])"
    if isinstance(given, Verdict):
        return f"{function} takes checks, not verdicts: write {function}({given.check})"
    if isinstance(given, str) and "contains" in takes:
        takes = f"checks such as contains({given!r})"
    return f"{function} takes {takes}, got {given!r}"


def _check_of(function: object) -> str:
    """How a function becomes a check: ours make one, a user's is decorated."""
    name = getattr(function, "__name__", "")
    if str(getattr(function, "__module__", "")).startswith(f"{_PACKAGE}.checks"):
        parameters = inspect.signature(function).parameters  # type: ignore[arg-type]  # one that can be called
        return f"write {name}({'...' if parameters else ''})"
    return (
        f"write @check({name!r}) above it"
        if name.isidentifier()
        else "write check('name')(lambda reply: ...)"
    )


def check_arguments(checks: Sequence[object]) -> None:
    """Refuse what is no check, before anything is judged.

    Args:
        checks: what a test gave to ``expect``.

    Raises:
        TypeError: one of them is not a check; the message says what was probably meant.
    """
    __tracebackhide__ = True
    for check in checks:
        if not is_check(check):
            raise TypeError(no_check("expect", check))


def check_without(without: Collection[str], health: Sequence[Check]) -> None:
    """Refuse what names no health check.

    Args:
        without: what a test gave to ``expect``.
        health: the checks that may be named.

    Raises:
        TypeError: a text alone, which would be taken letter by letter.
        ValueError: with the nearest name, else with those that there are.
    """
    __tracebackhide__ = True
    if isinstance(without, str):
        raise TypeError(f"without takes a list of names, such as without=[{without!r}], got {without!r}")
    known = {check.name for check in health}
    if unknown := [name for name in without if name not in known]:
        message = f"without={unknown!r}: no such health check; {did_you_mean(str(unknown[0]), known)}"
        raise ValueError(message)


def judge_all(reply: Reply, checks: Sequence[Check], without: Collection[str] = ()) -> Judgement:
    """Judge a reply by the health checks and by all that were asked for.

    A health check is left out by its name, in the call or in the model's settings, and where the test
    asks for a check of that name itself. A check that raises, as one with a faulty schema does, does not keep
    the others from judging.

    Args:
        reply: with the health checks that it is held to.
        checks: as given to ``expect``; see `check_arguments`.
        without: names of the health checks to leave out.

    Raises:
        TypeError: see `check_without`.
        ValueError: see `check_without`.
    """
    __tracebackhide__ = True
    check_without(without, reply.health)
    left_out = {*without, *reply.without, *(check.name for check in checks)}
    health, error = _judge(reply, [check for check in reply.health if check.name not in left_out], None)
    # A healthy reply needs no mention; an unhealthy one is named before what follows from it.
    found = [verdict for verdict in health if verdict.status is not Status.PASSED]
    asked, error = _judge(reply, checks, error)
    return Judgement((*found, *asked), error)


def _judge(
    reply: Reply, checks: Sequence[Check], error: Exception | None
) -> tuple[list[Verdict], Exception | None]:
    """The verdicts of the checks that have one, and the first error of all."""
    verdicts = []
    for check in checks:
        try:
            verdicts.append(_verdict(check, reply))
        except Exception as another:  # of anybody's check; raised once the others have judged
            another.with_traceback(_from_theirs(another.__traceback__))
            if error is None:
                error = another
            else:
                error.add_note(f"{check!r} raised too: {type(another).__name__}: {another}")
    return verdicts, error


def _verdict(check: Check, reply: Reply) -> Verdict:
    __tracebackhide__ = True
    verdict: object = check(reply)
    if not isinstance(verdict, Verdict):
        raise TypeError(f"the check {check!r} returned {verdict!r:.80}; a check returns a Verdict")
    return verdict


def _from_theirs(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our frames before the first one of a user.

    Where all are ours, it is dropped if the error was raised for the user, by a frame that hides itself; else
    it is a fault of this package, and kept.
    """
    at, last = trace, trace
    while at is not None and str(at.tb_frame.f_globals.get("__name__")).startswith(f"{_PACKAGE}."):
        at, last = at.tb_next, at
    if at is not None:
        return at
    return None if last is None or "__tracebackhide__" in last.tb_frame.f_locals else trace
