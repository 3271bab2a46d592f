"""What each format reads in texts as models write them, the nasty ones among them; written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmcheck.prompts.tool_calls import ToolCall
from tests.support.calling import parsed, tool

PARIS = ("get_weather", {"city": "Paris"})
NOW: tuple[str, dict[str, Any]] = ("get_time", {})

HERMES = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
LLAMA = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
LLAMA_NOW = '{"name": "get_time", "parameters": {}}'
QWEN = "<tool_call>\n<function=get_weather>\n<parameter=city>\n{}\n</parameter>\n</function>\n</tool_call>"
LFM = "<|tool_call_start|>[{}]<|tool_call_end|>"
LIST = '[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "get_time", "arguments": {}}]'
EXPECTED_TAG = "expected <tool_call><function=name><parameter=key>...</parameter></function></tool_call>"
NO_CODE = "after <|python_tag|> comes neither an object nor a builtin tool, and no tool runs code"

READ: list[tuple[str, str, list[tuple[str, Any] | str]]] = [
    # Several, with text between, in a block of code.
    ("hermes", f"I look.\n{HERMES}\nAnd again:\n{HERMES}", [PARIS, PARIS]),
    ("hermes", f"```json\n{HERMES}\n```", [PARIS]),
    (
        "hermes",
        '<tool_call>{"name": "get_time", "arguments": {}}\n{"name": "get_time", "arguments": {}}</tool_call>',
        [NOW, NOW],
    ),
    ("hermes", "<tool_call>[]</tool_call>", []),
    # Markers and brackets in texts; escapes.
    (
        "hermes",
        HERMES.replace("Paris", r"{}}]\"</tool_call><tool_call>"),
        [("get_weather", {"city": '{}}]"</tool_call><tool_call>'})],
    ),
    (
        "hermes",
        HERMES.replace("Paris", r"Z\u00fcrich \ud83d\ude00"),
        [("get_weather", {"city": "Zürich 😀"})],
    ),
    ("hermes", HERMES.replace("Paris", r"\ud83d"), ["half of a surrogate pair, which no text can hold"]),
    # No calls.
    ("hermes", "A call begins with `<tool_call>`.", ["expected a JSON value"]),
    ("hermes", HERMES.replace("{", "```json\n{", 1), ["expected a JSON value"]),
    (
        "hermes",
        HERMES.replace('{"city": "Paris"}', r'"{\"city\": \"Paris\"}"'),
        ["its arguments are no object"],
    ),
    ("hermes", HERMES.replace("arguments", "parameters"), ["its 'arguments' are missing"]),
    ("hermes", HERMES.replace("name", "tool"), ["its 'name' is missing"]),
    ("hermes", HERMES.replace('"get_weather"', "3"), ["its 'name' is no name of a tool"]),
    ("hermes", "<tool_call>3</tool_call>", ["expected an object"]),
    ("hermes", HERMES[:-1], ["expected </tool_call> here"]),
    ("hermes", HERMES.removesuffix("</tool_call>") + "\n" + HERMES, ["expected </tool_call> here", PARIS]),
    ("hermes", HERMES.replace('"Paris"', "[" * 101 + "]" * 101), ["nested more than 100 levels deep"]),
    ("hermes", HERMES.replace('"Paris"', "[" * 99_999), ["nested more than 100 levels deep"]),
    ("hermes", HERMES.replace('"Paris"', "1" * 5000), ["a number that is too long to be read"]),
    ("granite-3", f"<|tool_call|>{LIST}", [PARIS, NOW]),
    ("granite-3", f"<|tool_call|>{LIST[:-20]}", [PARIS, "a string that is never closed"]),
    ("granite-3", "<|tool_call|>[{} {}]", ["expected ',' or ']' after a call of the list"]),
    ("apertus", '<|tools_prefix|>[{"get_time": {}}]<|tools_suffix|>', [NOW]),
    (
        "apertus",
        '<|tools_prefix|>[{"a": {}, "b": {}}]<|tools_suffix|>',
        ["expected an object with one key, the name of the tool"],
    ),
    # Without markers: the whole reply, or nothing.
    ("llama3", f"{LLAMA}; {LLAMA_NOW}<|eot_id|>", [PARIS, NOW]),
    ("llama3", f"\n{LLAMA}\n", [PARIS]),
    ("llama3", f'{{"type": "function", {LLAMA[1:]}', [PARIS]),
    ("llama3", f"<|python_tag|>{LLAMA}<|eom_id|>", [PARIS]),
    ("llama3", f"{LLAMA}\n\nThis is the weather.", ["more text after the call"]),
    ("llama3", f"Sure: {LLAMA}", []),
    ("llama3", f"```json\n{LLAMA}\n```", []),
    ("llama3", '{"name": "Anna", "age": 3}', []),
    ("llama3", '{"name": "Anna", "age": ', []),
    ("llama3", LLAMA.replace("parameters", "arguments"), ["its 'parameters' are missing"]),
    ("llama3", LLAMA[:-2], ["expected ',' or a closing bracket"]),
    (
        "llama3",
        '<|python_tag|>brave_search.call(query="a, b")<|eom_id|>',
        [("brave_search", {"query": "a, b"})],
    ),
    ("llama3", '<|python_tag|>brave_search.call(query="a") + 1', ["more text after the call"]),
    ("llama3", "<|python_tag|>brave_search.call(query=", ["expected a value"]),
    ("llama3", "<|python_tag|>print(1)<|eom_id|>", [NO_CODE]),
    # Mistral's two, either way.
    ("mistral", f"[TOOL_CALLS]{LIST}", [PARIS, NOW]),
    ("mistral", f"[TOOL_CALLS] {LIST[:-20]}", [PARIS, "a string that is never closed"]),
    ("mistral", '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]get_time[ARGS]{}', [PARIS, NOW]),
    ("mistral-args", "[TOOL_CALLS]get_time[CALL_ID]abc[ARGS]{}", [NOW]),
    ("mistral-args", "[TOOL_CALLS]get_time{}", ["expected [TOOL_CALLS]name[ARGS]{...}"]),
    ("mistral-args", "[TOOL_CALLS]get_time[ARGS][]", ["its arguments are no object"]),
    # Arguments without quotes: a text stays one where the schema says so.
    ("qwen3-coder", QWEN.format("3"), [("get_weather", {"city": "3"})]),
    ("qwen3-coder", QWEN.format('"Paris"'), [("get_weather", {"city": '"Paris"'})]),
    ("qwen3-coder", QWEN.format("a\n\nb"), [("get_weather", {"city": "a\n\nb"})]),
    ("qwen3-coder", QWEN.format("a</parameter>b"), ["expected an argument, or the end of the call"]),
    ("qwen3-coder", "<function=get_time></function>", [NOW]),
    ("qwen3-coder", "<function=get_time>", ["expected an argument, or the end of the call"]),
    ("qwen3-coder", HERMES, [EXPECTED_TAG]),
    # As Python has it.
    (
        "lfm2",
        LFM.format("get_weather(city='it\\'s \\x41\\n'), get_time()"),
        [("get_weather", {"city": "it's A\n"}), NOW],
    ),
    (
        "lfm2",
        LFM.format("get_time(zone=(1, .5, -2, None, {'a': True}),)"),
        [("get_time", {"zone": [1, 0.5, -2, None, {"a": True}]})],
    ),
    ("lfm2", LFM.format("get_weather('Paris')"), ["expected the name of an argument, and '='"]),
    ("lfm2", LFM.format("get_time(zone=007)"), ["expected ',' or ')'"]),
    ("lfm2", LFM.format("get_time(zone=1, zone=2)"), ["the argument 'zone' occurs twice"]),
    ("lfm2", LFM.format("get_time(zone={'a': 1, 'a': 2})"), ["the key 'a' occurs twice in one object"]),
    ("lfm2", LFM.format("get_time"), ["expected '('"]),
    ("lfm2", "<|tool_call_start|>get_time()<|tool_call_end|>", ["expected '['"]),
    ("lfm2", LFM.format("get_time()").removesuffix(">"), ["expected <|tool_call_end|> here"]),
    ("gemma4", "<|tool_call>call:get_time{}<tool_call|>", [NOW]),
    ("gemma4", "<|tool_call>get_time{}<tool_call|>", ["expected 'call:' and the name of a tool"]),
    ("gemma4", "<|tool_call>call:get_time()<tool_call|>", ["expected the name of a tool, and '{'"]),
]


@pytest.mark.parametrize(
    ("form", "text", "expected"), READ, ids=[f"{form}-{number}" for number, (form, _, _) in enumerate(READ)]
)
def test_a_text(form: str, text: str, expected: list[tuple[str, Any] | str]) -> None:
    found = parsed(text, form)
    assert [
        (one.name, one.arguments) if isinstance(one, ToolCall) else one.problem for one in found
    ] == expected


def test_code_for_an_interpreter() -> None:
    text = "<|python_tag|>print('<|x|>')\n<|eom_id|>"
    (call,) = parsed(text, "llama3", [tool("ipython", code={"type": "string"})])
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("ipython", {"code": "print('<|x|>')"})


@pytest.mark.parametrize(
    ("schema", "written", "expected"),
    [
        ({}, "3", 3),
        ({}, "007", "007"),
        ({}, "+49 30", "+49 30"),
        ({}, "+49", "+49"),
        ({}, "\N{ARABIC-INDIC DIGIT THREE}", "\N{ARABIC-INDIC DIGIT THREE}"),
        ({}, "True", True),
        ({}, "['a', None]", ["a", None]),
        ({}, "(555) 1234", "(555) 1234"),
        ({}, "NaN", "NaN"),
        ({"type": "integer"}, " 3 ", 3),
        ({"type": "integer"}, "three", "three"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "3", "3"),
        ({"enum": [1, 2]}, "2", 2),
        ({"const": "2"}, "2", "2"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "2", 2),
        ({"$ref": "#/$defs/text"}, "2", "2"),
        ({"$ref": "#/$defs/endless"}, "2", 2),
        ({"$ref": "#/nowhere"}, "2", 2),
    ],
)
def test_an_argument_without_quotes(schema: dict[str, Any], written: str, expected: object) -> None:
    tools = [tool("f", x={**schema, "description": "x"})]
    tools[0]["function"]["parameters"]["$defs"] = {
        "text": {"type": "string"},
        "endless": {"$ref": "#/$defs/endless"},
    }
    (call,) = parsed(f"<function=f><parameter=x>{written}</parameter></function>", "qwen3-coder", tools)
    assert isinstance(call, ToolCall)
    assert call.arguments == {"x": expected}
    assert type(call.arguments["x"]) is type(expected)
