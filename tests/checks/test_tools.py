"""Checks on the calls of tools in a reply."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import (
    CheckError,
    Status,
    any_of,
    calls,
    calls_nothing,
    calls_only,
    contains,
    matches,
    matches_schema,
    not_,
    sound_calls,
)
from tests.support.calling import TOOLS, calling, tool
from tests.support.replies import make_reply

PARIS = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}</tool_call>'
NOW = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
PIECES = [
    '<tool_call>{"name": "',
    "get_weather",
    '", "arguments": {"city": "',
    "Paris",
    '", "days": 3}}</tool_call>',
]


def reason(check: Any, text: str, **more: Any) -> str:
    """Why a check fails on a reply."""
    verdict = check(calling(text, **more))
    assert verdict.status is Status.FAILED
    assert verdict.check == repr(check)
    return str(verdict.reason)


def told(text: str) -> str:
    return dedent(text).strip("\n")


class TestCalls:
    @pytest.mark.parametrize(
        "check",
        [
            calls("get_weather"),
            calls("get_weather", city="Paris"),
            calls("get_weather", {"city": "Paris"}, days=3),
            calls("get_weather", days=3.0),
            calls("get_weather", city=contains("ari"), days=matches(r"\A3\Z")),
            calls("get_time"),
        ],
        ids=repr,
    )
    def test_as_expected(self, check: Any) -> None:
        verdict = check(calling(PARIS + NOW))
        assert (verdict.status, verdict.score) == (Status.PASSED, 1.0)

    def test_checks_of_json_judge_the_value(self) -> None:
        assert calls("get_weather", city=matches_schema({"type": "string"}))(calling(PARIS)).passed
        assert calls("get_weather", city=matches_schema({"type": "integer"}))(calling(PARIS)).failed

    def test_another_value(self) -> None:
        check = calls("get_weather", city="Berlin", days=3)
        assert reason(check, PARIS, pieces=PIECES).split("\n") == [
            "the call is get_weather(city='Paris', days=3)",
            "city: expected 'Berlin', got 'Paris'",
            ': "get_weather", "arguments": {"city": "Paris", "days": 3}}</tool_call',
            f"{' ' * 40}^",
            "the token there: 'Paris' 0.50, '~' 0.25",
        ]
        assert check(calling(PARIS)).score == pytest.approx(2 / 3)

    def test_a_check_of_the_value(self) -> None:
        assert reason(calls("get_weather", city=contains("Ber")), PARIS).splitlines()[1] == (
            "city: contains('Ber'): expected the text in the reply; missing: 'Ber'"
        )

    def test_an_argument_that_is_not_given(self) -> None:
        assert reason(calls("get_weather", unit="C"), PARIS).splitlines()[:2] == [
            "the call is get_weather(city='Paris', days=3)",
            "unit: expected 'C', it is not given",
        ]

    def test_true_is_not_one(self) -> None:
        tools = [tool("switch", on={})]
        text = '<tool_call>{"name": "switch", "arguments": {"on": true}}</tool_call>'
        assert calls("switch", on=True)(calling(text, tools=tools)).status is Status.PASSED
        assert calls("switch", on=1)(calling(text, tools=tools)).status is Status.FAILED

    def test_the_nearest_of_several(self) -> None:
        other = PARIS.replace("Paris", "Rome").replace("3", "4")
        found = reason(calls("get_weather", city="Rome", days=3, unit="C"), PARIS + other + other)
        assert (
            found.splitlines()[0]
            == "no call is as expected; the nearest is get_weather(city='Paris', days=3)"
        )

    def test_another_tool(self) -> None:
        assert reason(calls("get_time"), PARIS, pieces=PIECES) == told("""
            expected a call of 'get_time', got get_weather(city='Paris', days=3)
            <tool_call>{"name": "get_weather", "arguments": {"c
                                 ^
            the token there: 'get_weather' 0.50, '~' 0.25
        """)

    def test_no_call(self) -> None:
        assert reason(calls("get_time"), "It is noon.", pieces=["It", " is noon."]) == told("""
            expected a call of 'get_time', the reply has no call
            the token that it begins with: 'It' 0.50, '~' 0.25
        """)

    def test_a_call_in_another_format(self) -> None:
        assert reason(calls("get_time"), "```json\n{'name': 'get_time'}```") == told("""
            expected a call of 'get_time', the reply has no call
            it names the tool, but a call of this template looks like <tool_call>{"name": "...", "arguments": {...}}</tool_call>
        """)  # noqa: E501

    def test_a_word_that_has_the_name_in_it(self) -> None:
        tools = [tool("time")]
        assert "it names the tool" not in reason(calls("time"), "Sometimes.", tools=tools)
        assert "it names the tool" in reason(calls("time"), "Use time().", tools=tools)


class TestUnsound:
    """A call that no program could carry out is never the expected one; `sound_calls` tells why."""

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (PARIS.replace('"Paris"', "Paris"), "a call of 'get_weather' that cannot be read"),
            (PARIS.replace("3", "0"), "get_weather(city='Paris', days=0)"),
            (PARIS.replace("days", "day"), "get_weather(city='Paris', day=3)"),
        ],
        ids=["unreadable", "out of bounds", "unknown argument"],
    )
    def test_a_call_of_the_tool(self, text: str, shown: str) -> None:
        assert reason(calls("get_weather", city="Paris"), text) == (
            f"expected a call of 'get_weather'; not sound, see sound_calls(): {shown}"
        )
        assert reason(calls_only("get_weather", city="Paris"), text).split("\n") == [
            "expected exactly this call, got others",
            "missing: calls('get_weather', city='Paris')",
            f"not sound, see sound_calls(): {shown}",
        ]
        assert calls_nothing()(calling(text)).failed
        # Beside a sound one it does not matter to `calls`: the health of the reply tells of it.
        assert calls("get_weather", city="Paris")(calling(text + PARIS)).passed

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (PARIS.replace('"Paris"', "Paris"), "a call of 'get_weather' that cannot be read"),
            (PARIS.replace("get_w", "getw"), "getweather(city='Paris', days=3)"),
        ],
        ids=["unreadable", "unknown tool"],
    )
    def test_another_call(self, text: str, shown: str) -> None:
        assert reason(calls("get_time"), text).splitlines()[0] == (
            f"expected a call of 'get_time', got {shown}"
        )
        assert reason(calls_only("get_time"), NOW + text).split("\n") == [
            "expected exactly 1 call, got 2 calls",
            f"not sound, see sound_calls(): {shown}",
        ]
        assert calls_only("get_time")(calling(NOW + text)).score == 0.5

    @pytest.mark.parametrize(
        "text",
        [
            NOW.replace("get_time", "x" * 9999),
            NOW.replace("{}", json.dumps({"x" * 9999: 1})),
            NOW.replace("{}", json.dumps({"zone": "x" * 9999})).replace("get_time", "get_weather"),
            NOW.replace("{}", '{"%s": 1, "%s": 2}' % ("x" * 9999, "x" * 9999)),  # noqa: UP031 - it has braces
            NOW.replace("get_time", "get_weather").replace("{}", json.dumps({"city": ["x"] * 9999})),
            NOW.replace("{}", json.dumps({f"x{at}": at for at in range(9999)})),
            NOW.replace("get_time", "x") * 999,
        ],
        ids=range(7),
    )
    def test_a_message_fits_a_screen(self, text: str) -> None:
        for check in (calls("get_time"), calls_only("get_time"), calls_nothing(), sound_calls()):
            lines = reason(check, text).splitlines()
            assert len(lines) < 12
            assert max(map(len, lines)) < 240


class TestWrongChecks:
    """What no model could do is an error, whatever the check is part of."""

    @pytest.mark.parametrize(
        "within", [lambda check: check, not_, lambda check: any_of(check, calls_nothing())]
    )
    @pytest.mark.parametrize("text", [PARIS, "It is noon."])
    def test_a_tool_that_the_request_does_not_have(self, within: Any, text: str) -> None:
        for check in (calls("get_wether"), calls_only("get_wether")):
            with pytest.raises(CheckError) as caught:
                within(check)(calling(text))
            assert str(caught.value) == (
                f"{check!r}: no tool of the request is called 'get_wether': did you mean 'get_weather'?"
            )

    def test_no_name_is_near(self) -> None:
        with pytest.raises(CheckError, match=r"called 'x': known: get_time, get_weather$"):
            calls("x")(calling(PARIS))

    def test_an_argument_that_the_tool_does_not_have(self) -> None:
        with pytest.raises(CheckError) as caught:
            not_(calls("get_weather", cty="Paris"))(calling(PARIS))
        assert str(caught.value) == (
            "calls('get_weather', cty='Paris'): get_weather has no argument 'cty': did you mean 'city'?"
        )

    @pytest.mark.parametrize(
        ("more", "known"),
        [
            ({"additionalProperties": False}, True),
            ({"additionalProperties": True}, False),
            ({"patternProperties": {"^t": {}}}, False),
            ({"patternProperties": {"^t": {}}, "additionalProperties": False}, False),
            ({"anyOf": [{"properties": {"town": {}}}]}, False),
        ],
        ids=str,
    )
    def test_what_the_schema_leaves_open_is_no_mistake(self, more: dict[str, Any], known: bool) -> None:
        tools = json.loads(json.dumps(TOOLS))
        tools[0]["function"]["parameters"] |= more
        check, reply = calls("get_weather", town="Paris"), calling(PARIS, tools=tools)
        if known:
            with pytest.raises(CheckError, match="has no argument 'town': known: city, days, unit"):
                check(reply)
        else:
            assert check(reply).failed

    def test_without_tools_nothing_is_known(self) -> None:
        assert calls("get_wether")(make_reply(PARIS)).status is Status.NOT_APPLICABLE


class TestCallsOnly:
    def test_exactly_these_in_any_order(self) -> None:
        check = calls_only(calls("get_time"), calls("get_weather", city="Paris"))
        assert check(calling(PARIS + NOW)).status is Status.PASSED
        assert check(calling(NOW + PARIS)).status is Status.PASSED
        assert calls_only("get_weather", city="Paris")(calling(PARIS)).status is Status.PASSED

    def test_each_call_counts_once(self) -> None:
        any_, paris = calls("get_weather"), calls("get_weather", city="Paris")
        rome = PARIS.replace("Paris", "Rome")
        for check in (calls_only(any_, paris), calls_only(paris, any_)):
            assert check(calling(PARIS + rome)).status is Status.PASSED
            assert check(calling(rome + PARIS)).status is Status.PASSED
            assert check(calling(rome + rome)).status is Status.FAILED

    def test_one_too_many(self) -> None:
        assert reason(calls_only("get_weather", city="Paris"), PARIS + NOW).splitlines()[:2] == [
            "expected exactly 1 call, got 2 calls",
            "not expected: get_time()",
        ]

    def test_one_too_few(self) -> None:
        assert reason(calls_only(calls("get_weather"), calls("get_time")), NOW) == told("""
            expected exactly 2 calls, got 1 call
            missing: calls('get_weather')
        """)

    def test_another(self) -> None:
        check = calls_only(calls("get_weather", city="Berlin"), calls("get_time"))
        assert reason(check, PARIS + NOW).splitlines()[:3] == [
            "expected exactly these calls, got others",
            "missing: calls('get_weather', city='Berlin')",
            "not expected: get_weather(city='Paris', days=3); city: expected 'Berlin', got 'Paris'",
        ]


class TestCallsNothing:
    def test_an_answer(self) -> None:
        assert calls_nothing()(calling("It is noon.")).status is Status.PASSED

    def test_a_call(self) -> None:
        assert reason(calls_nothing(), PARIS, pieces=PIECES).split("\n") == [
            "expected no call",
            "it calls get_weather(city='Paris', days=3)",
            '<tool_call>{"name": "get_weath',
            "^",
            "the token there: '<tool_call>{\"name\": \"' 0.50, '~' 0.25",
        ]

    def test_half_a_call(self) -> None:
        assert reason(calls_nothing(), "<tool_call>{").split("\n") == [
            "expected no call",
            "it begins a call that cannot be read",
            "<tool_call>{",
            "^",
        ]


class TestNotApplicable:
    CHECKS = (calls("get_time"), calls_only("get_time"), calls_nothing())

    @pytest.mark.parametrize("check", CHECKS, ids=repr)
    def test_without_tools(self, check: Any) -> None:
        for reply in (make_reply(NOW), calling(NOW, tools=[])):
            verdict = check(reply)
            assert verdict.status is Status.NOT_APPLICABLE
            assert verdict.reason == (
                "the request gave no tools, so that nothing in the reply counts as a call; "
                "give them: llm.chat(..., tools=[...])"
            )

    @pytest.mark.parametrize("check", CHECKS, ids=repr)
    def test_with_a_format_that_is_not_known(self, check: Any) -> None:
        verdict = check(replace(make_reply(NOW), tools=TOOLS))
        assert verdict.status is Status.NOT_APPLICABLE
        assert verdict.reason == (
            "the format of this chat template's tool calls is not known; "
            "add it by the hook pytest_llmcheck_tool_formats"
        )


class TestArguments:
    @pytest.mark.parametrize(
        ("make", "error", "told"),
        [
            (lambda: calls(3), TypeError, "calls takes the name of a tool, got int: 3"),  # type: ignore[arg-type]  # the point
            (lambda: calls(""), ValueError, "calls needs the name of a tool; calls_nothing() is for none"),
            (lambda: calls("f", 3), TypeError, "calls('f'): arguments are a dict or keywords, got 3"),  # type: ignore[arg-type]  # likewise
            (lambda: calls("f", {"a": 1}, a=2), ValueError, "calls('f'): 'a' is given twice"),
            (
                lambda: calls("f", a={1}),
                TypeError,
                "calls('f'): a is to be a JSON value or a check, got {1}",
            ),
            (
                lambda: calls("f", a=contains),
                TypeError,
                "calls('f') takes a JSON value or a check for a, got a function: write contains(...)",
            ),
            (
                lambda: calls("f", a=float("nan")),
                TypeError,
                "calls('f'): a is to be a JSON value or a check, got nan",
            ),
            (
                lambda: calls_only(),
                ValueError,
                "calls_only needs a call, such as calls_only('now'); calls_nothing() is for none",
            ),
            (
                lambda: calls_only("f", contains("x")),  # type: ignore[arg-type]  # likewise
                TypeError,
                "calls_only takes calls(...) or the name of a tool for each call, got contains('x')",
            ),
            (
                lambda: calls_only(calls("f"), a=1),
                TypeError,
                "calls_only takes arguments beside the name of one tool alone; use calls(...) for each",
            ),
        ],
    )
    def test_wrong(self, make: Any, error: type[Exception], told: str) -> None:
        with pytest.raises(error) as caught:
            make()
        assert str(caught.value) == told

    def test_shown_as_written(self) -> None:
        assert repr(calls("f", {"from": 1, "a b": 2}, c=contains("x"))) == (
            "calls('f', {'from': 1, 'a b': 2}, c=contains('x'))"
        )
        assert repr(calls_only("f", a=1)) == "calls_only(calls('f', a=1))"
        assert repr(calls_only("f", calls("g"))) == "calls_only(calls('f'), calls('g'))"

    def test_a_value_of_our_own(self) -> None:
        given = [1, 2]
        check = calls("f", a=given)
        given.append(3)
        assert check == calls("f", a=[1, 2])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    arguments=st.dictionaries(st.text(st.sampled_from("abcde"), min_size=1), VALUES, max_size=3), other=VALUES
)
def test_a_call_is_what_was_called(arguments: dict[str, Any], other: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    text = f"<tool_call>{json.dumps({'name': 'f', 'arguments': arguments})}</tool_call>"
    reply = calling(text, tools=tools)
    assert reply.tool_calls[0].arguments == arguments
    assert calls("f", arguments)(reply).status is Status.PASSED
    assert calls_only("f", **arguments)(reply).status is Status.PASSED
    assert calls_nothing()(reply).status is Status.FAILED
    for key, value in arguments.items():
        if json.dumps(value) != json.dumps(other):
            assert calls("f", {**arguments, key: other})(reply).status is Status.FAILED
    # One character less in its frame, and it is no call.
    assert calls("f", arguments)(calling(text[:-1], tools=tools)).status is Status.FAILED
