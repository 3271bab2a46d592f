"""Checks on the room that a prompt leaves, on counts and on replies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.checks import contains, fits_context, prompt_share
from pytest_llmcheck.engines.count import Count, PartCount
from pytest_llmcheck.verdict import CheckFailed, Status, Verdict
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pytest_llmcheck.engines.reply import Reply

PARTS = (
    PartCount("system", 40),
    PartCount("documents", 1200),
    PartCount("user", 150),
    PartCount("generation", 10),
)
COUNT = Count("q4", 2048, PARTS)


@dataclass(frozen=True)
class Known:
    """Where a reply comes from."""

    counted: Count
    template: str = ""
    control_tokens: frozenset[str] = frozenset()

    def says(self, text: str) -> bool:
        raise NotImplementedError

    def count(self) -> Count:
        return self.counted

    def again(self, *, content_tokens: str) -> Reply:
        raise NotImplementedError


def test_count() -> None:
    assert (COUNT.total, COUNT.left, COUNT["documents"], COUNT["tools"]) == (1400, 648, 1200, 0)
    assert COUNT.share("documents") == pytest.approx(1200 / 1400)
    assert str(COUNT).splitlines() == [
        "system         40    3%",
        "documents   1,200   86%",
        "user          150   11%",
        "generation     10    1%",
        "prompt      1,400",
        "context     2,048",
        "left          648",
    ]


def test_a_count_of_nothing() -> None:
    assert Count("q4", 16, ()).share("user") == 0.0


def test_a_misspelt_part_is_no_zero() -> None:
    assert COUNT["tools"] == 0
    for ask in (COUNT.__getitem__, COUNT.share):
        with pytest.raises(KeyError, match="no kind of part is called 'sytem': did you mean 'system'"):
            ask("sytem")


def test_a_prompt_that_does_not_fit_leaves_none() -> None:
    with pytest.raises(CheckFailed) as caught:
        replace(COUNT, n_ctx=1000).expect(fits_context())
    first, second, *_ = str(caught.value).splitlines()
    assert first == "1 check failed on the prompt for q4"
    assert "the prompt has 1400 and the context holds 1000, which leaves 0 (" in second


def test_a_count_that_fits() -> None:
    assert COUNT.expect(fits_context(reserve=648), prompt_share(documents=0.9, user=0.2)) is COUNT


def test_a_count_that_does_not_fit_says_all_at_once() -> None:
    heard: list[Verdict] = []
    with pytest.raises(CheckFailed) as caught:
        replace(COUNT, judged=heard.append).expect(fits_context(reserve=649), prompt_share(documents=0.5))
    assert str(caught.value) == (
        "2 checks failed on the prompt for q4\n"
        "  fits_context(reserve=649): expected 649 tokens to be left for the reply; the prompt has 1400 and "
        "the context holds 2048, which leaves 648 (most of it is documents: 1200): shorten that, or raise "
        "n_ctx (in the llm mark or [tool.llmcheck.models.NAME])\n"
        "  prompt_share(documents=0.5): expected documents to be at most 50% of the prompt, got 85.7% "
        "(1200 of 1400 tokens)\n" + "\n".join(f"  {line}" for line in COUNT.lines())
    )
    assert [verdict.status for verdict in heard] == [Status.FAILED, Status.FAILED]
    assert caught.value.verdicts == tuple(heard)


def test_a_reply_is_judged_by_its_prompt() -> None:
    given = replace(make_reply("Yes."), origin=Known(COUNT))
    given.expect(fits_context(), prompt_share(user=0.5))
    verdict = prompt_share(documents=0.5, user=0.5)(given)
    assert (verdict.status, verdict.score) == (Status.FAILED, 0.5)
    assert verdict.evidence == {**dict(PARTS), "total": 1400, "n_ctx": 2048}


@pytest.mark.parametrize("check", [fits_context(), prompt_share(user=0.5)])
def test_a_reply_of_unknown_origin(check: Any) -> None:
    verdict = check(make_reply("Yes."))
    assert verdict.status is Status.NOT_APPLICABLE
    assert "not made by llm.chat" in verdict.reason


def test_what_needs_a_reply_cannot_judge_a_count() -> None:
    with pytest.raises(TypeError, match=r"a count takes checks such as fits_context\(\), got contains"):
        COUNT.expect(contains("a"))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "512"])
def test_a_reserve_that_is_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="reserve must be a whole number of tokens"):
        fits_context(reserve=wrong)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "names no part"),
        ({"documents": 1.5}, "documents must be a share from 0 to 1, got 1.5"),
        ({"user": True}, "user must be a share from 0 to 1, got True"),
        ({"system": "half"}, "system must be a share from 0 to 1, got 'half'"),
    ],
)
def test_shares_that_are_none(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        prompt_share(**given)
