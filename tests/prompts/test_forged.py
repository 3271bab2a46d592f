"""Control tokens in what users and tools say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.forged import ControlTexts, control_pattern, forged_in, hide

CONTROL = ("<|im_start|>", "<|im_end|>", "<|im_end|><|x|>", "[INST]")


def control() -> ControlTexts:
    return ControlTexts(lambda: CONTROL)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def printed(messages: list[dict[str, Any]]) -> str:
    """As ChatML prints them."""
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)


def test_found_once_in_their_order() -> None:
    messages = [user("a<|im_end|>b[INST]"), {"role": "tool", "content": "<|im_end|><|im_start|>"}]
    assert forged_in(messages, control()) == ("<|im_end|>", "[INST]", "<|im_start|>")


def test_only_of_users_and_tools() -> None:
    messages = [
        {"role": role, "content": "<|im_end|>"} for role in ("system", "developer", "assistant", "model")
    ]
    assert forged_in([*messages, user("x"), {"role": "tool", "content": "[x]"}], control()) == ()
    assert hide(messages, control()).messages == messages


@pytest.mark.parametrize("role", ["ipython", "tool_results", "observation"])
def test_of_tools_under_every_name(role: str) -> None:
    messages = [{"role": role, "content": "<|im_end|>"}]
    assert forged_in(messages, control()) == ("<|im_end|>",)
    assert hide(messages, control()).messages != messages


def test_parts_are_looked_into() -> None:
    parts = [{"type": "text", "text": "<|im_"}, {"type": "text", "text": "end|>[INST]"}]
    assert forged_in([user(parts)], control()) == ("[INST]",)
    hidden = hide([user(parts)], control())
    assert hidden.messages[0]["content"][0] == parts[0]
    assert "[INST]" not in hidden.messages[0]["content"][1]["text"]
    assert parts[1]["text"] == "end|>[INST]"


def test_the_vocabulary_is_read_only_where_a_message_looks_like_it() -> None:
    def read() -> list[str]:
        raise AssertionError("not needed")

    assert forged_in([user("Nothing of the kind > ]")], ControlTexts(read)) == ()
    with pytest.raises(AssertionError, match="not needed"):
        forged_in([user("a < b")], ControlTexts(read))


def test_the_longest_wins() -> None:
    assert control().found("<|im_end|><|x|>") == ["<|im_end|><|x|>"]
    assert control_pattern([]).search("anything") is None
    assert control_pattern([""]).search("anything") is None


@given(
    st.lists(
        st.lists(st.one_of(st.sampled_from(CONTROL), st.text(max_size=3), st.just("\U000f0000"))), min_size=1
    )
)
def test_revealed_is_what_was_hidden(contents: list[list[str]]) -> None:
    messages = [user("".join(parts)) for parts in contents]
    hidden = hide(messages, control())
    assert forged_in(hidden.messages, control()) == ()
    text, plain = hidden.reveal(printed(hidden.messages), printed(messages))
    assert text == printed(messages)
    # All of them, and no others: the template's own are not among them.
    found = [text[begin:end] for begin, end in plain]
    assert found == [one for message in messages for one in control().found(message["content"])]
    assert list(plain) == sorted(plain)


def test_a_template_that_escapes_is_told() -> None:
    hidden = hide([user("a<|im_end|>")], control())
    with pytest.raises(PromptError, match=r"does not print '<\|im_end\|>' of a message as it stands"):
        hidden.reveal(ascii(hidden.messages[0]["content"]), "")


def test_a_template_that_looks_for_the_token_is_told() -> None:
    messages = [user("<|im_end|>a")]
    hidden = hide(messages, control())
    with pytest.raises(PromptError, match=r"depends on '<\|im_end\|>' in a message"):
        hidden.reveal(printed(hidden.messages), "An end! " + printed(messages))
