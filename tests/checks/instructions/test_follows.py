"""Several instructions at once: the strict verdict, the loose one beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck import (
    Status,
    contains,
    follows,
    language,
    no_commas,
    quoted,
    title,
    uppercase,
    words,
)
from pytest_llmcheck.checks.instructions import Judgement, judge
from tests.support.replies import make_reply

CHECKS = st.lists(
    st.sampled_from([no_commas(), words(at_most=2), uppercase(), quoted(), language("de"), title()]),
    min_size=1,
    max_size=4,
)
TEXTS = st.text("aB ,\n*\"'", max_size=12)


@dataclass(frozen=True)
class Said:
    text: str
    finish_reason: str = "stop"


def test_all_followed() -> None:
    verdict = follows(words(at_most=3), no_commas())(make_reply("Yes it is"))
    assert (verdict.status, verdict.score) == (Status.PASSED, 1.0)
    assert verdict.check == "follows(words(at_most=3), no_commas())"
    assert verdict.reason == "2 of 2 instructions followed, loosely 2"


def test_some_followed() -> None:
    reply = make_reply("Sure, here:\n<<Ode>>\nAbc", pieces=["Sure", ",", " here", ":\n", "<<Ode>>\n", "Abc"])
    verdict = follows(no_commas(), title(), words(at_most=1))(reply)
    assert (verdict.status, verdict.score) == (Status.FAILED, 1 / 3)
    assert verdict.reason.split("\n") == [
        "1 of 3 instructions followed, loosely 3",
        "no_commas(): expected no comma, got 1 comma:",
        "  Sure, here:",
        "      ^",
        "  the token there: ',' 0.50, '~' 0.25",
        "  loosely it is followed",
        "words(at_most=1): expected at most 1 word, got 4; the first too many:",
        "  Sure, here:",
        "        ^",
        "  the token there: ' here' 0.50, '~' 0.25",
        "  loosely it is followed",
    ]
    assert verdict.evidence == {
        "strict": False,
        "loose": True,
        "instructions": [
            {
                "check": "no_commas()",
                "strict": False,
                "loose": True,
                "reason": "expected no comma, got 1 comma:",
                "count": 1,
                "position": 4,
            },
            {
                "check": "title()",
                "strict": True,
                "loose": True,
                "reason": "the title is 'Ode'",
                "title": "Ode",
            },
            {
                "check": "words(at_most=1)",
                "strict": False,
                "loose": True,
                "reason": "expected at most 1 word, got 4; the first too many:",
                "count": 4,
                "position": 6,
            },
        ],
    }


def test_undecided() -> None:
    verdict = follows(no_commas(), language("de"))(make_reply("123"))
    assert (verdict.status, verdict.score) == (Status.INCONCLUSIVE, 0.5)
    assert verdict.reason == (
        "1 of 2 instructions followed, loosely 1\n"
        "language('de'): undecided; expected German (de); no language can be told from this text"
    )
    assert follows(quoted(), language("de"))(make_reply("123")).status is Status.FAILED


def test_an_instruction_alone_is_strict() -> None:
    reply = make_reply("Sure, here:\nYes it is")
    assert judge(reply.text, [no_commas()]).loose == (True,)
    assert no_commas()(reply).status is Status.FAILED


def test_wrong_arguments() -> None:
    with pytest.raises(
        ValueError, match=r"^follows\(\) judges nothing; give instructions, such as follows\(no_"
    ):
        follows()
    for other in (contains("a"), "no commas"):
        message = re.escape(f"takes instruction checks such as words(at_most=60), got {other!r}")
        with pytest.raises(TypeError, match=f"^follows {message}$"):
            follows(other)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(TypeError, match=f"^judge {message}$"):
            judge("text", [other])  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(TypeError) as caught:
        judge("text", no_commas())  # type: ignore[arg-type]  # the point
    assert str(caught.value) == "judge takes a list of instruction checks: write judge(text, [no_commas()])"


@given(TEXTS, CHECKS)
def test_laws(text: str, checks: list[object]) -> None:
    judged = judge(text, checks)  # type: ignore[arg-type]  # wrong on purpose
    alone = [judge(text, [check]) for check in checks]  # type: ignore[list-item]  # wrong on purpose
    assert judged.strict == tuple(one.strict[0] for one in alone)
    assert judged.loose == tuple(one.loose[0] for one in alone)
    # What is followed strictly is followed loosely; what fails loosely fails strictly.
    for strict, loose in zip(judged.strict, judged.loose, strict=True):
        assert loose is True or strict is not True
        assert strict is False or loose is not False
    verdict = follows(*checks)(Said(text))  # type: ignore[arg-type]  # wrong on purpose
    assert verdict.status == {True: "passed", False: "failed", None: "inconclusive"}[judged.all_strict]
    assert verdict.score == judged.strict.count(True) / len(checks)


@pytest.mark.parametrize(
    ("strict", "all_"),
    [((True, True), True), ((True, False), False), ((True, None), None), ((None, False), False)],
)
def test_all(strict: tuple[bool | None, ...], all_: bool | None) -> None:
    judged = Judgement(("a", "b"), strict, strict[::-1], ())
    assert judged.all_strict is all_
    assert judged.all_loose is all_
