"""Formats of tool calls: which template has which, and what is read out of a reply; judged by llama.cpp."""
# ruff: noqa: RUF001 - the wide bars are those of the tokens

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmcheck.engines.types import Completion, Request
from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts import ChatTemplate
from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, schemas_of
from pytest_llmcheck.prompts.tool_calls.catalogue import FORMATS
from pytest_llmcheck.prompts.tool_calls.recognise import ToolFormats
from pytest_llmcheck.session.hearing import calls_in
from tests.support.archive import archive
from tests.support.calling import TOOLS, parsed
from tests.support.chat_cases import Case, cases
from tests.support.effort import in_proportion
from tests.support.replies import TIMINGS

FOLDER = archive() / "vendor/llama.cpp/models/templates"
TEMPLATES = {file.stem: file for file in sorted(FOLDER.glob("*.jinja"))}

FORMATS_OF = {
    "apertus": "Apertus-8B-Instruct",
    "command-r": "CohereForAI-c4ai-command-r-plus-tool_use",
    "command-r7b": "Cohere2MoE CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    "deepseek-r1": (
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B deepseek-ai-DeepSeek-R1-Distill-Qwen-32B "
        "llama-cpp-deepseek-r1"
    ),
    "deepseek-v3.1": "deepseek-ai-DeepSeek-V3.1",
    "dsml": "deepseek-ai-DeepSeek-V3.2 deepseek-ai-DeepSeek-V4 deepseek-ai-DeepSeek-V4-Flash-0731",
    "firefunction": "fireworks-ai-llama-3-firefunction-v2",
    "functionary-v3.1": "meetkai-functionary-medium-v3.1",
    "functionary-v3.2": "meetkai-functionary-medium-v3.2",
    "gemma4": "google-gemma-4-31B-it google-gemma-4-31B-it-interleaved",
    "gigachat-3": "GigaChat3-10B-A1.8B",
    "gigachat-3.1": "GigaChat3.1-10B-A1.8B",
    "glm": (
        "GLM-4.6 GLM-4.7-Flash Spark2.5 inclusionai-ling-3.0-flash poolside-Laguna-S-2.1 "
        "poolside-Laguna-XS-2.1 poolside-Laguna-XS.2 tencent-Hy3"
    ),
    "gpt-oss": "openai-gpt-oss-120b",
    "granite-3": "ibm-granite-granite-3.3-2B-Instruct",
    "hermes": (
        "Bielik-11B-v3.0-Instruct MiMo-VL NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use "
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use Qwen-QwQ-32B Qwen-Qwen2.5-7B-Instruct Qwen-Qwen3-0.6B "
        "Reka-Edge ibm-granite-granite-4.0 ibm-granite-granite-4.1"
    ),
    "kimi-k2": "Kimi-K2-Instruct Kimi-K2-Thinking moonshotai-Kimi-K2",
    "kimi-k3": "Kimi-K3",
    "lfm2": "LFM2-8B-A1B LFM2.5-8B-A1B LFM2.5-Instruct",
    "llama3": (
        "meta-llama-Llama-3.1-8B-Instruct meta-llama-Llama-3.2-3B-Instruct meta-llama-Llama-3.3-70B-Instruct"
    ),
    "minicpm5": "openbmb-MiniCPM5-1B",
    "minimax-m2": "MiniMax-M2",
    "minimax-m3": "MiniMax-M3",
    "mistral": "mistralai-Mistral-Nemo-Instruct-2407",
    "mistral-args": (
        "Mistral-Small-3.2-24B-Instruct-2506 mistralai-Ministral-3-14B-Reasoning-2512 "
        "unsloth-mistral-Devstral-Small-2507"
    ),
    "muse": "muse-glimmer",
    "nemotron-v2": "NVIDIA-Nemotron-Nano-v2",
    "qwen3-coder": "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 Qwen3-Coder Qwen3.5-4B StepFun3.5-Flash",
    "seed-oss": "ByteDance-Seed-OSS",
    "solar": "upstage-Solar-Open-100B",
    "tool-calls": "Apriel-1.6-15b-Thinker-fixed MiniMax-M1 unsloth-Apriel-1.5",
}
TOOLLESS = {
    "HuggingFaceTB-SmolLM3-3B",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
}
"""Their templates in the collection never read tools."""

EXPECTED = {stem: name for name, stems in FORMATS_OF.items() for stem in stems.split()}
KNOWN = ToolFormats()


def template(stem: str) -> ChatTemplate:
    source = TEMPLATES[stem].read_text(encoding="utf-8")
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>")


