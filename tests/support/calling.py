"""Replies that call tools, made by hand; the tools; and what templates print of calls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, schemas_of
from pytest_llmcheck.prompts.tool_calls.catalogue import FORMATS
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.prompts.tool_calls import ToolFormat


def tool(name: str, *required: str, **properties: Any) -> dict[str, Any]:
    """The definition of a tool."""
    for key, schema in properties.items():
        schema.setdefault("description", f"The {key}")  # some templates print it
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    inner = {"name": name, "description": f"To {name}.", "parameters": parameters}
    return {"type": "function", "function": inner}


WEATHER = tool(
    "get_weather",
    "city",
    city={"type": "string"},
    days={"type": "integer", "minimum": 1},
    unit={"type": "string", "enum": ["C", "F"]},
)
TIME = tool("get_time", zone={"type": "string"})
TOOLS = [WEATHER, TIME]


def form(name: str) -> ToolFormat:
    """The format of this name."""
    return next(known for known in FORMATS if known.name == name)


def parsed(text: str, name: str, tools: Sequence[dict[str, Any]] = TOOLS) -> list[ToolCall | BrokenCall]:
    """What a format reads in a text."""
    return list(form(name).parse(text, schemas_of(tools)))


def calling(
    text: str,
    name: str = "hermes",
    *,
    tools: Sequence[dict[str, Any]] = TOOLS,
    pieces: Sequence[str] = (),
    finish_reason: str = "stop",
) -> Reply:
    """A reply of a model with this format, as the session makes it."""
    found = parsed(text, name, tools)
    return replace(
        make_reply(text, pieces=pieces, finish_reason=finish_reason),
        tool_calls=tuple(call for call in found if isinstance(call, ToolCall)),
        broken_calls=tuple(call for call in found if isinstance(call, BrokenCall)),
        tools=tools,
        tool_format=form(name),
    )
