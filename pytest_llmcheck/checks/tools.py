"""Which tools a reply calls, and with which arguments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from inspect import isroutine
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.checks.combine import worst_of
from pytest_llmcheck.checks.health import cut_off
from pytest_llmcheck.checks.json_reply import Field
from pytest_llmcheck.checks.tool_troubles import (
    Trouble,
    check_asked,
    lines_of,
    not_applicable,
    plain,
    sound_among,
    spelt,
)
from pytest_llmcheck.engines.judging import is_check, no_check
from pytest_llmcheck.engines.places import odds, token_at
from pytest_llmcheck.json_values import Comparison
from pytest_llmcheck.prompts.tool_calls import BrokenCall
from pytest_llmcheck.verdict import Status, Verdict
from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.checks.schema_faults import Fault
    from pytest_llmcheck.prompts.tool_calls import ToolCall
    from pytest_llmcheck.verdict import Check, Judged

_MOST_SHOWN = 5
_UNSOUND = "not sound, see sound_calls()"


class Compared(NamedTuple):
    """How a call compares with what was expected of it.

    Attributes:
        status: the worst of its arguments.
        right: how many of the expected arguments are right.
        problems: for each of the others its name, then what was expected and what came, and where.
    """

    status: Status
    right: int
    problems: tuple[tuple[str, Fault], ...]


@dataclass(frozen=True)
class Calls:
    """See `calls`."""

    tool: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The function's name."""
        return "calls"

    def __repr__(self) -> str:
        given = [repr(self.tool)]
        odd = {key: value for key, value in self.arguments if not key.isidentifier() or iskeyword(key)}
        given += [repr(odd)] if odd else []
        given += [f"{key}={value!r}" for key, value in self.arguments if key not in odd]
        return f"calls({', '.join(given)})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the calls of a reply; the score is the share of tool and arguments that is right."""
        if (verdict := _undecided(reply, repr(self), (self,))) is not None:
            return verdict
        made = sound_among(reply)
        compared = [(self.compare(call), call) for call in made if call.name == self.tool]
        if not compared:
            return _none_of(reply, repr(self), self.tool)
        best, call = max(compared, key=lambda pair: (pair[0].status is Status.PASSED, pair[0].right))
        score = (1 + best.right) / (1 + len(self.arguments))
        evidence = {"calls": plain(made)}
        if not best.problems:
            return Verdict(Status.PASSED, repr(self), f"it calls {spelt(call)}", score, evidence)
        found = [
            Trouble("wrong call", f"{key}: {fault.problem}", call, fault) for key, fault in best.problems
        ]
        lines = [f"the call is {spelt(call)}", *lines_of(reply, found)]
        if len(made) > 1:
            lines[0] = f"no call is as expected; the nearest is {spelt(call)}"
        return Verdict(best.status, repr(self), "\n".join(lines), score, {"level": "wrong call", **evidence})

    def compare(self, call: ToolCall) -> Compared:
        """How a call of the tool compares with the arguments that are expected."""
        from pytest_llmcheck.checks.schema_faults import Fault

        problems: list[tuple[str, Fault]] = []
        statuses: set[Status] = set()
        for key, expected in self.arguments:
            if key not in call.arguments:
                problems.append((key, Fault((), f"expected {expected!r}, it is not given", missing=1)))
                statuses.add(Status.FAILED)
                continue
            value = call.arguments[key]
            is_text = isinstance(value, str)
            if callable(expected):
                written = json.dumps(value, ensure_ascii=False)
                verdict = expected(Field(value if is_text else written, written))
                status = verdict.status
                fault = Fault((key,), f"{verdict.check}: {verdict.reason}", inside=is_text)
            else:
                same = not Comparison().of(expected, value).found
                status = Status.PASSED if same else Status.FAILED
                told = f"expected {expected!r}, got {cut(repr(value), 120)}"
                fault = Fault((key,), told, allowed=(expected,) if is_text else ())
            if status is not Status.PASSED:
                problems.append((key, fault))
                statuses.add(status)
        return Compared(worst_of(statuses), len(self.arguments) - len(problems), tuple(problems))


