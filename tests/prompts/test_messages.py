from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts import choose_template, normalise, with_system

if TYPE_CHECKING:
    from pathlib import Path

USER = {"role": "user", "content": "Hi"}
texts = st.text().filter(str.strip)


def problem(prompt: Any) -> str:
    with pytest.raises(PromptError) as caught:
        normalise(prompt)
    return str(caught.value)


@given(texts)
def test_text_becomes_one_user_message(text: str) -> None:
    assert normalise(text) == [{"role": "user", "content": text}]


@given(st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": texts})))
def test_well_formed_messages_stay_as_they_are(messages: list[dict[str, str]]) -> None:
    if messages:
        done = normalise(messages)
        assert done == messages == normalise(done)
        assert with_system(done, None) == done
        assert with_system(done, "x") == [{"role": "system", "content": "x"}, *done]


def test_nothing_is_shared_with_the_argument() -> None:
    part = {"type": "text", "text": "a"}
    given = [{"role": "user", "content": [part]}]
    done = normalise(given)
    part["text"] = "b"
    assert done == [{"role": "user", "content": [{"type": "text", "text": "a"}]}]


def test_all_keys() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "Weather?", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {}}}],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "1"},
    ]
    done = normalise(messages)
    assert "content" not in done[2]
    assert done == [{k: v for k, v in message.items() if v is not None} for message in messages]


@pytest.mark.parametrize(
    "prompt",
    ["", " \n", [], [{"role": "user", "content": ""}], [{"role": "user", "content": []}]],
)
def test_empty(prompt: Any) -> None:
    assert problem(prompt) == "the prompt is empty: give a text, or at least one message with content"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (USER, "the prompt: expected a text or a list of messages, got one message; put it into a list"),
        (None, "the prompt: expected a text or a list of messages, got NoneType"),
        (b"Hi", "the prompt: expected a text or a list of messages, got bytes"),
        ("a\ud800", "the prompt: a lone surrogate at character 1: not text that UTF-8 can hold"),
        (["Hi"], "messages[0]: expected a dict with 'role' and 'content', got str"),
        (
            [USER, {"content": "x"}],
            "messages[1]: no 'role'; one of system, developer, user, assistant, tool, ipython",
        ),
        ([{"role": "users", "content": "x"}], "messages[0].role: unknown role 'users'; did you mean 'user'?"),
        (
            [{"role": 3, "content": "x"}],
            "messages[0].role: unknown role 3; known: assistant, developer, ipython, system, tool, user",
        ),
        ([{"role": "user", "contents": "x"}], "messages[0]: unknown key 'contents'; did you mean 'content'?"),
        (
            [{"role": "user"}],
            "messages[0]: no 'content'; only an assistant message with 'tool_calls' or a thought may do "
            "without",
        ),
        (
            [{"role": "tool", "content": {"sky": "blue"}}],
            "messages[0].content: expected a text or a list of text parts, got a dict; json.dumps it, as "
            "tools do",
        ),
        (
            [{"role": "user", "content": 3}],
            "messages[0].content: expected a text or a list of text parts, got int",
        ),
        ([{"role": "user", "content": "x", "name": 3}], "messages[0].name: expected a text, got int"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            "messages[0].content[0]: a part of type 'image_url': this engine takes text only",
        ),
        (
            [{"role": "user", "content": ["x"]}],
            "messages[0].content[0]: expected {'type': 'text', 'text': ...}",
        ),
        (
            [{"role": "user", "content": [{"type": "text", "txt": "x"}]}],
            "messages[0].content[0]: unknown key 'txt'; did you mean 'text'?",
        ),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "messages[0].content[0].text: expected a text, got NoneType",
        ),
        (
            [{"role": "user", "content": "x", "tool_calls": []}],
            "messages[0].tool_calls: only an assistant calls tools, and the role is 'user'",
        ),
        (
            [{"role": "assistant", "content": "x", "tool_calls": ["f"]}],
            "messages[0].tool_calls: expected a list of dicts",
        ),
    ],
)
def test_refused(prompt: Any, expected: str) -> None:
    assert problem(prompt) == expected


def test_roles_and_keys_that_the_template_names() -> None:
    messages: list[dict[str, Any]] = [{"role": "judge", "content": "x", "weight": 0.5}]
    source = "{% for m in messages %}{% if m.role == 'judge' %}{{ m.weight }}{% endif %}{% endfor %}"
    assert normalise(messages, template_source=source) == messages
    assert problem(messages) == (
        "messages[0]: unknown key 'weight'; known: content, name, reasoning, reasoning_content, role, "
        "thinking, tool_call_id, tool_calls"
    )
    with pytest.raises(PromptError, match="unknown role 'judges'"):
        normalise([{"role": "judges", "content": "x"}], template_source=source)


def test_an_assistant_may_have_thought_only() -> None:
    messages = [{"role": "assistant", "thinking": "hm"}]
    assert normalise(messages) == messages


def test_never_two_system_messages() -> None:
    messages = normalise([{"role": "system", "content": "a"}, USER])
    with pytest.raises(PromptError) as caught:
        with_system(messages, "b")
    assert str(caught.value) == "messages[0]: a system message, and system= is given too; keep one of them"


def test_system_is_text() -> None:
    with pytest.raises(PromptError, match="system: expected a text, got int"):
        with_system([USER], 3)  # type: ignore[arg-type]  # wrong on purpose


class TestChooseTemplate:
    both = {"default": "D", "tool_use": "T"}  # noqa: RUF012 - read only

    def test_as_transformers_chooses(self) -> None:
        assert choose_template(self.both, None, model="m", tools=False) == "D"
        assert choose_template(self.both, None, model="m", tools=True) == "T"
        assert choose_template({"default": "D"}, None, model="m", tools=True) == "D"

    def test_none(self) -> None:
        with pytest.raises(PromptError) as caught:
            choose_template({}, None, model="m", tools=False)
        assert str(caught.value) == (
            "model 'm' has no chat template in its file, as is usual for a base model: "
            'use an instruct model, or set chat_template = "file.jinja" in [tool.llmcheck.models.m]'
        )

    def test_no_default(self) -> None:
        with pytest.raises(PromptError) as caught:
            choose_template({"tool_use": "T", "rag": "R"}, None, model="m", tools=False)
        assert str(caught.value) == (
            "model 'm' has no default chat template, only: rag, tool_use; "
            'set chat_template = "file.jinja" in [tool.llmcheck.models.m]'
        )

    def test_override(self, tmp_path: Path) -> None:
        file = tmp_path / "own.jinja"
        file.write_bytes(b"\xef\xbb\xbf{{ messages }}\r\n")
        assert choose_template(self.both, file, model="m", tools=True) == "{{ messages }}\n"

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "cannot be read: No such file or directory; the path is relative to the declaring file"),
            (b"a\xff", "not UTF-8 (byte 1), so no jinja template; correct the path"),
            (b" \n", "the file is empty, so every prompt would be"),
        ],
    )
    def test_bad_override(self, tmp_path: Path, content: bytes | None, expected: str) -> None:
        file = tmp_path / "own.jinja"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(PromptError) as caught:
            choose_template({"default": "D"}, file, model="m", tools=False)
        assert str(caught.value) == f"chat_template of model 'm': {file}: {expected}"
