"""The parts of a rendered prompt, over all templates of llama.cpp."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.parts import locate
from pytest_llmcheck.prompts.template import ChatTemplate
from tests.support.archive import archive
from tests.support.gguf_files import CHATML

if TYPE_CHECKING:
    from pytest_llmcheck.prompts.parts import Part

FOLDER = archive() / "vendor/llama.cpp/models/templates"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Where"}},
                "required": ["city"],
            },
        },
    }
]
EXTRA: dict[str, Any] = {"functions": "[]", "datetime": "now"}
"""What one of the templates reads besides."""

SYSTEM = {"role": "system", "content": "Be brief, system."}
CALL = {"id": "abcdef123", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    # A content that templates print themselves, and contents that occur twice.
    "user": [{"role": "user", "content": "user"}],
    "system": [SYSTEM, {"role": "user", "content": "system"}],
    "talk": [
        SYSTEM,
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "The first answer."},
        {"role": "user", "content": "  one \n"},
    ],
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": "Part A."}, {"type": "text", "text": "B!"}]}
    ],
    "thought": [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nBecause."},
        {"role": "user", "content": "And?"},
    ],
    "tool": [
        {"role": "user", "content": "How is Rome?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny, 31", "name": "weather", "tool_call_id": "abcdef123"},
    ],
    "empty": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "y"},
    ],
}


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>")


def located(parts: tuple[Part, ...], text: str) -> list[tuple[str, str]]:
    return [(part.kind, text[part.start : part.end]) for part in parts]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.jinja")), ids=lambda file: Path(file).stem)
def test_they_cover_the_text_and_each_content_lies_in_its_part(file: Path) -> None:
    made = template(file.read_text(encoding="utf-8"))
    seen = 0
    for name, messages in CONVERSATIONS.items():
        for tools in (None, TOOLS):
            try:
                text = made.render(messages, tools=tools, **EXTRA)
            except PromptError:
                continue
            seen += 1
            parts = locate(made, text, messages, tools=tools, **EXTRA)
            assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])], name
            assert parts[-1].end == len(text), name
            assert all(part.start < part.end for part in parts), name
            assert all(one.kind != other.kind for one, other in pairwise(parts)), name
            check_contents(messages, located(parts, text), name)
    assert seen


def check_contents(messages: list[dict[str, Any]], parts: list[tuple[str, str]], name: str) -> None:
    """Whatever of a message is printed stands in a part of its kind."""
    said: dict[str, str] = {}
    for kind, text in parts:
        said[kind] = said.get(kind, "") + text
    last = max(at for at, message in enumerate(messages) if message["role"] == "user")
    for at, message in enumerate(messages):
        kind = "user" if at == last else "system" if message["role"] == "system" else "history"
        content = message["content"]
        for one in [content] if isinstance(content, str) else [part["text"] for part in content]:
            # Some templates cut the thought out of earlier turns.
            words = one.rpartition("</think>")[2].strip()
            if any(words in text for _, text in parts):
                assert words in said.get(kind, ""), (name, kind, words)


def test_chatml_to_the_character() -> None:
    made = template(CHATML)
    messages = CONVERSATIONS["talk"]
    text = made.render(messages)
    assert located(locate(made, text, messages), text) == [
        ("system", "<|im_start|>system\nBe brief, system.<|im_end|>\n"),
        (
            "history",
            "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\nThe first answer.<|im_end|>\n",
        ),
        ("user", "<|im_start|>user\n  one \n<|im_end|>\n"),
        ("generation", "<|im_start|>assistant\n"),
    ]


def test_what_the_template_says_by_itself_is_the_system_prompt() -> None:
    made = template((FOLDER / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text(encoding="utf-8"))
    messages = CONVERSATIONS["user"]
    text = made.render(messages)
    assert located(locate(made, text, messages), text) == [
        (
            "system",
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. "
            "You are a helpful assistant.<|im_end|>\n",
        ),
        ("user", "<|im_start|>user\nuser<|im_end|>\n"),
        ("generation", "<|im_start|>assistant\n"),
    ]


def test_tools_in_the_middle_of_a_message() -> None:
    made = template((FOLDER / "meta-llama-Llama-3.1-8B-Instruct.jinja").read_text(encoding="utf-8"))
    messages = [SYSTEM, {"role": "user", "content": "How is Rome?"}]
    text = made.render(messages, tools=TOOLS)
    kinds = [kind for kind, _ in located(locate(made, text, messages, tools=TOOLS), text)]
    assert kinds == ["system", "tools", "system", "user", "tools", "user", "generation"]


def test_the_system_prompt_in_the_last_message_of_the_user() -> None:
    made = template((FOLDER / "mistralai-Mistral-Nemo-Instruct-2407.jinja").read_text(encoding="utf-8"))
    messages = CONVERSATIONS["talk"]
    text = made.render(messages)
    assert located(locate(made, text, messages), text) == [
        ("history", "<s>[INST]one[/INST]The first answer.</s>"),
        ("system", "[INST]Be brief, system.\n\n"),
        ("user", "  one \n[/INST]"),
    ]


def test_documents() -> None:
    source = (
        "{% if documents %}<|docs|>{% for d in documents %}{{ d.text }};{% endfor %}<|end|>{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    made = template(source)
    messages = CONVERSATIONS["user"]
    documents = [{"text": "Rome is old."}, {"text": "user"}]
    text = made.render(messages, documents=documents)
    assert located(locate(made, text, messages, documents=documents), text) == [
        ("documents", "<|docs|>Rome is old.;user;<|end|>"),
        ("user", "<|user|>user<|end|>"),
        ("generation", "<|assistant|>"),
    ]


def test_variables_of_any_name() -> None:
    made = template("{{ text }}{{ template }}{{ messages[0].content }}")
    messages = CONVERSATIONS["user"]
    given: dict[str, Any] = {"text": "a", "template": "b"}
    text = made.render(messages, **given)
    assert [part.end for part in locate(made, text, messages, **given)][-1] == len(text)


def test_a_template_that_breaks_a_limit_with_other_messages() -> None:
    made = template("{% if not add_generation_prompt %}{{ 'x' * 10**9 }}{% endif %}{{ messages[0].content }}")
    messages = CONVERSATIONS["user"]
    text = made.render(messages)
    with pytest.raises(PromptError, match="of memory that a template may take"):
        locate(made, text, messages)


def test_a_template_that_says_nothing_of_the_messages() -> None:
    made = template("Hello")
    messages = CONVERSATIONS["talk"]
    assert located(locate(made, "Hello", messages), "Hello") == [("user", "Hello")]
