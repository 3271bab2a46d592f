from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.checks import (
    HEALTH,
    all_of,
    any_of,
    contains,
    equals,
    finished,
    follows,
    json_equals,
    json_field,
    matches_schema,
    no_commas,
    not_,
)
from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.engines.types import Fingerprint, FinishReason, Numerics, Prompt, Sampling, Timings
from pytest_llmcheck.verdict import CheckFailed, Judged, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

CUT = (
    "cut at max_tokens: raise max_tokens (in the call, the llm mark or [tool.llmcheck]), "
    "or ask for a shorter reply"
)


def reply(text: str, finish_reason: FinishReason = "stop") -> Reply:
    numerics = Numerics(
        library="l", processor="p", grid=64, width=4, rows="r", cache="f16/f16", flash_attention=True
    )
    return Reply(
        text=text,
        finish_reason=finish_reason,
        tokens=(),
        end=None,
        prompt=Prompt("Hi", (1,)),
        timings=Timings(queued=0, prefill=0, ttft=0, decode=0, total=0, prompt_tokens=1, reply_tokens=0),
        fingerprint=Fingerprint(
            model="q4",
            quant="Q4_K_M",
            build="b",
            device="cpu",
            weights="w",
            template="t",
            prompt="p",
            sampling=Sampling(),
            max_tokens=8,
            numerics=numerics,
        ),
        health=HEALTH,
    )


@dataclass(frozen=True)
class Raising:
    said: str
    name: str = "raising"

    def __repr__(self) -> str:
        return "raising()"

    def __call__(self, reply: Judged) -> Verdict:
        raise KeyError(self.said)


@dataclass(frozen=True)
class Undecided:
    status: Status = Status.INCONCLUSIVE
    name: str = "undecided"

    def __call__(self, reply: Judged) -> Verdict:
        return Verdict(self.status, "undecided()", "too little data")


class Ear:
    def __init__(self) -> None:
        self.calls: list[tuple[Reply, tuple[Verdict, ...]]] = []

    def heard(self, reply: Reply, verdicts: tuple[Verdict, ...]) -> None:
        self.calls.append((reply, verdicts))


def failure(judged: Reply, *checks: object) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        judged.expect(*checks)  # type: ignore[arg-type]  # wrong on purpose
    return caught.value


def test_all_pass() -> None:
    given = reply("a refund")
    assert given.expect(contains("refund"), contains("a")) is given


def test_every_failure_is_reported_at_once() -> None:
    error = failure(reply('{"a": 1, "b"}'), contains("x", "y"), contains("a"), matches_schema({}))
    assert str(error) == (
        "2 of 3 checks failed on q4, Q4_K_M\n"
        "  contains('x', 'y'): expected all 2 texts in the reply; missing: 'x', 'y'\n"
        "  matches_schema({}): not JSON: expected ':' after the key at line 1, column 13\n"
        '    {"a": 1, "b"}\n'
        "                ^\n"
        '  reply: \'{"a": 1, "b"}\''
    )
    assert [verdict.status for verdict in error.verdicts] == [Status.FAILED, Status.PASSED, Status.FAILED]


def test_a_reply_that_was_cut_is_named_first() -> None:
    error = failure(reply('{"a', "length"), matches_schema({}))
    assert str(error) == (
        "2 checks failed on q4, Q4_K_M\n"
        f"  finished(): expected the model to end its reply, but it was {CUT}\n"
        f"  matches_schema({{}}): cut off, so its JSON was not judged; it was {CUT}\n"
        "  reply: '{\"a'"
    )


def test_cut_without_any_check() -> None:
    assert len(failure(reply("a", "context")).verdicts) == 1


def test_without() -> None:
    given = reply("a refund", "length")
    assert given.expect(contains("refund"), without=["finished"]) is given


def test_a_health_check_that_is_asked_for_runs_once() -> None:
    assert len(failure(reply("a", "length"), finished()).verdicts) == 1


def test_unknown_without() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its whole text follows
        reply("a").expect(without=["finishd"])
    assert str(caught.value) == "without=['finishd']: no such health check; did you mean 'finished'?"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its whole text follows
        reply("a").expect(without=["x"])
    assert str(caught.value) == (
        "without=['x']: no such health check; known: "
        "closed_thought, finished, no_control_tokens, not_empty, repetition, tool_calls, valid_text"
    )


