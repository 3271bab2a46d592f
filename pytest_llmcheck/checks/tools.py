"""Which tools a reply calls, and with which arguments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.checks.health import cut_off
from pytest_llmcheck.checks.tool_troubles import (
    Trouble,
    not_applicable,
    schemas_given,
    shown,
    spelt,
    troubles,
)
from pytest_llmcheck.engines.judging import is_check
from pytest_llmcheck.engines.places import odds, token_at
from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.json_values import Comparison
from pytest_llmcheck.verdict import Status, Verdict
from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.prompts.tool_calls import ToolCall
    from pytest_llmcheck.verdict import Check, Judged

_MOST_SHOWN = 5
_WORST = (Status.FAILED, Status.INCONCLUSIVE, Status.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call, to be judged as a reply is.

    Attributes:
        text: its value; of what is no text, the JSON.
        finish_reason: always ``stop``.
    """

    text: str
    finish_reason: str = "stop"


class Compared(NamedTuple):
    """How a call compares with what was expected of it.

    Attributes:
        status: the worst of its arguments.
        right: how many of the expected arguments are right.
        problems: for each of the others its name, and what was expected and what came.
    """

    status: Status
    right: int
    problems: tuple[tuple[str, str], ...]


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
        if (verdict := _undecided_or_wrong(reply, repr(self), (self,))) is not None:
            return verdict
        made: Sequence[ToolCall] = reply.tool_calls  # type: ignore[attr-defined]  # only a Reply gets here
        compared = [(self.compare(call), call) for call in made if call.name == self.tool]
        if not compared:
            return _none_of(reply, repr(self), self.tool, made)
        best, call = max(compared, key=lambda pair: (pair[0].status is Status.PASSED, pair[0].right))
        score = (1 + best.right) / (1 + len(self.arguments))
        evidence = {"calls": _plain(made)}
        if not best.problems:
            return Verdict(Status.PASSED, repr(self), f"it calls {spelt(call)}", score, evidence)
        found = [Trouble("wrong call", f"{key}: {told}", call, key) for key, told in best.problems]
        lines = [f"the call is {spelt(call)}", *_lines(reply, found)]
        if len(made) > 1:
            lines[0] = f"no call is as expected; the nearest is {spelt(call)}"
        return Verdict(best.status, repr(self), "\n".join(lines), score, {"level": "wrong call", **evidence})

    def compare(self, call: ToolCall) -> Compared:
        """How a call of the tool compares with the arguments that are expected."""
        problems: list[tuple[str, str]] = []
        statuses: set[Status] = set()
        for key, expected in self.arguments:
            if key not in call.arguments:
                status, told = Status.FAILED, f"expected {expected!r}, it is not given"
            elif callable(expected):
                value = call.arguments[key]
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                verdict = expected(Argument(text))
                status, told = verdict.status, f"{verdict.check}: {verdict.reason}"
            else:
                same = not Comparison().of(expected, call.arguments[key]).found
                status = Status.PASSED if same else Status.FAILED
                told = f"expected {expected!r}, got {cut(repr(call.arguments[key]), 120)}"
            if status is not Status.PASSED:
                problems.append((key, told))
                statuses.add(status)
        worst = next((status for status in _WORST if status in statuses), Status.PASSED)
        return Compared(worst, len(self.arguments) - len(problems), tuple(problems))


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
        if (verdict := _undecided_or_wrong(reply, repr(self), self.expected)) is not None:
            return verdict
        made: Sequence[ToolCall] = reply.tool_calls  # type: ignore[attr-defined]  # only a Reply gets here
        if not made:
            return _none_of(reply, repr(self), self.expected[0].tool, made)
        pairs = _pairs(self.expected, made)
        score = len(pairs) / max(len(self.expected), len(made))
        evidence = {"calls": _plain(made)}
        if len(pairs) == len(self.expected) == len(made):
            told = (
                "it makes exactly this call"
                if len(made) == 1
                else f"it makes exactly these {len(made)} calls"
            )
            return Verdict(Status.PASSED, repr(self), told, score, evidence)
        lines = [f"expected exactly {_calls(len(self.expected))}, got {_calls(len(made))}"]
        if len(self.expected) == len(made):
            lines = [f"expected exactly {'this call' if len(made) == 1 else 'these calls'}, got others"]
        missing = [check for at, check in enumerate(self.expected) if at not in pairs]
        lines += [f"missing: {check!r}" for check in missing[:_MOST_SHOWN]]
        others = [call for at, call in enumerate(made) if at not in pairs.values()]
        lines += _lines(reply, [_unexpected(call, missing) for call in others])
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
        made: Sequence[ToolCall] = reply.tool_calls  # type: ignore[attr-defined]  # only a Reply gets here
        found = [trouble for trouble in troubles(reply) if trouble.level == "unreadable"]
        found += [Trouble("some call", f"it calls {spelt(call)}", call) for call in made]
        if not found:
            return Verdict(Status.PASSED, repr(self), "it calls no tool", score=1.0)
        lines = ["expected no call", *_lines(reply, found)]
        evidence = {"level": "other calls", "calls": _plain(made)}
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), 0.0, evidence)


