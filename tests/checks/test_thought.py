"""Checks on the thought of a reasoning model, and on replies that never came to an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.checks import HEALTH, contains, finished, matches_schema, thought
from pytest_llmcheck.verdict import CheckFailed, Status
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.engines.types import FinishReason


def reply(text: str, thinking: str | None, finish_reason: FinishReason = "stop") -> Reply:
    return replace(make_reply(text, finish_reason=finish_reason), thinking=thinking, health=HEALTH)


def test_it_judges_the_thought_and_others_do_not() -> None:
    given = reply("Yes.", "A refund is due.")
    given.expect(thought(contains("refund")), contains("Yes"))
    with pytest.raises(CheckFailed) as caught:
        given.expect(thought(contains("Yes")), contains("refund"))
    assert str(caught.value) == (
        "2 checks failed on f16, F16\n"
        "  thought(contains('Yes')): contains('Yes'): expected the text in the reply; missing: 'Yes'\n"
        "  contains('refund'): expected the text in the reply; missing: 'refund'\n"
        "  reply: 'Yes.'\n"
        "  thinking: 'A refund is due.'"
    )


def test_the_worst_verdict_counts() -> None:
    verdict = thought(contains("a"), contains("b"), contains("c"))(reply("x", "a"))
    assert verdict.status is Status.FAILED
    assert verdict.reason.splitlines() == [
        "contains('b'): expected the text in the reply; missing: 'b'",
        "contains('c'): expected the text in the reply; missing: 'c'",
    ]
    assert verdict.evidence == {"thinking": "a"}


def test_undecided_inside() -> None:
    verdict = thought(thought(contains("a")), contains("a"))(reply("x", "a"))
    assert verdict.status is Status.NOT_APPLICABLE


def test_no_thought_is_not_applicable() -> None:
    verdict = thought(contains("a"))(reply("a", None))
    assert verdict.status is Status.NOT_APPLICABLE
    assert "the reply has no thought" in verdict.reason


def test_an_empty_thought_is_one() -> None:
    assert thought(contains("a"))(reply("a", "")).status is Status.FAILED


def test_a_thought_that_was_cut_is_judged_as_cut() -> None:
    verdict = thought(matches_schema({}))(reply("", '{"a', "length"))
    assert verdict.status is Status.FAILED
    assert "cut off, so its JSON was not judged" in verdict.reason
    assert thought(matches_schema({}))(reply("x", '{"a": 1}', "length")).status is Status.PASSED


def test_no_check() -> None:
    with pytest.raises(ValueError, match="judges nothing"):
        thought()


def test_a_reply_that_ended_inside_its_thought() -> None:
    with pytest.raises(CheckFailed) as caught:
        reply("", "Hm.", "thought").expect()
    assert str(caught.value) == (
        "1 check failed on f16, F16\n"
        "  finished(): expected the model to end its reply, but it ended inside the thought, without an "
        "answer: look at reply.thinking; ask for less thinking, or switch it off if the chat template can "
        "(enable_thinking=False)\n"
        "  reply: ''\n"
        "  thinking: 'Hm.'"
    )
    reply("", "Hm.", "thought").expect(without=["finished"])


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("length", "it was cut at max_tokens before its thinking came to an answer: raise max_tokens"),
        ("context", "the context was full before its thinking came to an answer: raise n_ctx"),
    ],
)
def test_a_reply_that_was_cut_while_it_thought(reason: FinishReason, says: str) -> None:
    assert says in finished()(reply("", "Hm", reason)).reason
    assert "thinking" not in finished()(reply("Beca", "Hm.", reason)).reason
    assert "thinking" not in finished()(reply("", None, reason)).reason


def test_json_of_a_reply_that_ended_inside_its_thought() -> None:
    with pytest.raises(AssertionError, match=r"ended inside its thought"):
        reply("", "Hm.", "thought").json()
