"""What is wrong with the calls of a reply, whatever was expected of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.engines.pointing import pointed
from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.errors import CheckError, SchemaError, did_you_mean
from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, schemas_of
from pytest_llmcheck.verdict import Status, Verdict
from pytest_llmcheck.visible import cut, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jsonschema.exceptions import ValidationError

    from pytest_llmcheck.checks.schema_faults import Fault
    from pytest_llmcheck.verdict import Judged

_LONGEST = 160
_LONGEST_NAME = 60
_MOST_SHOWN = 5

# Only of a plain list of properties can it be said that a name is none of them.
_PLAIN_SCHEMA = frozenset({"type", "properties", "required", "description", "title", "$schema", "strict"})

_JSON = JSONDecoder()
_MOST_BRACES = 20
"""More of them stand before the arguments of no call of a format with JSON."""


class Trouble(NamedTuple):
    """Something wrong with a call, or with its being there.

    Attributes:
        level: ``unreadable``, ``unknown tool``, ``wrong arguments``, or what a check calls it.
        problem: what, for messages.
        call: which.
        fault: which part of the arguments, if one is to blame.
    """

    level: str
    problem: str
    call: ToolCall | BrokenCall
    fault: Fault | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Where it is in `Reply.raw`, in characters, and where the token stands that decided it."""
        call = self.call
        if self.level == "some call":
            return call.start, call.start  # where it began to call at all
        if isinstance(call, BrokenCall):
            return call.position, call.position
        at = decided = max(0, call.text.find(call.name))
        if self.fault is not None and (begin := _arguments_begin(call)) is not None:
            at, decided = self.fault.position(call.text, begin)
            if self.level in ("wrong call", "other call"):
                at = decided  # the argument is sound, and another than expected from here on
        elif self.fault is not None and (key := _key(self.fault)) is not None:
            at = decided = _place_of(call, key, self.fault)
        return call.start + at, call.start + decided


def not_applicable(reply: Judged, check: str) -> Verdict | None:
    """The verdict where there is no saying which calls a reply makes."""
    if not getattr(reply, "tools", ()):
        reason = (
            "the request gave no tools, so that nothing in the reply counts as a call; "
            "give them: llm.chat(..., tools=[...])"
        )
    elif getattr(reply, "tool_format", None) is None:
        reason = (
            "the format of this chat template's tool calls is not known; "
            "add it by the hook pytest_llmcheck_tool_formats"
        )
    else:
        return None
    return Verdict(Status.NOT_APPLICABLE, check, reason)


def schemas_given(reply: Judged) -> dict[str, dict[str, Any]]:
    """The schemas of the parameters of the request's tools, by the tools' names."""
    return schemas_of(getattr(reply, "tools", ()))


def troubles(reply: Judged) -> list[Trouble]:
    """What is wrong with the calls, in their order: unreadable, of an unknown tool, with wrong arguments.

    Raises:
        SchemaError: the schema of a tool is to blame: it is not valid, or takes too long.
    """
    __tracebackhide__ = True
    schemas = schemas_given(reply)
    found: list[Trouble] = []
    for broken in getattr(reply, "broken_calls", ()):
        problem = f"{spelt(broken)}: {cut(broken.problem, _LONGEST)}"
        found.append(Trouble("unreadable", problem, broken))
    for call in getattr(reply, "tool_calls", ()):
        if call.name in schemas:
            found += _wrong_arguments(call, schemas[call.name])
        else:
            hint = did_you_mean(call.name[:_LONGEST_NAME], schemas)
            problem = f"it calls {_quoted(call.name)}, which is no tool of this request: {hint}"
            found.append(Trouble("unknown tool", problem, call))
    return sorted(found, key=lambda trouble: trouble.call.start)


def sound_among(reply: Judged) -> list[ToolCall]:
    """The calls with which nothing is wrong, in their order.

    Raises:
        SchemaError: see `troubles`.
    """
    __tracebackhide__ = True
    wrong = {id(trouble.call) for trouble in troubles(reply)}
    return [call for call in getattr(reply, "tool_calls", ()) if id(call) not in wrong]


def check_asked(reply: Judged, check: str, tool: str, arguments: Iterable[str]) -> None:
    """Refuse a check that asks for what no model could do: a tool, or an argument, that the request lacks.

    Args:
        reply: with the tools of its request.
        check: as its user wrote it.
        tool: its name.
        arguments: their names.

    Raises:
        CheckError: with the nearest name, else with those that there are.
    """
    __tracebackhide__ = True
    schemas = schemas_given(reply)
    if tool not in schemas:
        hint = did_you_mean(tool, schemas)
        raise CheckError(f"{check}: no tool of the request is called {tool!r}: {hint}")
    known = _known_arguments(schemas[tool])
    for key in arguments:
        if known is not None and key not in known:
            raise CheckError(f"{check}: {tool} has no argument {key!r}: {did_you_mean(key, known)}")


