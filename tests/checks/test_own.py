"""Checks that a user writes as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck import Status, Verdict, all_of, any_of, check, contains, not_
from pytest_llmcheck.verdict import CheckFailed
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_llmcheck.verdict import Check, Judged

REPLY = make_reply("Please wait.")


@check("polite")
def polite(reply: Judged, *, words: Sequence[str] = ("please",)) -> bool:
    """The reply has a polite word.

    More of the docstring is not shown.
    """
    return any(word in reply.text.lower() for word in words)


@check("at_most")
def at_most(reply: Judged, *, letters: int) -> bool | str:
    count = len(reply.text)
    return count <= letters or f"expected at most {letters} letters, got {count}\nsay less"


def returning(value: Any) -> Any:
    return check("odd")(lambda reply: value)


def test_true_and_false() -> None:
    assert polite(REPLY) == Verdict(Status.PASSED, "polite()", "it holds", score=1.0)
    failed = polite(words=("bitte", "danke"))(REPLY)
    assert failed == Verdict(
        Status.FAILED,
        "polite(words=('bitte', 'danke'))",
        "it does not hold: The reply has a polite word.",
        score=0.0,
    )
    assert returning(False)(REPLY).reason == "it does not hold (return a text to say why)"


def test_a_reason() -> None:
    with pytest.raises(CheckFailed) as caught:
        REPLY.expect(at_most(letters=5), polite, contains("wait"))
    assert str(caught.value) == (
        "1 of 3 checks failed on f16, F16\n"
        "  at_most(letters=5): expected at most 5 letters, got 12\n"
        "    say less\n"
        "  reply: 'Please wait.'"
    )
    REPLY.expect(at_most(letters=12))


def test_a_verdict_is_named_after_the_check() -> None:
    given = Verdict(Status.INCONCLUSIVE, "", "too short", score=0.25, evidence={"words": 2})
    verdict = returning(given)(REPLY)
    assert verdict == Verdict(Status.INCONCLUSIVE, "odd()", "too short", score=0.25, evidence={"words": 2})


def test_an_assertion_is_a_failure() -> None:
    @check("asserts")
    def asserts(reply: Judged) -> bool:
        assert "x" in reply.text, "no x in it"
        return True

    # pytest adds what it knows of the values.
    assert asserts(REPLY).reason.splitlines()[0] == "no x in it"
    assert not_(asserts)(REPLY).status is Status.PASSED


@pytest.mark.parametrize("value", [None, "", " ", 1, 0.5, [], (True, "so"), Status.PASSED])
def test_anything_else_is_an_error(value: object) -> None:
    odd = returning(value)
    line = returning.__code__.co_firstlineno + 1
    for each in (odd, not_(odd), all_of(odd)):
        with pytest.raises(TypeError) as caught:
            REPLY.expect(each)
        assert str(caught.value) == (
            f"the check odd() ({__file__}:{line}) returned {value!r}: return True, False, a text that "
            "says why it fails, or a Verdict"
        )


@pytest.mark.parametrize("score", [87, -0.1, float("nan"), "0.5"])
def test_a_score_is_from_0_to_1(score: float) -> None:
    odd = returning(Verdict(Status.PASSED, "", "", score=score))
    line = returning.__code__.co_firstlineno + 1
    with pytest.raises(TypeError) as caught:
        REPLY.expect(not_(odd))
    assert str(caught.value) == (
        f"the check odd() ({__file__}:{line}) returned score={score!r}; it is a float, 0 to 1"
    )


def frames(check: Check) -> list[str]:
    """The functions that a traceback shows of what a check raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        REPLY.expect(check)
    return [entry.name for entry in caught.traceback.filter(caught)]


def test_its_traceback_shows_none_of_our_frames() -> None:
    @check("broken")
    def broken(reply: Judged) -> bool:
        return {"": True}[reply.text]

    nothing = returning(None)
    for made in (lambda each: each, not_, all_of, any_of, lambda each: all_of(not_(each))):
        assert frames(made(broken)) == ["frames", "broken"]
        assert frames(made(nothing)) == ["frames"]


def test_what_it_raises_goes_on_with_a_note() -> None:
    @check("broken")
    def broken(reply: Judged, *, key: str = "a") -> bool:
        return {"c": True}[key]

    with pytest.raises(KeyError) as caught:
        REPLY.expect(not_(broken(key="b")))
    line = broken.function.__code__.co_firstlineno
    assert caught.value.__notes__ == [f"in the check broken(key='b') ({__file__}:{line}), on 'Please wait.'"]


def test_parameters() -> None:
    one = at_most(letters=3)
    assert repr(one) == "at_most(letters=3)"
    assert one == at_most(letters=3) != at_most(letters=4)
    assert one.name == "at_most"
    assert one(letters=4) == at_most(letters=4)
    assert polite() == polite
    assert len({one, at_most(letters=3)}) == 1


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: at_most(REPLY), "at_most needs letters: write at_most(letters=...)"),
        (lambda: at_most(leters=3), "at_most has no parameter 'leters': did you mean 'letters'?"),
        (lambda: at_most(reply=REPLY), "at_most has no parameter 'reply': known: letters"),
        (
            lambda: at_most(3, letters=3),  # type: ignore[call-overload]  # wrong on purpose
            "at_most takes its parameters by name, got 3",
        ),
        (
            lambda: check(len),  # type: ignore[arg-type]  # wrong on purpose
            "check takes the name of the check, as in @check('polite'); got <built-in function len>",
        ),
        (
            lambda: check("a")(3),  # type: ignore[arg-type]  # wrong on purpose
            "check('a') decorates a function of the reply, got 3",
        ),
        (lambda: check("a")(lambda: True), "check('a'): the function takes the reply as its first argument"),
        (
            lambda: check("a")(lambda *, reply: True),
            "check('a'): the function takes the reply as its first argument",
        ),
        (
            lambda: check("a")(lambda reply, limit: True),
            "check('a'): parameters after the reply are given by name: write (reply, *, limit)",
        ),
    ],
)
def test_wrong_use(use: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        use()
    assert str(caught.value) == message


def test_wrong_functions_and_names() -> None:
    async def later(reply: Judged) -> bool:
        return True

    with pytest.raises(TypeError, match="a check is a plain function: neither async nor a generator"):
        check("a")(later)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(
        ValueError, match=r"^'finished' is a health check of every reply; give the check another"
    ):
        check("finished")
    with pytest.raises(ValueError, match=r"^a check needs a name, as in @check\('polite'\)$"):
        check(" ")


def test_any_keywords() -> None:
    @check("open")
    def open_(reply: Judged, **more: object) -> bool:
        return more == {"x": 1}

    assert open_(x=1)(REPLY).status is Status.PASSED
    assert open_(REPLY).status is Status.FAILED
