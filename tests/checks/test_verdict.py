"""Verdicts are asked for what they say, and never taken for yes or no."""

from __future__ import annotations

import pytest

from pytest_llmcheck import Status, Verdict, contains
from tests.support.replies import make_reply


@pytest.mark.parametrize(("text", "ended"), [("a", "failed"), ("x", "passed")], ids=["failed", "passed"])
def test_an_assertion_of_a_verdict_is_an_error(text: str, ended: str) -> None:
    with pytest.raises(TypeError) as caught:
        assert contains("x")(make_reply(text))
    assert str(caught.value) == (
        f"a verdict is neither true nor false (contains('x') {ended}): write reply.expect(contains('x')), "
        "which fails the test and says why, or ask for .passed, .failed or .status"
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [(Status.INCONCLUSIVE, "is inconclusive"), (Status.NOT_APPLICABLE, "is not applicable")],
)
def test_nor_of_one_without_a_name(status: Status, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        bool(Verdict(status, "", "too short"))
    assert str(caught.value).startswith(
        f"a verdict is neither true nor false (check {told}): write reply.expect(check), which"
    )


@pytest.mark.parametrize("status", Status)
def test_exactly_one_of_three(status: Status) -> None:
    verdict = Verdict(status, "", "")
    said = (verdict.passed, verdict.failed, verdict.undecided)
    assert said.count(True) == 1
    assert verdict.passed is (status is Status.PASSED)
    assert verdict.failed is (status is Status.FAILED)


def test_a_status_that_is_a_text_would_never_fail() -> None:
    with pytest.raises(TypeError) as caught:
        Verdict("failed", "", "")  # type: ignore[arg-type]  # wrong on purpose
    assert str(caught.value) == "the status of a verdict is one such as Status.FAILED, got 'failed'"