def test_the_format_of_every_template_of_llama_cpp() -> None:
    assert TEMPLATES.keys() == EXPECTED.keys() | TOOLLESS
    found = {stem: KNOWN.of(template(stem)) for stem in TEMPLATES}
    named = {stem: known.name for stem, known in found.items() if known is not None}
    assert named == EXPECTED


def test_every_format_is_that_of_some_template() -> None:
    assert {known.name for known in FORMATS} == FORMATS_OF.keys()


class TestJudge:
    """llama.cpp's parsers, by their own test cases."""

    INSIDE_A_THOUGHT = (
        "<tool_call>\n<function=run_in_terminal>",
        "Need to inspect the current directory.",
        "Let me check the time\n\n<｜DSML｜tool_calls>",
        "<think>I need to call two functions<|tool_call",
    )
    """Three of its parsers end a thought that was not closed where a call begins. Here it stays a thought."""

    def test_calls(self) -> None:
        found, _ = cases()
        asked = [case for case in found if case.template.removesuffix(".jinja") in EXPECTED]
        with_calls = [case for case in asked if case.calls]
        differ = [case for case in asked if case.tools and not agrees(case)]
        other = [case for case in differ if not case.text.startswith(self.INSIDE_A_THOUGHT)]
        assert other == []
        # Against a harvest that finds nothing.
        assert len(with_calls) >= 200
        assert len({case.template for case in with_calls}) >= 40
        assert len(differ) == 5


def agrees(case: Case) -> bool:
    chat = template(case.template.removesuffix(".jinja"))
    known = KNOWN.of(chat)
    assert known is not None
    asked = [{"role": "user", "content": "Hey there!"}]
    try:
        prompt = chat.render(asked, tools=case.tools, enable_thinking=case.thinks)
    except PromptError:
        prompt = ""  # transformers refuses these templates too
    done = Completion(
        text=case.text, finish_reason="stop", tokens=(), end=None, prompt_ids=(), timings=TIMINGS
    )
    calls, _ = calls_in(done, Request(prompt=prompt), chat, known, case.tools)
    got = [(call.name, call.arguments) for call in calls]
    ids = all(expected[2] in ("", call.id) for expected, call in zip(case.calls, calls, strict=False))
    return got == [expected[:2] for expected in case.calls] and ids


LETTERS = st.text(st.sampled_from("abcXYZ 0é漢😀.,:;!?'\"\\/&<>[]{}()|=_-#\n\t"), max_size=30)
PLAIN = st.text(st.sampled_from("abcXYZ 0é漢.,:;!?&-"), min_size=1, max_size=20).map(str.strip).filter(bool)
"""Texts without quotes and brackets: what formats with tags can hold at all."""

RENDERED = sorted(
    stem
    for stem, name in EXPECTED.items()
    # No call of these can be rendered: templates that drop calls, or that are refused.
    if name not in ("granite-3", "firefunction")
    and stem not in ("Kimi-K2-Instruct", "Kimi-K2-Thinking", "LFM2-8B-A1B", "LFM2.5-Instruct")
    and "R1-Distill-Llama" not in stem
    and stem != "llama-cpp-deepseek-r1"
)
QUOTING = {
    "apertus",
    "command-r",
    "command-r7b",
    "deepseek-v3.1",
    "gpt-oss",
    "hermes",
    "kimi-k2",
    "llama3",
    "mistral",
    "mistral-args",
    "nemotron-v2",
    "solar",
    "tool-calls",
}
"""Formats whose arguments are JSON: they hold any text."""

SINGLE = ("llama3", "gpt-oss", "gigachat-3", "gigachat-3.1")
"""Their templates take one call a turn."""


def rendered(stem: str, made: list[tuple[str, dict[str, Any]]]) -> str:
    """What a template prints of an assistant's calls, after the prompt."""
    chat = template(stem)
    asked = [{"role": "user", "content": "Tell me."}]
    before = chat.render(asked, tools=TOOLS)
    for content in ("", None):
        for dump in (dict, json.dumps):
            calls = [
                {
                    "id": f"call0000{at}",
                    "type": "function",
                    "function": {"name": name, "arguments": dump(arguments)},
                }
                for at, (name, arguments) in enumerate(made)
            ]
            said = {"role": "assistant", "content": content, "tool_calls": calls}
            try:
                text = chat.render([*asked, said], tools=TOOLS, add_generation_prompt=False)
            except PromptError:
                continue
            shared = text[
                : next((at for at, c in enumerate(before) if not text.startswith(c, at)), len(before))
            ]
            # The generation prompt may begin as the call does, such as <think> and <tool_call>.
            written = text[len(re.sub(r"[<\[][^<>\[\]\s]*\Z", "", shared)) :]
            if made[0][0] in written:
                return written
    raise AssertionError(f"{stem} renders no call")