def test_without_is_a_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"^without takes a list of names, such as"):
        reply("a").expect(without="finished")


def test_left_out_by_the_settings_of_the_model() -> None:
    given = reply("so " * 60, "length").heard_by(Ear(), HEALTH, ("repetition", "finished"))
    assert given.expect() is given
    # What a test asks for itself, it gets; a name may be left out twice.
    assert len(failure(given, finished()).verdicts) == 1
    assert given.expect(without=["finished"]) is given


def test_what_is_not_healthy_is_told_in_order() -> None:
    error = failure(reply("so " * 60 + "<|im_end|>", "length"))
    assert [verdict.check for verdict in error.verdicts] == [
        "finished()",
        "no_repetition()",
        "no_control_tokens()",
    ]


@pytest.mark.parametrize(
    "text", ["Paris.", '{"a": [1, 2]}', "```python\nprint(1)\n```\n", "| a | b |\n|---|---|\n| 1 | 2 |"]
)
def test_a_healthy_reply_needs_no_mention(text: str) -> None:
    ear = Ear()
    reply(text).heard_by(ear, HEALTH).expect()
    assert [verdicts for _, verdicts in ear.calls] == [()]


def test_the_listener_hears_before_the_raise() -> None:
    ear = Ear()
    given = reply("a").heard_by(ear, HEALTH)
    given.expect(contains("a"))
    error = failure(given, contains("b"))
    assert [verdicts for _, verdicts in ear.calls] == [(contains("a")(given),), error.verdicts]
    assert ear.calls[0][0] is given


def test_what_a_check_raises_keeps_no_other_from_judging() -> None:
    ear = Ear()
    given = reply("a").heard_by(ear, HEALTH)
    with pytest.raises(KeyError) as caught:
        given.expect(Raising("one"), contains("b"), Raising("two"), contains("a"))
    assert str(caught.value) == "'one'"
    assert caught.value.__notes__ == [
        "raising() raised too: KeyError: 'two'",
        "beside that, 1 of 2 checks failed on q4, Q4_K_M\n"
        "  contains('b'): expected the text in the reply; missing: 'b'\n"
        "  reply: 'a'",
    ]
    assert [verdicts for _, verdicts in ear.calls] == [(contains("b")(given), contains("a")(given))]


def test_what_a_check_raises_is_an_error_without_any_failure() -> None:
    with pytest.raises(KeyError) as caught:
        reply("a").expect(contains("a"), Raising("one"))
    assert not hasattr(caught.value, "__notes__")


def test_what_a_health_check_raises() -> None:
    given = reply("a").heard_by(Ear(), (Raising("health"), *HEALTH))
    with pytest.raises(KeyError, match="health") as caught:
        given.expect(contains("b"))
    assert caught.value.__notes__[0].startswith("beside that, 1 check failed")
    assert given.expect(contains("a"), without=["raising"]) is given


def test_no_json_is_told_once() -> None:
    error = failure(reply("[1 2]"), json_equals([1, 2]), json_field("$[0]", 1), contains("a"))
    assert str(error) == (
        "3 checks failed on q4, Q4_K_M\n"
        "  json_equals([1, 2]): not JSON: expected ',' or a closing bracket at line 1, column 4\n"
        "    [1 2]\n"
        "       ^\n"
        "    hint: but for a missing comma (line 1, column 3) it would be JSON of the expected value\n"
        "  json_field('$[0]', 1): not JSON, see above\n"
        "    hint: but for a missing comma (line 1, column 3) it would be JSON\n"
        "  contains('a'): expected the text in the reply; missing: 'a'\n"
        "  reply: '[1 2]'"
    )


def test_a_long_check_is_cut_in_the_middle() -> None:
    wanted = "word " * 5000
    shown = str(failure(reply("b"), contains(wanted), equals(wanted))).splitlines()
    assert [line for line in shown if len(line) > 620] == []
    assert shown[1].startswith("  contains('word word")
    assert "word '): expected the text in the reply; missing: 'word word" in shown[1]


