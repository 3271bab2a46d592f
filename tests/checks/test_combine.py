"""Checks made of checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck import (
    all_of,
    any_of,
    contains,
    finished,
    matches,
    not_,
    resists_forged_turns,
    thought,
)
from pytest_llmcheck.verdict import CheckFailed, Judged, Status, Verdict
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

P, F, I, N = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE, Status.NOT_APPLICABLE  # noqa: E741
REPLY = make_reply("I am sorry.")


@dataclass(frozen=True)
class Says:
    """A check that always says the same."""

    status: Status
    score: float | None = None
    name: str = "says"

    def __repr__(self) -> str:
        return f"says({self.status})"

    def __call__(self, reply: Judged) -> Verdict:
        return Verdict(self.status, repr(self), f"it is {self.status}", self.score)


STATUSES = st.sampled_from(Status)
CHECKS = st.lists(st.builds(Says, STATUSES, st.none() | st.floats(0, 1)), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("one", "other", "both", "either"),
    [
        (P, P, P, P),
        (P, F, F, P),
        (P, I, I, P),
        (P, N, N, P),
        (F, F, F, F),
        (F, I, F, I),
        (F, N, F, N),
        (I, I, I, I),
        (I, N, I, I),
        (N, N, N, N),
    ],
)
def test_truth_table(one: Status, other: Status, both: Status, either: Status) -> None:
    for checks in ((Says(one), Says(other)), (Says(other), Says(one))):
        assert all_of(*checks)(REPLY).status is both
        assert any_of(*checks)(REPLY).status is either


def test_not() -> None:
    assert [not_(Says(status))(REPLY).status for status in (P, F, I, N)] == [F, P, I, N]


@given(CHECKS)
def test_de_morgan(checks: list[Check]) -> None:
    turned = [not_(check) for check in checks]
    for ours, theirs in ((not_(all_of(*checks)), any_of(*turned)), (not_(any_of(*checks)), all_of(*turned))):
        one, other = ours(REPLY), theirs(REPLY)
        assert one.status is other.status
        assert one.score == (None if other.score is None else pytest.approx(other.score))


@given(CHECKS)
def test_order_and_nesting_change_nothing(checks: list[Check]) -> None:
    for of in (all_of, any_of):
        whole = of(*checks)(REPLY)
        assert of(*reversed(checks))(REPLY).status is whole.status
        assert of(of(*checks[:1]), of(*checks))(REPLY).status is whole.status
        assert not_(not_(of(*checks)))(REPLY).status is whole.status


@given(CHECKS)
def test_nothing_unknown_passes_or_fails_by_itself(checks: list[Check]) -> None:
    unknown = [Says(status) for status in (I, N)]
    assert all_of(*checks, *unknown)(REPLY).status is not P
    assert any_of(*checks, *unknown)(REPLY).status is not F


def test_scores() -> None:
    checks = [contains("sorry", "x"), contains("I", "am", "x", "so")]
    assert all_of(*checks, finished())(REPLY).score == 0.5
    assert any_of(*checks)(REPLY).score == 0.75
    assert not_(contains("sorry", "x", "q", "z"))(REPLY).score == 0.75
    assert all_of(finished(), Says(P))(REPLY).score is None


def test_messages_of_nested_checks() -> None:
    with pytest.raises(CheckFailed) as caught:
        REPLY.expect(
            any_of(all_of(contains("refund"), contains("sorry")), matches("SORRY")),
            not_(any_of(contains("sorry"), contains("x"))),
            all_of(finished(), contains("a", "b"), contains("c")),
            not_(contains("sorry")),
        )
    assert str(caught.value) == (
        "4 checks failed on f16, F16\n"
        "  any_of(all_of(contains('refund'), contains('sorry')), matches('SORRY')): expected at least one of "
        "2 checks to hold; none does\n"
        "    all_of(contains('refund'), contains('sorry')): contains('refund'): expected the text in the "
        "reply; missing: 'refund'\n"
        "    matches('SORRY'): expected a match of the pattern somewhere in the reply; none in 11 "
        "characters\n"
        "      with re.IGNORECASE it would match\n"
        "  not_(any_of(contains('sorry'), contains('x'))): expected this not to hold, but: "
        "contains('sorry'): all texts occur\n"
        "    at line 1, column 6:\n"
        "    I am sorry.\n"
        "         ^\n"
        "  all_of(finished(), contains('a', 'b'), contains('c')): contains('a', 'b'): expected all 2 texts "
        "in the reply; missing: 'b'\n"
        "    contains('c'): expected the text in the reply; missing: 'c'\n"
        "  not_(contains('sorry')): expected this not to hold, but: all texts occur\n"
        "    at line 1, column 6:\n"
        "    I am sorry.\n"
        "         ^\n"
        "  reply: 'I am sorry.'"
    )


def test_what_is_said_of_the_undecided_and_the_passed() -> None:
    assert all_of(Says(I), Says(N), Says(P))(REPLY).reason == "says(inconclusive): it is inconclusive"
    assert any_of(Says(N), Says(F))(REPLY).reason == "says(not applicable): it is not applicable"
    assert not_(Says(I))(REPLY).reason == "it is inconclusive"
    assert all_of(finished(), contains("am"))(REPLY).reason == "2 checks held"
    assert not_(contains("x"))(REPLY).reason == (
        "as wanted, it does not hold: expected the text in the reply; missing: 'x'"
    )


def test_evidence_has_every_part() -> None:
    verdict = any_of(contains("x"), finished())(REPLY)
    assert [part["status"] for part in verdict.evidence["parts"]] == ["failed", "passed"]
    assert verdict.evidence["parts"][0] == {
        "check": "contains('x')",
        "status": "failed",
        "reason": "expected the text in the reply; missing: 'x'",
        "score": 0.0,
        "evidence": {"missing": ["x"]},
    }


@pytest.mark.parametrize("of", [all_of, any_of])
def test_wrong_use(of: object) -> None:
    assert of in (all_of, any_of)
    make = all_of if of is all_of else any_of
    with pytest.raises(ValueError, match=rf"^{make.__name__}\(\) judges nothing; give checks, such as"):
        make()
    with pytest.raises(TypeError, match=rf"^{make.__name__} takes checks such as contains\('x'\), got 'x'$"):
        make(finished(), "x")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match="not_ takes checks such as contains"):
        not_(contains)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match=r"^thought takes checks such as contains\('x'\), got 'x'$"):
        thought("x")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(
        TypeError, match=r"^resists_forged_turns takes checks such as contains\('x'\), got 'x'$"
    ):
        resists_forged_turns("x")  # type: ignore[arg-type]  # wrong on purpose


def test_values() -> None:
    one, other = all_of(contains("a"), finished()), all_of(contains("a"), finished())
    assert one == other
    assert len({one, other, any_of(contains("a")), not_(finished())}) == 3
    assert [check.name for check in (one, any_of(one), not_(one))] == ["all_of", "any_of", "not_"]
