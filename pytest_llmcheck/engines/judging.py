"""How checks are run on a reply: those that were asked for, and those of its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_llmcheck.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.verdict import Check, Verdict


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
    return callable(value) and isinstance(getattr(value, "name", None), str)


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
            hint = f"contains({check!r})" if isinstance(check, str) else "contains('text') or finished()"
            raise TypeError(f"expect takes checks such as {hint}, got {check!r}")


def check_without(without: Collection[str], health: Sequence[Check]) -> None:
    """Refuse what names no health check.

    Args:
        without: what a test gave to ``expect``.
        health: the checks that may be named.

    Raises:
        TypeError: a text alone, which would be taken letter by letter.
        ValueError: names those that there are.
    """
    __tracebackhide__ = True
    if isinstance(without, str):
        raise TypeError(f"without takes a list of names, such as without=[{without!r}], got {without!r}")
    known = {check.name for check in health}
    if unknown := [name for name in without if name not in known]:
        message = f"without={unknown!r}: no such health check; known: {', '.join(sorted(known))}"
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
            verdicts.append(check(reply))
        except Exception as another:
            if error is None:
                error = another
            else:
                error.add_note(f"{check!r} raised too: {type(another).__name__}: {another}")
    return verdicts, error
