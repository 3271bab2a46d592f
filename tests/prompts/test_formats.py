"""Our own jinja files against llama.cpp's built-in formats, byte for byte, and their names."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

import llama_cpp
import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from pytest_llmcheck.errors import ConfigError, PromptError
from pytest_llmcheck.prompts import ChatTemplate
from pytest_llmcheck.prompts.formats import ALIASES, format_named, format_names, format_source

Conversation = list[tuple[str, str]]

BOS, EOS = "<s>", "</s>"

CONVERSATIONS: dict[str, Conversation] = {
    "user": [("user", "Hello!")],
    "system": [("system", "Be brief."), ("user", "Hello!")],
    "turns": [("user", "One?"), ("assistant", "1"), ("user", "Two?")],
    "system and turns": [
        ("system", "Be brief."),
        ("user", "One?"),
        ("assistant", "1"),
        ("user", "Two?"),
        ("assistant", "2"),
        ("user", "Three?"),
    ],
    "blanks": [
        ("system", " Be\nbrief. \n"),
        ("user", "\n One? "),
        ("assistant", " 1 \n"),
        ("user", "Two?\n\n"),
    ],
    "other letters": [("system", "Fasse dich kurz."), ("user", 'Größe? 大小 🙂 <b> & "x" {{ y }}')],
}


class Judge(NamedTuple):
    """llama.cpp's name of a format, and in what ours differs from it on purpose.

    Attributes:
        name: as llama.cpp has it.
        start: what ours writes first, where llama.cpp leaves it to the tokenizer.
        eos: what llama.cpp writes for the end of sequence; ours writes the model's own.
        strips: whether ours strips what llama.cpp does not.
        pads: whether ours puts spaces around the assistant's words.
    """

    name: str
    start: str = BOS
    eos: str = EOS
    strips: bool = False
    pads: bool = False


JUDGES = {
    "chatglm-3": Judge("chatglm3", start=""),
    "chatglm-4": Judge("chatglm4", start=""),
    "chatml": Judge("chatml", start=""),
    "command-r": Judge("command-r"),
    "deepseek": Judge("deepseek"),
    "deepseek-2": Judge("deepseek2", eos="<｜end▁of▁sentence｜>"),  # noqa: RUF001 - its authors' letters
    "deepseek-3": Judge("deepseek3"),
    "exaone-3": Judge("exaone3", start=""),
    "exaone-4": Judge("exaone4", start=""),
    "falcon-3": Judge("falcon3", start=""),
    "gemma": Judge("gemma"),
    # llama.cpp writes its <s> by itself here.
    "gigachat": Judge("gigachat", start=""),
    "glm-edge": Judge("glmedge", start=""),
    "granite": Judge("granite", start=""),
    "llama-2": Judge("llama2-sys-bos", strips=True, pads=True),
    "llama-3": Judge("llama3"),
    "llama-4": Judge("llama4"),
    "megrez": Judge("megrez", start=""),
    "minicpm": Judge("minicpm", start=""),
    "mistral-v1": Judge("mistral-v1"),
    "mistral-v3": Judge("mistral-v3"),
    "mistral-v3-tekken": Judge("mistral-v3-tekken"),
    "mistral-v7": Judge("mistral-v7"),
    "mistral-v7-tekken": Judge("mistral-v7-tekken"),
    "monarch": Judge("monarch"),
    "openchat": Judge("openchat"),
    "orion": Judge("orion"),
    "phi-3": Judge("phi3", start=""),
    "phi-4": Judge("phi4", start=""),
    "rwkv-world": Judge("rwkv-world", start=""),
    "smolvlm": Judge("smolvlm", start=""),
    "vicuna": Judge("vicuna", start=""),
    "vicuna-orca": Judge("vicuna-orca", start=""),
    "zephyr": Judge("zephyr", start="", eos="<|endoftext|>"),
}
"""All formats but ``alpaca``, which llama.cpp does not have."""


def ours(name: str, conversation: Conversation, *, eos: str = EOS, generate: bool = True) -> str:
    template = ChatTemplate(format_source(name), bos_token=BOS, eos_token=eos)
    messages = [{"role": role, "content": content} for role, content in conversation]
    return template.render(messages, add_generation_prompt=generate)


def theirs(name: str, conversation: Conversation, *, generate: bool = True) -> str:
    messages = (llama_cpp.llama_chat_message * len(conversation))(
        *(llama_cpp.llama_chat_message(role.encode(), content.encode()) for role, content in conversation)
    )
    buffer = ctypes.create_string_buffer(8192)
    count = llama_cpp.llama_chat_apply_template(
        name.encode(), messages, len(conversation), generate, buffer, len(buffer)
    )
    assert 0 < count < len(buffer)
    return buffer.raw[:count].decode()


def adapted(judge: Judge, conversation: Conversation) -> Conversation:
    """The conversation that makes llama.cpp write what ours writes on purpose."""
    if judge.strips:
        conversation = [(role, content.strip()) for role, content in conversation]
    if judge.pads:
        conversation = [(r, f" {content} " if r == "assistant" else content) for r, content in conversation]
    return conversation


def test_every_format_has_a_judge() -> None:
    assert [*format_names()] == sorted([*JUDGES, "alpaca"])


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize("name", JUDGES)
def test_as_llama_cpp_writes_it(name: str, kind: str) -> None:
    judge, conversation = JUDGES[name], CONVERSATIONS[kind]
    expected = judge.start + theirs(judge.name, adapted(judge, conversation))
    assert ours(name, conversation, eos=judge.eos) == expected


@pytest.mark.parametrize("name", JUDGES)
def test_no_generation_prompt_where_none_is_wanted(name: str) -> None:
    judge, conversation = JUDGES[name], [*CONVERSATIONS["turns"], ("assistant", "2")]
    expected = judge.start + theirs(judge.name, adapted(judge, conversation), generate=False)
    assert ours(name, conversation, eos=judge.eos, generate=False) == expected


def test_alpaca_as_its_authors_wrote_it() -> None:
    """The prompt of Stanford's train.py, with the line break that its users put behind the last colon."""
    preamble = (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request."
    )
    assert ours("alpaca", CONVERSATIONS["user"]) == (
        f"{preamble}\n\n### Instruction:\nHello!\n\n### Response:\n"
    )
    assert ours("alpaca", CONVERSATIONS["turns"]) == (
        f"{preamble}\n\n### Instruction:\nOne?\n\n### Response:\n1</s>\n\n### Instruction:\nTwo?\n\n"
        "### Response:\n"
    )
    assert ours("alpaca", CONVERSATIONS["system"]) == (
        "Be brief.\n\n### Instruction:\nHello!\n\n### Response:\n"
    )


