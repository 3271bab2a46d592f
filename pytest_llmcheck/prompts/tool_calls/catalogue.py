"""The formats that are known, and which one a chat template has.

Taken from the 70 templates of llama.cpp (``models/templates``), and from llama.cpp's own parsers of what
their models write (``common/chat.cpp``, ``common/parsers``, ``common/chat-diff-analyzer.cpp``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.tool_calls.bare_calls import GemmaCalls, LlamaCalls, PythonCalls
from pytest_llmcheck.prompts.tool_calls.deepseek import DEEPSEEK
from pytest_llmcheck.prompts.tool_calls.headed_calls import NAME, HeadedCalls
from pytest_llmcheck.prompts.tool_calls.json_calls import JsonCalls
from pytest_llmcheck.prompts.tool_calls.minimax_m3 import MinimaxM3Calls
from pytest_llmcheck.prompts.tool_calls.mistral import MistralCalls
from pytest_llmcheck.prompts.tool_calls.reading import Keys
from pytest_llmcheck.prompts.tool_calls.tagged_calls import KEYED, NAMED, TaggedCalls

if TYPE_CHECKING:
    from pytest_llmcheck.prompts.tool_calls.call import ToolFormat

_SUFFIX = r"(?::\w{1,40})?"
_COHERE = Keys("tool_name", "parameters", "tool_call_id")

_HEADED = (
    HeadedCalls(
        name="gpt-oss",
        example="<|channel|>commentary to=functions.name <|constrain|>json<|message|>{...}",
        needs=("<|channel|>", "functions."),
        begins=r"(?:<\|start\|>assistant)?(?:<\|channel\|>(?:commentary|analysis))? to=",
        header=(
            r"(?:<\|start\|>assistant)?(?:<\|channel\|>(?:commentary|analysis))? to=(?:functions\.)?"
            rf"{NAME}(?:<\|channel\|>(?:commentary|analysis))?"
            r"\s{0,4}(?:<\|constrain\|>)?[\w-]{0,40}\s{0,4}<\|message\|>"
        ),
        others=frozenset({"assistant", "user"}),
    ),
    HeadedCalls(
        name="kimi-k2",
        example="<|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{...}<|tool_call_end|>",
        needs=("<|tool_calls_section_begin|>", "<|tool_call_begin|>"),
        begins=r"<\|tool_call_begin\|>",
        header=(
            rf"<\|tool_call_begin\|>\s{{0,4}}(?P<id>(?:functions\.)?{NAME}:\d{{1,9}})\s{{0,4}}"
            r"<\|tool_call_argument_begin\|>"
        ),
        closing=("<|tool_call_end|>",),
    ),
    HeadedCalls(
        name="solar",
        example="<|tool_call:begin|>id<|tool_call:name|>name<|tool_call:args|>{...}<|tool_call:end|>",
        needs=("<|tool_call:begin|>", "<|tool_call:name|>"),
        begins=r"<\|tool_call:begin\|>",
        header=(rf"<\|tool_call:begin\|>(?P<id>[^<]{{0,100}})<\|tool_call:name\|>{NAME}<\|tool_call:args\|>"),
        closing=("<|tool_call:end|>",),
    ),
    HeadedCalls(
        name="functionary-v3.2",
        example=">>>name\n{...}",
        needs=(">>>all", ">>>${recipient}"),
        begins=r"(?:\A|>>>)(?=[\w.-]{1,200}\n\s{0,8}\{)",
        header=rf"(?:>>>)?{NAME}\n",
        others=frozenset({"all"}),
    ),
    HeadedCalls(
        name="functionary-v3.1",
        example="<function=name>{...}</function>",
        needs=("<function=", "</function>"),
        lacks=("<parameter=",),
        begins="<function=",
        header=rf"<function={NAME}>",
        closing=("</function>",),
    ),
)

_TAGGED = (
    TaggedCalls(
        name="muse",
        example=' to=name<|message|><atem:function_calls><atem:invoke name="name">...</atem:invoke>',
        needs=("<atem:function_calls>", "<|eom|>"),
        begins=r" to=(?!user<|self<)[^<\s]{1,200}<\|message\|>",
        opening=(
            r" to=[^<\s]{1,200}<\|message\|>\s{0,8}<atem:function_calls>\s{0,8}"
            rf"<atem:invoke name={NAMED}>"
        ),
        argument=rf"<atem:parameter name={KEYED}>",
        value_end="</atem:parameter>",
        closing="</atem:invoke>",
        after=r"\s{0,8}</atem:function_calls>",
    ),
    TaggedCalls(
        name="kimi-k3",
        example='<|open|>call tool="name" index="1"<|sep|>...<|close|>call<|sep|>',
        needs=("<|open|>", "<|close|>", "<|end_of_msg|>"),
        begins=r"<\|open\|>call\b",
        opening=rf'<\|open\|>call tool={NAMED}(?: index="\d{{1,9}}")?<\|sep\|>',
        argument=rf'<\|open\|>argument key={KEYED} type="(?P<kind>\w{{1,20}})"<\|sep\|>',
        value_end=r"<\|close\|>argument<\|sep\|>",
        closing=r"<\|close\|>call<\|sep\|>",
    ),
    TaggedCalls(
        name="minimax-m2",
        example='<minimax:tool_call><invoke name="..."><parameter name="...">...</parameter></invoke>',
        needs=("<minimax:tool_call>", "<invoke name="),
        begins=r"<minimax:tool_call>(?!\s{0,8}<invoke name=)|<invoke name=",
        opening=f"<invoke name={NAMED}>",
        argument=f"<parameter name={KEYED}>",
        value_end="</parameter>",
        closing="</invoke>",
    ),
    TaggedCalls(
        name="minicpm5",
        example='<function name="..."><param name="...">...</param></function>',
        needs=('<function name="', '<param name="'),
        begins="<function name=",
        opening=f"<function name={NAMED}>",
        argument=f"<param name={KEYED}>",
        value_end="</param>",
        closing="</function>",
    ),
    TaggedCalls(
        name="glm",
        example="<tool_call>name<arg_key>...</arg_key><arg_value>...</arg_value></tool_call>",
        needs=("<tool_call", "<arg_key"),
        begins=f"<tool_call{_SUFFIX}>",
        opening=rf"<tool_call{_SUFFIX}>\s{{0,8}}(?P<name>[^<\n]{{1,200}})\s{{0,8}}(?:<tool_sep{_SUFFIX}>)?",
        argument=(
            rf"<arg_key{_SUFFIX}>(?P<key>[^<]{{1,200}})</arg_key{_SUFFIX}>\s{{0,8}}<arg_value{_SUFFIX}>"
        ),
        value_end=f"</arg_value{_SUFFIX}>",
        closing=f"</tool_call{_SUFFIX}>",
    ),
    TaggedCalls(
        name="seed-oss",
        example="<seed:tool_call><function=name><parameter=key>...</parameter></function></seed:tool_call>",
        needs=("seed:tool_call", "<function="),
        begins="<seed:tool_call>|<function=",
        opening=r"(?:<seed:tool_call>\s{0,8})?<function=(?P<name>[^>\n]{1,200})>",
        argument=r"<parameter=(?P<key>[^>\n]{1,200})>",
        value_end="</parameter>",
        closing="</function>",
        after=r"\s{0,8}</seed:tool_call>",
    ),
    TaggedCalls(
        name="qwen3-coder",
        example="<tool_call><function=name><parameter=key>...</parameter></function></tool_call>",
        needs=("<function=", "<parameter="),
        begins="<tool_call>|<function=",
        opening=r"(?:<tool_call>\s{0,8})?<function=(?P<name>[^>\n]{1,200})>",
        argument=r"<parameter=(?P<key>[^>\n]{1,200})>\n?",
        value_end=r"\n?</parameter>",
        closing="</function>",
        after=r"\s{0,8}</tool_call>",
    ),
)

_LISTED = (
    JsonCalls(
        name="command-r7b",
        example='<|START_ACTION|>[{"tool_name": "...", "parameters": {...}}]<|END_ACTION|>',
        needs=("<|START_ACTION|>", "<|END_ACTION|>"),
        opening="<|START_ACTION|>",
        closing="<|END_ACTION|>",
        keys=_COHERE,
    ),
    JsonCalls(
        name="command-r",
        example='Action:\n```json\n[{"tool_name": "...", "parameters": {...}}]```',
        needs=("Action:", "directly-answer"),
        opening="Action:\n```json\n",
        closing="```",
        keys=_COHERE,
        others=frozenset({"directly-answer", "directly_answer"}),
    ),
    JsonCalls(
        name="apertus",
        example='<|tools_prefix|>[{"name": {...}}]<|tools_suffix|>',
        needs=("<|tools_prefix|>", "<|tools_suffix|>"),
        opening="<|tools_prefix|>",
        closing="<|tools_suffix|>",
        keys=None,
    ),
    JsonCalls(
        name="nemotron-v2",
        example='<TOOLCALL>[{"name": "...", "arguments": {...}}]</TOOLCALL>',
        needs=("<TOOLCALL>", "</TOOLCALL>"),
        opening="<TOOLCALL>",
        closing="</TOOLCALL>",
    ),
    JsonCalls(
        name="tool-calls",
        example='<tool_calls>[{"name": "...", "arguments": {...}}]</tool_calls>',
        needs=("<tool_calls>", "</tool_calls>"),
        opening="<tool_calls>",
        closing="</tool_calls>",
    ),
    JsonCalls(
        name="granite-3",
        example='<|tool_call|>[{"name": "...", "arguments": {...}}]',
        needs=("<|tool_call|>",),
        opening="<|tool_call|>",
    ),
    JsonCalls(
        name="gigachat-3.1",
        example='<|function_call|>{"name": "...", "arguments": {...}}',
        needs=("<|function_call|>", "<|role_sep|>"),
        opening="<|function_call|>",
    ),
    JsonCalls(
        name="gigachat-3",
        example='function call<|role_sep|>\n{"name": "...", "arguments": {...}}',
        needs=("function call", "<|role_sep|>", "<|message_sep|>"),
        opening="function call<|role_sep|>",
    ),
    JsonCalls(
        name="firefunction",
        example='functools[{"name": "...", "arguments": {...}}]',
        needs=(" functools[",),
        opening="functools[",
        begun=1,
    ),
    JsonCalls(
        name="hermes",
        example='<tool_call>{"name": "...", "arguments": {...}}</tool_call>',
        needs=("<tool_call>", "</tool_call>"),
        opening="<tool_call>",
        closing="</tool_call>",
    ),
)

_MISTRAL = (
    MistralCalls(
        name="mistral-args",
        example="[TOOL_CALLS]name[ARGS]{...}",
        needs=("[TOOL_CALLS]", "[ARGS]"),
    ),
    MistralCalls(
        name="mistral",
        example='[TOOL_CALLS][{"name": "...", "arguments": {...}}]',
        needs=("[TOOL_CALLS]",),
        lacks=("[ARGS]",),
    ),
)

FORMATS: tuple[ToolFormat, ...] = (
    *DEEPSEEK,
    *_HEADED,
    *_TAGGED,
    MinimaxM3Calls(),
    GemmaCalls(),
    PythonCalls(),
    *_MISTRAL,
    *_LISTED,
    LlamaCalls(),
)
"""All formats. Where the sources of several would do, the first that reads the template's call is taken."""