@dataclass(frozen=True)
class CallsOnly:
    """See `calls_only`."""

    expected: tuple[Calls, ...]

    @property
    def name(self) -> str:
        """The function's name."""
        return "calls_only"

    def __repr__(self) -> str:
        return f"calls_only({', '.join(map(repr, self.expected))})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge all calls of a reply; the score is the share of calls that are as expected."""
        if (verdict := _undecided(reply, repr(self), self.expected)) is not None:
            return verdict
        every, sound = _all_calls(reply), sound_among(reply)
        if not every:
            return _none_of(reply, repr(self), self.expected[0].tool)
        pairs = _pairs(self.expected, sound)
        score = len(pairs) / max(len(self.expected), len(every))
        evidence = {"calls": plain(sound)}
        if len(pairs) == len(self.expected) == len(every):
            told = (
                "it makes exactly this call"
                if len(every) == 1
                else f"it makes exactly these {len(every)} calls"
            )
            return Verdict(Status.PASSED, repr(self), told, score, evidence)
        lines = [f"expected exactly {_calls(len(self.expected))}, got {_calls(len(every))}"]
        if len(self.expected) == len(every):
            lines = [f"expected exactly {'this call' if len(every) == 1 else 'these calls'}, got others"]
        missing = [check for at, check in enumerate(self.expected) if at not in pairs]
        lines += [f"missing: {check!r}" for check in missing[:_MOST_SHOWN]]
        others = [call for at, call in enumerate(sound) if at not in pairs.values()]
        lines += lines_of(reply, [_unexpected(call, missing) for call in others])
        unsound = _without(every, sound)
        lines += [f"{_UNSOUND}: {spelt(call)}" for call in unsound[:_MOST_SHOWN]]
        return Verdict(
            Status.FAILED, repr(self), "\n".join(lines), score, {"level": "other calls", **evidence}
        )


@dataclass(frozen=True, slots=True)
class CallsNothing:
    """See `calls_nothing`."""

    @property
    def name(self) -> str:
        """The function's name."""
        return "calls_nothing"

    def __repr__(self) -> str:
        return "calls_nothing()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by whether the reply has any call, broken ones included."""
        if (verdict := not_applicable(reply, repr(self))) is not None:
            return verdict
        found = [Trouble("some call", f"it {_verb(call)} {spelt(call)}", call) for call in _all_calls(reply)]
        if not found:
            return Verdict(Status.PASSED, repr(self), "it calls no tool", score=1.0)
        lines = ["expected no call", *lines_of(reply, found)]
        evidence = {"level": "other calls", "calls": plain(getattr(reply, "tool_calls", ()))}
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), 0.0, evidence)


def calls(tool: str, arguments: Mapping[str, Any] | None = None, /, **more: Check | Any) -> Calls:
    """The reply calls a tool, with these arguments among others.

    What a call is, the model's chat template defines (see `Reply.tool_calls`). One that cannot be read, or
    whose arguments the tool's own JSON Schema refuses, is never taken for the call that is expected; what is
    wrong with it, `sound_calls` tells, which runs on every reply. Not applicable where the request gave no
    tools, or where the format of the template's calls is not known. Judging raises `CheckError` where the
    request has no such tool, or the tool no such argument.

    Args:
        tool: its name.
        arguments: those whose names are no Python names, such as ``{"from": "Berlin"}``.
        more: the others. A value has to be equal (numbers as JSON has them: 1 is 1.0, and not true); a check
            such as ``contains("Berlin")`` is asked about the text of the argument.

    Raises:
        TypeError: the tool's name is no text, or an argument neither a JSON value nor a check.
        ValueError: the name is empty, or an argument is given twice.
    """
    __tracebackhide__ = True
    if not isinstance(tool, str):
        raise TypeError(f"calls takes the name of a tool, got {type(tool).__name__}: {tool!r}")
    if not tool:
        raise ValueError("calls needs the name of a tool; calls_nothing() is for none")
    if arguments is not None and not isinstance(arguments, dict):
        raise TypeError(f"calls({tool!r}): arguments are a dict or keywords, got {arguments!r}")
    given = dict(arguments or {})
    if twice := given.keys() & more.keys():
        raise ValueError(f"calls({tool!r}): {min(twice)!r} is given twice")
    given |= more
    return Calls(tool, tuple((str(key), _expected(tool, key, value)) for key, value in given.items()))


def calls_only(*expected: Calls | str, **arguments: Check | Any) -> CallsOnly:
    """The reply makes exactly these calls, in any order, and no others.

    Each may have other arguments than those that are expected of it; see `calls`.

    Args:
        expected: for each call ``calls(...)``, or the name of its tool.
        arguments: of the tool, where one name is given.

    Raises:
        TypeError: something else is given.
        ValueError: nothing is given.
    """
    __tracebackhide__ = True
    if not expected:
        raise ValueError("calls_only needs a call, such as calls_only('now'); calls_nothing() is for none")
    if arguments and not (len(expected) == 1 and isinstance(expected[0], str)):
        raise TypeError(
            "calls_only takes arguments beside the name of one tool alone; use calls(...) for each"
        )
    for one in expected:
        if not isinstance(one, Calls | str):
            raise TypeError(f"calls_only takes calls(...) or the name of a tool for each call, got {one!r}")
    return CallsOnly(tuple(calls(one, **arguments) if isinstance(one, str) else one for one in expected))