def shown(reply: Judged, trouble: Trouble) -> list[str]:
    """What is wrong, the line of the reply with a caret, and the token that stands there."""
    if isinstance(reply, Reply) and reply.raw:
        reply = replace(reply, text=reply.raw, controls=())  # places of calls are places of `raw`
    at, decided = (min(place, len(reply.text)) for place in trouble.position)
    return [trouble.problem, *pointed(reply, at, decided)]


def lines_of(reply: Judged, found: Sequence[Trouble]) -> list[str]:
    """The first with its place, the others in a line each."""
    lines = shown(reply, found[0]) if found else []
    lines += [trouble.problem for trouble in found[1:_MOST_SHOWN]]
    more = len(found) - _MOST_SHOWN
    return [*lines, f"and {more} more"] if more > 0 else lines


def plain(made: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """Calls for the evidence of a verdict."""
    return [{"name": call.name, "arguments": call.arguments} for call in made]


def spelt(call: ToolCall | BrokenCall) -> str:
    """A call as Python would have it, not too long; of one that cannot be read, that.

    >>> spelt(ToolCall("get_weather", {"city": "Berlin"}))
    "get_weather(city='Berlin')"
    """
    if isinstance(call, BrokenCall):
        return f"a call{f' of {_quoted(call.name)}' if call.name else ''} that cannot be read"
    given = ", ".join(f"{visible(key)}={value!r}" for key, value in call.arguments.items())
    return cut(f"{visible(call.name)}({given})", _LONGEST)


def _wrong_arguments(call: ToolCall, schema: Mapping[str, Any]) -> Iterator[Trouble]:
    __tracebackhide__ = True
    from pytest_llmcheck.checks.schema_faults import Fault, faults

    try:
        errors = _errors(call, schema) if schema else []
    except RecursionError:
        told = f"{call.name}: the arguments are too deep to be compared"
        yield Trouble("wrong arguments", told, call)
        return
    for fault in faults(errors, call.arguments):
        path = cut(fault.path.removeprefix("$").removeprefix("."), _LONGEST_NAME)
        where = f"{call.name}: {path}" if path else call.name
        yield Trouble("wrong arguments", f"{where}: {fault.problem}", call, fault)
    # That a schema with additionalProperties takes no others is told above.
    known = None if "additionalProperties" in schema else _known_arguments(schema)
    for key in call.arguments:
        if known is not None and key not in known:
            hint = did_you_mean(key[:_LONGEST_NAME], known)
            problem = f"{call.name}: {_quoted(key)} is no argument of this tool: {hint}"
            yield Trouble("wrong arguments", problem, call, Fault((), problem, keys=(key,)))


def _errors(call: ToolCall, schema: Mapping[str, Any]) -> list[ValidationError]:
    """What the schema of a tool refuses.

    Raises:
        SchemaError: it is to blame itself.
    """
    __tracebackhide__ = True
    from pytest_llmcheck.checks.schema import matches_schema

    check = None
    try:
        check = matches_schema(schema)
        return check.errors(call.arguments)
    except (SchemaError, ValueError) as error:
        # It speaks of itself: of a check that no test has.
        told = str(error).removeprefix(f"{check!r}: ").removeprefix("matches_schema: ")
        keyword = getattr(error, "keyword", "parameters")
        raise SchemaError(f"the parameters of the tool {call.name!r}: {told}", keyword) from None


def _known_arguments(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The arguments that a tool can take, by their names; None where its schema leaves that open."""
    properties = schema.get("properties")
    closed = schema.get("additionalProperties") is False
    plain = _PLAIN_SCHEMA | {"additionalProperties"} if closed else _PLAIN_SCHEMA
    return properties if isinstance(properties, Mapping) and plain.issuperset(schema) else None


def _quoted(name: str) -> str:
    """A name that the model made up, which may be of any length."""
    return repr(cut(name, _LONGEST_NAME))


def _arguments_begin(call: ToolCall) -> int | None:
    """Where the arguments begin in the text of a call that has them as JSON; None for other formats."""
    at = call.text.find("{")
    for _ in range(_MOST_BRACES):
        if at < 0:
            return None
        try:
            if _JSON.raw_decode(call.text, at)[0] == call.arguments:
                return at
        except (JSONDecodeError, RecursionError):
            pass
        at = call.text.find("{", at + 1)
    return None


def _key(fault: Fault) -> str | None:
    """The argument in which something is wrong; None where all of them are, or one is missing."""
    return str(fault.place[0]) if fault.place else next(iter(fault.keys), None)


def _place_of(call: ToolCall, key: str, fault: Fault) -> int:
    """Where an argument stands in a call that is not JSON: its value, or its key; else the call's name."""
    after_name = max(0, call.text.find(call.name))
    found = re.compile(rf"(?<!\w){re.escape(key)}(?!\w)").search(call.text, after_name + len(call.name))
    if found is None:
        return after_name
    if fault.keys:
        return found.start()
    value = call.arguments.get(key)
    # Between a key and its value stands no letter, whatever the format.
    begins = re.compile(r"[^\w\[{-]*").match(call.text, found.end())
    written = value if isinstance(value, str) else None
    if written and (at := call.text.find(written[:20], found.end())) >= 0:
        return at
    return found.start() if begins is None or begins.end() >= len(call.text) else begins.end()
