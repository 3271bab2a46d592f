"""Conversations of every kind that chat templates tell apart."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs


class Conversation(Struct, frozen=True):
    """What a template is rendered with."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool | str = False
    variables: dict[str, Any] = {}


def _system(content: Any = "Be brief.") -> dict[str, Any]:
    return {"role": "system", "content": content}


def _user(content: Any = "What is the weather in Paris?") -> dict[str, Any]:
    return {"role": "user", "content": content}


def _assistant(content: Any = "It is sunny.", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def _call(arguments: Any, number: int = 0, name: str = "get_weather") -> dict[str, Any]:
    # Mistral's templates want 9 letters and digits.
    return {"id": f"call0000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(content: Any, number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "role": "tool",
        "name": "get_weather",
        "tool_call_id": f"call0000{number}",
        "content": content,
        **more,
    }


def _tool(name: str, **parameters: Any) -> dict[str, Any]:
    description = f'Tells the {name} <of> a "place" & it\'s “right”.'
    schema = {"type": "object", "properties": parameters, "required": sorted(parameters)[:1]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    _tool(
        "get_weather",
        city={"type": "string", "description": "Where"},
        unit={
            "type": "string",
            "description": "Of <what>",
            "enum": ["celsius", "fahrenheit"],
            "default": "celsius",
        },
        days={"type": "integer", "description": "How many", "minimum": 1, "default": None},
    ),
    _tool(
        "get_time",
        place={
            "type": "object",
            "description": "Where",
            "properties": {"lat": {"type": "number", "description": "Latitude"}},
            "additionalProperties": {"type": "number", "description": "Others"},
        },
        zones={"type": "array", "description": "Which", "items": {"type": "string"}},
    ),
    _tool("nothing"),
]
# Some templates fail on schemas without a description, or call themselves without end on those that have no
# single type.
ODD_TOOLS = [
    _tool("get_tide", harbour={"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}]}),
    _tool("get_moon", days={"type": ["integer", "null"], "minimum": 1}, place={"$ref": "#/$defs/<place>"}),
]
DOCUMENTS = [
    {"title": "Paris", "text": "Paris is in France.", "doc_id": 1},
    {"title": 'Ünïcode <&> "quotes"', "text": "Line\nline", "content": "x"},
]
ODD = "<b>&amp;\"'</b> {{ no }} {% if %} \\n \\u00e9 \t\r\n  „“ é 漢字 😀 \u2028 \x00\x1b</s><|im_end|>"
PARTS = [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]

_ARGUMENTS: dict[str, Any] = {
    "city": "Zürich <b>\"&'",
    "days": 3,
    "at": 1.5,
    "exact": True,
    "unit": None,
    "near": ["a", {"b": []}],
}
_AS_TEXT = '{"city": "Zürich <b>\\"&\'", "days": 3}'
_ASKED = [_system(), _user()]
_THOUGHT = "The user wants the weather.\nLet me see."
_PARALLEL = _assistant(None, tool_calls=[_call(_ARGUMENTS, 0), _call({"place": {"lat": 1}}, 1, "get_time")])


def _turns(*more: dict[str, Any], **settings: Any) -> Conversation:
    return Conversation([*_ASKED, *more], **settings)


CONVERSATIONS: dict[str, Conversation] = {
    "user": Conversation([_user()]),
    "user, no generation prompt": Conversation([_user()], add_generation_prompt=False),
    "system": Conversation(_ASKED),
    "developer": Conversation([{"role": "developer", "content": "Be brief."}, _user()]),
    "turns": _turns(_assistant(), _user("And in Rome?"), _assistant("Rain."), _user("Thanks!")),
    "turns without system": Conversation([_user(), _assistant(), _user("And in Rome?")]),
    "two users": Conversation([_user(), _user("Hurry!")]),
    "assistant last": _turns(_assistant(), add_generation_prompt=False),
    "assistant last, generation prompt": _turns(_assistant()),
    "continue": _turns(_assistant("It is"), continue_final_message=True),
    "continue, spaces": _turns(_assistant(" It is \n"), continue_final_message=True),
    "continue, parts": _turns(_assistant(PARTS), continue_final_message=True),
    "continue, nothing": _turns(_assistant(""), continue_final_message=True),
    "continue the user": _turns(continue_final_message=True),
    "continue the thought": _turns(
        _assistant("", reasoning_content=_THOUGHT), continue_final_message="reasoning_content"
    ),
    "tools": _turns(tools=TOOLS),
    "tools without system": Conversation([_user()], tools=TOOLS),
    "odd tools": _turns(tools=ODD_TOOLS),
    "no tools": _turns(tools=[]),
    "call": _turns(_assistant(None, tool_calls=[_call(_ARGUMENTS)]), tools=TOOLS),
    "call as text": _turns(_assistant(None, tool_calls=[_call(_AS_TEXT)]), tools=TOOLS),
    "call with content": _turns(_assistant("I look.", tool_calls=[_call(_ARGUMENTS)]), tools=TOOLS),
    "call with empty content": _turns(_assistant("", tool_calls=[_call(_ARGUMENTS)]), tools=TOOLS),
    "call without the function's frame": _turns(
        _assistant(None, tool_calls=[{"name": "get_weather", "arguments": {}}]), tools=TOOLS
    ),
    "result": _turns(
        _assistant(None, tool_calls=[_call(_ARGUMENTS)]), _result('{"sky": "<sunny>"}'), tools=TOOLS
    ),
    "result as text": _turns(_assistant("", tool_calls=[_call(_AS_TEXT)]), _result("sunny"), tools=TOOLS),
    "result as data": _turns(
        _assistant(None, tool_calls=[_call(_ARGUMENTS)]), _result({"sky": "é", "n": [1.0, None]}), tools=TOOLS
    ),
    "result as parts": _turns(_assistant(None, tool_calls=[_call({})]), _result(PARTS), tools=TOOLS),
    "result of ipython": _turns(
        _assistant(None, tool_calls=[_call({})]), {"role": "ipython", "content": "sunny"}, tools=TOOLS
    ),
    "parallel": _turns(_PARALLEL, _result("sunny"), _result("noon", 1, name="get_time"), tools=TOOLS),
    "parallel, then an answer": _turns(
        _PARALLEL, _result("sunny"), _result("noon", 1), _assistant(), _user("Thanks!"), tools=TOOLS
    ),
    "result without a call": _turns(_result("sunny"), tools=TOOLS),
    "calls without tools": _turns(_assistant(None, tool_calls=[_call({})]), _result("sunny")),
    "thinking": Conversation(_ASKED, variables={"enable_thinking": True}),
    "not thinking": Conversation(_ASKED, variables={"enable_thinking": False}),
    "thinking with tools": Conversation(
        _ASKED, tools=TOOLS, variables={"enable_thinking": True, "thinking": True}
    ),
    "thought": _turns(_assistant(reasoning_content=_THOUGHT), _user("Thanks!")),
    "thought last": _turns(_assistant(reasoning_content=_THOUGHT), add_generation_prompt=False),
    "thought in the content": _turns(
        _assistant(f"<think>\n{_THOUGHT}\n</think>\n\nSunny."), _user("Thanks!")
    ),
    "thought and call": _turns(
        _assistant(None, reasoning_content=_THOUGHT, tool_calls=[_call(_ARGUMENTS)]),
        _result("sunny"),
        tools=TOOLS,
    ),
    "thought under another name": _turns(_assistant(thinking=_THOUGHT), _user("Thanks!")),
    "effort": Conversation(
        _ASKED, variables={"reasoning_effort": "high", "thinking_budget": 512, "model_identity": "You are X."}
    ),
    "documents": Conversation(_ASKED, variables={"documents": DOCUMENTS}),
    "documents and tools": Conversation(_ASKED, tools=TOOLS, variables={"documents": DOCUMENTS}),
    "date": Conversation(
        _ASKED, tools=TOOLS, variables={"date_string": "1 Jan 2025", "current_date": "2025-01-01"}
    ),
    "empty": Conversation([_user("")]),
    "empty system": Conversation([_system(""), _user("Hi")]),
    "empty assistant": _turns(_assistant(""), _user("Hi")),
    "blank": Conversation([_system(" "), _user(" \n\t"), _assistant("  x  \n"), _user("\n\nHi\n\n")]),
    "long": Conversation([_system("Be brief. " * 500), _user("ä漢😀 " * 20_000)]),
    "odd": Conversation([_system(ODD), _user(ODD), _assistant(ODD), _user(ODD)]),
    "odd calls": _turns(_assistant(ODD, tool_calls=[_call({"x": ODD})]), _result(ODD), tools=TOOLS),
    "parts": Conversation([_system(PARTS), _user(PARTS), _assistant(PARTS), _user(PARTS)]),
    "parts, user only": Conversation([_user(PARTS)]),
    "parts, none": Conversation([_user([])]),
    "content is none": Conversation([_user(None)]),
    "no content": Conversation([{"role": "user"}]),
    "unknown role": Conversation([{"role": "judge", "content": "x"}, _user()]),
    "keys of its own": Conversation([{**_user(), "name": "ann", "weight": 0.5, "tags": [1, None]}]),
}

# Some templates refuse every system message.
CONVERSATIONS |= {
    f"{name}, no system": structs.replace(given, messages=given.messages[1:])
    for name, given in CONVERSATIONS.items()
    if given.messages[0]["role"] == "system"
}