def calls_nothing() -> CallsNothing:
    """The reply calls no tool, though the request gave some.

    What begins like a call and cannot be read is a call here. Not applicable where the request gave no
    tools, or where the format of the template's calls is not known.
    """
    return CallsNothing()


def _undecided(reply: Judged, check: str, expected: Sequence[Calls]) -> Verdict | None:
    """What is to be said before the calls are compared with what is expected.

    Raises:
        CheckError: what is expected is nothing that the tools of the request have.
    """
    __tracebackhide__ = True
    if getattr(reply, "tools", ()):
        for one in expected:
            check_asked(reply, check, one.tool, (key for key, _ in one.arguments))
    return not_applicable(reply, check)


def _none_of(reply: Judged, check: str, tool: str) -> Verdict:
    """That the tool is not called."""
    every = _all_calls(reply)
    evidence: dict[str, Any] = {"level": "no such call", "calls": plain(getattr(reply, "tool_calls", ()))}
    if unsound := [call for call in every if call.name == tool]:
        reason = f"expected a call of {tool!r}; {_UNSOUND}: {spelt(unsound[0])}"
        return Verdict(Status.FAILED, check, reason, 0.0, {**evidence, "level": "unsound call"})
    if every:
        called = ", ".join(spelt(call) for call in every[:_MOST_SHOWN])
        found = [Trouble("other call", f"expected a call of {tool!r}, got {called}", every[0])]
        # Where a broken one went wrong, sound_calls() shows.
        lines = [found[0].problem] if isinstance(every[0], BrokenCall) else lines_of(reply, found)
        return Verdict(Status.FAILED, check, "\n".join(lines), 0.0, evidence)
    lines = [f"expected a call of {tool!r}, the reply has no call"]
    if cut := cut_off(reply):
        lines.append(cut)
    form = reply.tool_format  # type: ignore[attr-defined]  # only a Reply gets here
    if re.search(rf"(?<!\w){re.escape(tool)}(?!\w)", reply.text):
        lines.append(f"it names the tool, but a call of this template looks like {form.example}")
    if token := token_at(reply, 0):
        lines.append(f"the token that it begins with: {odds(token)}")
        evidence["token"] = odds(token)
    return Verdict(Status.FAILED, check, "\n".join(lines), 0.0, evidence)


def _all_calls(reply: Judged) -> list[ToolCall | BrokenCall]:
    """Also those that cannot be read, in the order in which they stand."""
    every = (*getattr(reply, "tool_calls", ()), *getattr(reply, "broken_calls", ()))
    return sorted(every, key=lambda call: call.start)


def _without(every: Sequence[ToolCall | BrokenCall], some: Sequence[ToolCall]) -> list[ToolCall | BrokenCall]:
    left_out = {id(call) for call in some}
    return [call for call in every if id(call) not in left_out]


def _verb(call: ToolCall | BrokenCall) -> str:
    return "begins" if isinstance(call, BrokenCall) else "calls"


def _unexpected(call: ToolCall, missing: Sequence[Calls]) -> Trouble:
    """That a call was not expected; and in what it differs from one that was."""
    told, fault = f"not expected: {spelt(call)}", None
    compared = [check.compare(call) for check in missing if check.tool == call.name]
    if problems := max(compared, key=lambda one: one.right).problems if compared else ():
        key, fault = problems[0]
        told += f"; {key}: {fault.problem}"
    return Trouble("other call", told, call, fault)


def _pairs(expected: Sequence[Calls], made: Sequence[ToolCall]) -> dict[int, int]:
    """Which call is taken for which that is expected, as many as can be: each for one.

    The largest matching of a bipartite graph, by augmenting paths.
    """
    fits = [
        [
            at
            for at, call in enumerate(made)
            if call.name == check.tool and check.compare(call).status is Status.PASSED
        ]
        for check in expected
    ]
    taken: dict[int, int] = {}

    def assign(one: int, seen: set[int]) -> bool:
        for at in fits[one]:
            if at not in seen:
                seen.add(at)
                if at not in taken or assign(taken[at], seen):
                    taken[at] = one
                    return True
        return False

    for one in range(len(expected)):
        assign(one, set())
    return {one: at for at, one in taken.items()}


def _expected(tool: str, key: object, value: Any) -> Any:
    """An expected value: a check as it is, a JSON value as a copy of our own."""
    __tracebackhide__ = True
    if is_check(value):
        return value
    if isroutine(value):
        raise TypeError(no_check(f"calls({tool!r})", value, f"a JSON value or a check for {key}"))
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        message = f"calls({tool!r}): {key} is to be a JSON value or a check, got {value!r}"
        raise TypeError(message) from None


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
