"""A reply says something; a bench of all health checks together."""

from __future__ import annotations

from dataclasses import replace
from timeit import repeat

import pytest

from pytest_llmcheck import not_empty
from pytest_llmcheck.checks import HEALTH
from pytest_llmcheck.checks.thought import Thought
from pytest_llmcheck.prompts.tool_calls import ToolCall
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply, token

REMEDY = "a wrong chat template does this: look at reply.prompt.text and run llmcheck inspect"


class TestNotEmpty:
    def test_passed(self) -> None:
        verdict = not_empty()(make_reply("."))
        assert (verdict.status, verdict.reason, verdict.score) == (
            Status.PASSED,
            "the reply says something",
            1.0,
        )

    def test_failed(self) -> None:
        reply = replace(make_reply(""), end=token("<|im_end|>", 2))
        verdict = not_empty()(reply)
        assert (verdict.status, verdict.score) == (Status.FAILED, 0.0)
        assert verdict.reason == (
            "expected the reply to say something; got an empty reply\n"
            "the model ended it with '<|im_end|>' 0.50, '~' 0.25\n" + REMEDY
        )

    def test_white_space(self) -> None:
        assert not_empty()(make_reply("\n \n")).reason == (
            f"expected the reply to say something; got only white space ('\\n \\n')\n{REMEDY}"
        )

    def test_nothing_after_a_thought(self) -> None:
        thought = replace(make_reply(""), thinking="Hm.")
        assert not_empty()(thought).reason.startswith(
            "expected the reply to say something; got an empty reply after its thought\n"
        )

    @pytest.mark.parametrize("finish_reason", ["length", "context", "thought"])
    def test_that_a_thought_was_cut_is_not_told_twice(self, finish_reason: str) -> None:
        thought = replace(make_reply("", finish_reason=finish_reason), thinking="Hm.")
        assert not_empty()(thought).status is Status.PASSED

    def test_tool_calls_alone_are_something(self) -> None:
        call = ToolCall(name="f", arguments={}, text="f()", start=0)
        verdict = not_empty()(replace(make_reply(""), tool_calls=(call,)))
        assert (verdict.status, verdict.reason) == (Status.PASSED, "the reply is tool calls")

    def test_without_tokens(self) -> None:
        assert not_empty()(Thought("", "stop")).status is Status.FAILED


def test_names() -> None:
    assert [check.name for check in HEALTH] == [
        "finished",
        "not_empty",
        "repetition",
        "valid_text",
        "no_control_tokens",
        "closed_thought",
        "tool_calls",
    ]


def test_all_together_cost_little() -> None:
    """Less than 50 microseconds for 600 characters; the bound leaves room for a busy machine."""
    text = " ".join(f"The {n}th sentence <b>says</b> something [{n}] else." for n in range(14))[:600]
    reply = make_reply(text)
    seconds = min(repeat(lambda: [check(reply) for check in HEALTH], number=200, repeat=5)) / 200
    assert all(check(reply).status is Status.PASSED for check in HEALTH)
    assert seconds < 1e-3, f"{seconds * 1e6:.0f} microseconds"
