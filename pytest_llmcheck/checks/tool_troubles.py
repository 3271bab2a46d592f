"""What is wrong with the calls of a reply, whatever was expected of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.engines.places import odds, token_of
from pytest_llmcheck.errors import SchemaError, did_you_mean
from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, schemas_of
from pytest_llmcheck.strict_json import point_at
from pytest_llmcheck.verdict import Status, Verdict
from pytest_llmcheck.visible import cut, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llmcheck.verdict import Judged

_LONGEST = 160
_LONGEST_NAME = 60

# Only of a plain list of properties can it be said that a name is none of them.
_PLAIN_SCHEMA = frozenset({"type", "properties", "required", "description", "title", "$schema", "strict"})


class Trouble(NamedTuple):
    """Something wrong with a call.

    Attributes:
        level: ``unreadable``, ``unknown tool``, ``wrong arguments``, or what a check calls it.
        problem: what, for messages.
        call: which.
        key: the argument that is wrong, if one is.
    """

    level: str
    problem: str
    call: ToolCall | BrokenCall
    key: str | None = None

    @property
    def place(self) -> int:
        """Where it is in `Reply.raw`, in characters."""
        if isinstance(self.call, BrokenCall):
            return self.call.position
        if self.level == "some call":
            return self.call.start  # where it began to call at all
        if self.level == "unknown tool" or self.key is None:
            return self.call.start + max(0, self.call.text.find(self.call.name))
        return self.call.start + _place_of(self.call, self.key)


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
        of = f" of {_quoted(broken.name)}" if broken.name else ""
        problem = f"a call{of} that cannot be read: {cut(broken.problem, _LONGEST)}"
        found.append(Trouble("unreadable", problem, broken))
    for call in getattr(reply, "tool_calls", ()):
        if call.name in schemas:
            found += _wrong_arguments(call, schemas[call.name])
        else:
            hint = did_you_mean(call.name[:_LONGEST_NAME], schemas)
            problem = f"it calls {_quoted(call.name)}, which is no tool of this request: {hint}"
            found.append(Trouble("unknown tool", problem, call))
    return sorted(found, key=lambda trouble: trouble.call.start)


def shown(reply: Judged, trouble: Trouble) -> list[str]:
    """What is wrong, the line of the reply with a caret, and the token that stands there."""
    raw = str(getattr(reply, "raw", "") or reply.text)
    place = min(trouble.place, len(raw))
    lines = [trouble.problem, *point_at(raw, place).split("\n")]
    end = getattr(reply, "end", None)
    token = end if place == len(raw) else token_of(reply, place)
    return lines if token is None else [*lines, f"the token there: {odds(token)}"]


def spelt(call: ToolCall) -> str:
    """A call as Python would have it, not too long.

    >>> spelt(ToolCall("get_weather", {"city": "Berlin"}))
    "get_weather(city='Berlin')"
    """
    given = ", ".join(f"{visible(key)}={value!r}" for key, value in call.arguments.items())
    return cut(f"{visible(call.name)}({given})", _LONGEST)


def _wrong_arguments(call: ToolCall, schema: Mapping[str, Any]) -> Iterator[Trouble]:
    __tracebackhide__ = True
    from pytest_llmcheck.checks.schema import matches_schema
    from pytest_llmcheck.checks.schema_faults import faults

    try:
        errors = matches_schema(schema).errors(call.arguments) if schema else []
    except (RecursionError, OverflowError):
        told = f"{call.name}: the arguments are too deep, or have a number too large, to be compared"
        yield Trouble("wrong arguments", told, call)
        return
    except (SchemaError, ValueError) as error:
        keyword = getattr(error, "keyword", "parameters")
        raise SchemaError(f"the parameters of the tool {call.name!r}: {error}", keyword) from None
    for fault in faults(errors, call.arguments):
        key = str(fault.place[0]) if fault.place else next(iter(fault.keys), None)
        path = cut(fault.path.removeprefix("$").removeprefix("."), _LONGEST_NAME)
        where = f"{call.name}: {path}" if path else call.name
        yield Trouble("wrong arguments", f"{where}: {fault.problem}", call, key)
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and _PLAIN_SCHEMA.issuperset(schema):
        for key in call.arguments:
            if key not in properties:
                hint = did_you_mean(key[:_LONGEST_NAME], properties)
                problem = f"{call.name}: {_quoted(key)} is no argument of this tool: {hint}"
                yield Trouble("wrong arguments", problem, call, key)


def _quoted(name: str) -> str:
    """A name that the model made up, which may be of any length."""
    return repr(cut(name, _LONGEST_NAME))


def _place_of(call: ToolCall, key: str) -> int:
    """Where the value of an argument stands in the text of a call; else its key, else the call's name."""
    after_name = max(0, call.text.find(call.name))
    found = re.compile(rf"(?<!\w){re.escape(key)}(?!\w)").search(call.text, after_name + len(call.name))
    if found is None:
        return after_name
    value = call.arguments.get(key)
    # Between a key and its value stands no letter, whatever the format.
    begins = re.compile(r"[^\w\[{-]*").match(call.text, found.end())
    written = value if isinstance(value, str) else None
    if written and (at := call.text.find(written[:20], found.end())) >= 0:
        return at
    return found.start() if begins is None or begins.end() >= len(call.text) else begins.end()