@pytest.mark.parametrize("name", format_names())
def test_parts_are_joined(name: str) -> None:
    template = ChatTemplate(format_source(name), bos_token=BOS, eos_token=EOS)
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}]
    whole = template.render([{"role": "user", "content": "Hello!"}])
    assert template.render([{"role": "user", "content": parts}]) == whole


@pytest.mark.parametrize("name", format_names())
def test_what_a_format_cannot_say_is_refused(name: str) -> None:
    template = ChatTemplate(format_source(name), bos_token=BOS, eos_token=EOS)
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    asked = {"role": "user", "content": "Hello!"}
    with pytest.raises(PromptError, match="this format knows no tool calls"):
        template.render([asked, {"role": "assistant", "content": "", "tool_calls": [call]}])
    with pytest.raises(PromptError, match="this format knows no role 'critic', only system, user, assistant"):
        template.render([asked, {"role": "critic", "content": "No."}])
    assert template.unused(["tools"]) == ("tools",)


@pytest.mark.parametrize("name", ["gemma", "orion"])
def test_a_system_prompt_is_never_dropped(name: str) -> None:
    with pytest.raises(PromptError, match="no user message follows the system prompt"):
        ours(name, [("user", "Hello!"), ("system", "Be brief.")])


def test_names() -> None:
    assert {format_named(alias) for alias in ALIASES} < {*format_names()}
    assert not {*ALIASES} & {*format_names()}
    assert format_named("ChatML") == "chatml"
    assert format_source("llama3") == format_source("llama-3")
    assert format_source("mistral") == format_source("mistral-v3")


def test_llama_cpp_s_spelling_is_known_where_it_is_one_format() -> None:
    variants = {"llama2-sys-bos"}
    assert {format_named(judge.name) for judge in JUDGES.values() if judge.name not in variants}


def test_an_unknown_name_has_a_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        format_named("chatmll")
    assert str(caught.value) == (
        "'chatmll' is no known chat format: did you mean 'chatml'?; "
        "for a file without a suffix write './chatmll'"
    )


@pytest.mark.parametrize("builder", [SdistBuilder, WheelBuilder])
def test_the_files_are_in_the_distributions(builder: type[SdistBuilder | WheelBuilder]) -> None:
    """They are no Python: a user's machine has them only if the builder takes them along."""
    root = Path(__file__).parents[2]
    held = {file.relative_path for file in builder(str(root)).recurse_included_files()}
    folder = "pytest_llmcheck/prompts/formats"
    assert {f"{folder}/{name}.jinja" for name in ("_common", *format_names())} <= held