@pytest.mark.parametrize("status", [Status.INCONCLUSIVE, Status.NOT_APPLICABLE])
def test_undecided_does_not_raise(status: Status) -> None:
    ear = Ear()
    reply("a").heard_by(ear, HEALTH).expect(Undecided(status))
    assert [verdict.status for verdict in ear.calls[0][1]] == [status]
    assert ear.calls[0][1][0].undecided


def test_undecided_beside_a_failure() -> None:
    error = failure(reply("a"), Undecided(), contains("b"))
    assert str(error).startswith("1 of 2 checks failed on q4, Q4_K_M\n  contains('b'): ")


def test_a_long_reply_is_cut_in_the_middle() -> None:
    shown = str(failure(reply("a" * 5000), contains("b"))).splitlines()[-1]
    assert shown.startswith("  reply: 'aaa")
    assert shown.endswith("aaa'")
    assert " ... " in shown
    assert len(shown) < 420


def judges(reply: Judged) -> bool:
    return True


EXPECT = "expect takes checks such as contains('refund'), got"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("hello", "expect takes checks such as contains('hello'), got 'hello'"),
        (None, f"{EXPECT} None"),
        ({"type": "object"}, f"{EXPECT} {{'type': 'object'}}"),
        (type(finished()), f"{EXPECT} <class 'pytest_llmcheck.checks.health.Finished'>"),
        (type(no_commas()), f"{EXPECT} <class 'pytest_llmcheck.checks.instructions.letters.NoCommas'>"),
        (finished, f"{EXPECT} a function: write finished()"),
        (no_commas, f"{EXPECT} a function: write no_commas()"),
        (contains, f"{EXPECT} a function: write contains(...)"),
        (judges, f"{EXPECT} a function: write @check('judges') above it"),
        (lambda reply: True, f"{EXPECT} a function: write check('name')(lambda reply: ...)"),
        (len, f"{EXPECT} a function: write @check('len') above it"),
        ([finished()], "expect takes each check by itself: unpack the list, expect(*[...])"),
        (iter([finished()]), "expect takes each check by itself: unpack the list_iterator, expect(*[...])"),
        (contains("a")(reply("b")), "expect takes checks, not verdicts: write expect(contains('a'))"),
    ],
)
def test_what_is_no_check_is_refused_with_what_was_meant(wrong: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        reply("hello").expect(wrong)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("make", "wrong", "told"),
    [
        (
            all_of,
            no_commas,
            "all_of takes checks such as contains('refund'), got a function: write no_commas()",
        ),
        (any_of, [finished()], "any_of takes each check by itself: unpack the list, any_of(*[...])"),
        (not_, contains, "not_ takes checks such as contains('refund'), got a function: write contains(...)"),
        (not_, [finished()], "not_ takes one check: make one of them, such as not_(any_of(*[...]))"),
        (
            follows,
            no_commas,
            "follows takes instruction checks such as words(at_most=60), got a function: write no_commas()",
        ),
        (follows, [no_commas()], "follows takes each check by itself: unpack the list, follows(*[...])"),
        (
            lambda wrong: json_field("$.a", wrong),
            contains,
            "json_field takes values, and checks such as contains('refund'), got a function: write "
            "contains(...)",
        ),
    ],
)
def test_so_is_it_wherever_checks_are_taken(make: Callable[[Any], Any], wrong: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        make(wrong)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"rate": 0.9},
            "one reply has no rate=: ask for many, llm.sample(..., n=100).expect(..., rate=0.9)",
        ),
        ({"witout": ["finished"]}, "expect has no witout=; it takes checks and without=[...]"),
    ],
)
def test_what_it_does_not_take(given: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError) as caught:
        reply("hello").expect(contains("h"), **given)
    assert str(caught.value) == told


@dataclass(frozen=True)
class Yes:
    name: str = "yes"

    def __call__(self, reply: Judged) -> bool:
        return True


def test_a_check_returns_a_verdict() -> None:
    with pytest.raises(TypeError) as caught:
        reply("hello").expect(Yes())  # type: ignore[arg-type]  # wrong on purpose
    assert str(caught.value) == "the check Yes(name='yes') returned True; a check returns a Verdict"