def calls(tool: str, arguments: Mapping[str, Any] | None = None, /, **more: Check | Any) -> Calls:
    """The reply calls a tool, with these arguments among others.

    What a call is, the model's chat template defines (see `Reply.tool_calls`). Whatever else is expected,
    every call of the reply has to be readable, to name a tool of the request, and to have arguments that are
    valid under the tool's own JSON Schema. Not applicable where the request gave no tools, or where the
    format of the template's calls is not known.

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

    What begins like a call and cannot be read fails too. Not applicable where the request gave no tools, or
    where the format of the template's calls is not known.
    """
    return CallsNothing()


def _undecided_or_wrong(reply: Judged, check: str, expected: Sequence[Calls]) -> Verdict | None:
    """What is to be said before the calls are compared with what is expected."""
    if (verdict := not_applicable(reply, check)) is not None:
        return verdict
    known = schemas_given(reply)
    for one in expected:
        if one.tool not in known:
            reason = f"no tool of this request is called {one.tool!r}: {did_you_mean(one.tool, known)}"
            return Verdict(Status.FAILED, check, reason, 0.0, {"level": "wrong check"})
    found = troubles(reply)
    if not found:
        return None
    lines = _lines(reply, found)
    if found[0].level == "unreadable" and (cut := cut_off(reply)):
        lines.insert(0, f"it was cut off amid a call; {cut}")
    evidence = {
        "level": found[0].level,
        "problems": [trouble.problem for trouble in found],
        "calls": _plain(getattr(reply, "tool_calls", ())),
    }
    return Verdict(Status.FAILED, check, "\n".join(lines), 0.0, evidence)


def _none_of(reply: Judged, check: str, tool: str, made: Sequence[ToolCall]) -> Verdict:
    """That the tool is not called."""
    evidence = {"level": "no such call", "calls": _plain(made)}
    if made:
        called = ", ".join(spelt(call) for call in made[:_MOST_SHOWN])
        found = [Trouble("other call", f"expected a call of {tool!r}, got {called}", made[0])]
        return Verdict(Status.FAILED, check, "\n".join(_lines(reply, found)), 0.0, evidence)
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


def _lines(reply: Judged, found: Sequence[Trouble]) -> list[str]:
    """The first with its place, the others in a line each."""
    lines = shown(reply, found[0]) if found else []
    lines += [trouble.problem for trouble in found[1:_MOST_SHOWN]]
    more = len(found) - _MOST_SHOWN
    return [*lines, f"and {more} more"] if more > 0 else lines


def _unexpected(call: ToolCall, missing: Sequence[Calls]) -> Trouble:
    """That a call was not expected; and in what it differs from one that was."""
    told, key = f"not expected: {spelt(call)}", None
    compared = [check.compare(call) for check in missing if check.tool == call.name]
    if problems := max(compared, key=lambda one: one.right).problems if compared else ():
        key, problem = problems[0]
        told += f"; {key}: {problem}"
    return Trouble("other call", told, call, key)


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
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        message = f"calls({tool!r}): {key} is to be a JSON value or a check, got {value!r}"
        raise TypeError(message) from None


def _plain(made: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [{"name": call.name, "arguments": call.arguments} for call in made]


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