@pytest.mark.parametrize("stem", RENDERED)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_a_template_renders_reads_back(stem: str, data: st.DataObject) -> None:
    name = EXPECTED[stem]
    texts = LETTERS if name in QUOTING else PLAIN
    weather = st.fixed_dictionaries(
        {"city": texts}, optional={"days": st.integers(1, 10**9), "unit": st.sampled_from("CF")}
    )
    first = data.draw(weather)
    made = [("get_weather", first)]
    if name not in SINGLE:
        made += [("get_time", {"zone": zone}) for zone in data.draw(st.lists(texts, max_size=2))]
    text = rendered(stem, made)
    if name == "llama3":
        text = text.removesuffix("<|eot_id|>")
    found = parsed(text, name)
    assert [(call.name, call.arguments) for call in found if isinstance(call, ToolCall)] == made
    assert len(found) == len(made)
    assert all(text[call.start : call.end] == call.text for call in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


ODD = st.lists(
    st.sampled_from(
        [
            "<tool_call>",
            "</tool_call>",
            '{"name": "get_weather", ',
            '"arguments": {',
            '"parameters": {',
            "}",
            "]",
            "[",
            "<function=",
            "get_weather",
            ">",
            "<parameter=city>",
            "</parameter>",
            "</function>",
            "[TOOL_CALLS]",
            "[ARGS]",
            "<|python_tag|>",
            ".call(",
            "city=",
            '"',
            "'",
            "\\",
            "\\ud800",
            ",",
            ":",
            " ",
            "\n",
            "1e999",
            "NaN",
            "<|channel|>commentary to=functions.",
            "<|message|>",
            "<arg_key>",
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
            "<|tool_call_start|>[",
            "<|tool_call>call:",
            '<|"|>',
            "<｜tool▁call▁begin｜>",
            '<invoke name="',
            '<parameter name="',
            ">>>",
            "x",
            "<![CDATA[",
        ]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=ODD | st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    for known in FORMATS:
        at = 0
        for call in known.parse(text, schemas_of(TOOLS)):
            assert at <= call.start <= call.end <= len(text)
            assert call.text == text[call.start : call.end]
            at = call.end
            if isinstance(call, BrokenCall):
                assert call.problem
                assert call.start <= call.position <= len(text)
            else:
                json.dumps(call.arguments, ensure_ascii=False, allow_nan=False).encode()


HOSTILE = [
    "[",
    '{"a":',
    "<tool_call>[",
    "<tool_call>{",
    '<tool_call>{"name": "',
    '<tool_call>"',
    '<tool_call>\\"',
    " ",
    "<function=a><parameter=b>",
    "<function=a><parameter=b><![CDATA[",
    "<|tool_call_start|>[f(a='",
    "\n;",
    "<|tool_call_start|>[f(a=[",
    "<|tool_call>call:f{a:",
    "<|tool_call>call:f{a:[",
    '{"name": ',
    "]]>",
    "<arg_key>",
    "<tool_call>a<arg_key>b</arg_key><arg_value>",
    "<｜DSML｜invoke name=",
    "\\",
    '{"name": "f", "parameters": {}}',
    "<|python_tag|>f.call(a=",
    "[TOOL_CALLS]f[ARGS]",
    "1" * 50,
    "<tool_call>1",
]


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_a_long_hostile_text_takes_time_in_proportion(known: Any) -> None:
    """Beginnings without ends, again and again."""
    schemas = schemas_of(TOOLS)
    slow = []
    own = [known.example, *(known.example[:half] for half in (8, 14, 20, 30))]
    for part in [*own, *HOSTILE]:

        def read(size: int, part: str = part) -> None:
            for _ in known.parse(part * (size // len(part) + 1), schemas):
                pass

        if not in_proportion(read, 50_000):
            slow.append(part)
    assert slow == []


def test_many_broken_calls() -> None:
    """Python's reader of JSON counts the lines before each error, from the beginning of what it is given."""
    assert len(parsed("<tool_call>[" * 25_000, "hermes")) == 25_000
    assert in_proportion(lambda count: parsed("<tool_call>[" * count, "hermes"), 25_000)


@pytest.mark.parametrize("size", [1000, 1024, 1040, 5000])
def test_a_long_call(size: int) -> None:
    arguments = {"city": "é" * size, "days": 10**15}
    text = f"<tool_call>{json.dumps({'name': 'get_weather', 'arguments': arguments})}</tool_call>"
    (call,) = parsed(text, "hermes")
    assert isinstance(call, ToolCall)
    assert call.arguments == arguments
    (broken,) = parsed(text.replace("]", "").replace("}}", "}"), "hermes")
    assert isinstance(broken, BrokenCall)
    assert text[broken.position - 1] == "}"
