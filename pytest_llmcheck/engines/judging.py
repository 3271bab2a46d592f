"""How checks are run on a reply: those that were asked for, and those of its health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.verdict import Check, Verdict


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


def judge_all(reply: Reply, checks: Sequence[Check], without: Collection[str] = ()) -> tuple[Verdict, ...]:
    """The verdicts on a reply: of the health checks that found something, then of all that were asked for.

    A health check is left out by its name, in the call or in the model's settings, and where the test
    asks for a check of that name itself.

    Args:
        reply: with the health checks that it is held to.
        checks: as given to ``expect``; see `check_arguments`.
        without: names of the health checks to leave out.

    Raises:
        ValueError: `without` names no health check.
    """
    __tracebackhide__ = True
    known = {check.name for check in reply.health}
    if unknown := [name for name in without if name not in known]:
        message = f"without={unknown!r}: no such health check; known: {', '.join(sorted(known))}"
        raise ValueError(message)
    left_out = {*without, *reply.without, *(check.name for check in checks)}
    health = [check(reply) for check in reply.health if check.name not in left_out]
    # A healthy reply needs no mention; an unhealthy one is named before what follows from it.
    found = [verdict for verdict in health if verdict.status is not Status.PASSED]
    return (*found, *(check(reply) for check in checks))
