"""Checks on the calls of tools in a reply."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import SchemaError, Status, calls, calls_nothing, calls_only, contains, matches
from tests.support.calling import TOOLS, WEATHER, calling, tool
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

    def test_a_tool_that_the_request_does_not_have(self) -> None:
        assert reason(calls("get_wether"), PARIS) == (
            "no tool of this request is called 'get_wether': did you mean 'get_weather'?"
        )


class TestWhateverIsExpected:
    """What is wrong with any call fails by itself."""

    CHECKS = (calls("get_time"), calls_only("get_time"))

    @pytest.mark.parametrize("check", CHECKS, ids=repr)
    def test_not_json(self, check: Any) -> None:
        broken = PARIS.replace('"Paris"', "Paris")
        assert reason(check, NOW + broken).split("\n") == [
            "a call of 'get_weather' that cannot be read: expected a JSON value",
            '": "get_weather", "arguments": {"city": Paris, "days": 3}}</tool_call>',
            f"{' ' * 40}^",
        ]

    @pytest.mark.parametrize("check", CHECKS, ids=repr)
    def test_an_unknown_tool(self, check: Any) -> None:
        assert reason(check, NOW + PARIS.replace("get_w", "getw"), pieces=()).splitlines()[0] == (
            "it calls 'getweather', which is no tool of this request: did you mean 'get_weather'?"
        )

    def test_arguments_that_its_schema_refuses(self) -> None:
        text = PARIS.replace("city", "town").replace("3", '"three"')
        check = calls("get_weather")
        verdict = check(calling(text))
        assert verdict.reason.splitlines()[0] == "get_weather: 'city' is missing"
        assert verdict.evidence["level"] == "wrong arguments"
        assert verdict.evidence["problems"] == [
            "get_weather: 'city' is missing",
            'get_weather: days: expected integer, got "three"',
            "get_weather: 'town' is no argument of this tool: known: city, days, unit",
        ]

    def test_the_caret_is_at_the_value(self) -> None:
        found = reason(
            calls("get_weather"), PARIS.replace("3", "0"), pieces=[*PIECES[:4], '", "days": ', "0", "}}"]
        )
        assert found.split("\n") == [
            "get_weather: days: expected at least 1, got 0",
            ' "arguments": {"city": "Paris", "days": 0}}</tool_call>',
            f"{' ' * 40}^",
            "the token there: '0' 0.50, '~' 0.25",
        ]

    def test_a_schema_that_allows_more(self) -> None:
        open_ = json.loads(json.dumps(WEATHER))
        open_["function"]["parameters"]["additionalProperties"] = {"type": "string"}
        text = PARIS.replace('"days": 3', '"town": "x"')
        assert calls("get_weather")(calling(text, tools=[open_])).status is Status.PASSED
        assert reason(calls("get_weather"), text.replace('"x"', "1"), tools=[open_]).splitlines()[0] == (
            "get_weather: town: expected string, got 1"
        )

    def test_cut_off(self) -> None:
        found = reason(calls("get_weather"), PARIS[:50], finish_reason="length").splitlines()
        assert found[0].startswith("it was cut off amid a call; it was cut at max_tokens: raise max_tokens")
        assert found[1] == "a call of 'get_weather' that cannot be read: a string that is never closed"

    def test_a_schema_that_is_itself_wrong(self) -> None:
        tools = [tool("get_time", zone={"type": "strnig"})]
        with pytest.raises(SchemaError, match=r"the parameters of the tool 'get_time': .*not valid at"):
            calls("get_time")(calling(NOW, tools=tools))

    def test_a_schema_without_end(self) -> None:
        tools = [{"type": "function", "function": {"name": "get_time", "parameters": {"$ref": "#"}}}]
        with pytest.raises(SchemaError, match=r"the parameters of the tool 'get_time': .*without end"):
            calls("get_time")(calling(NOW, tools=tools))

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
        for check in (calls("get_time"), calls_only("get_time"), calls_nothing()):
            lines = reason(check, text).splitlines()
            assert len(lines) < 12
            assert max(map(len, lines)) < 240

    def test_a_tool_without_parameters(self) -> None:
        tools = [{"type": "function", "function": {"name": "get_time"}}]
        assert calls("get_time")(calling(NOW, tools=tools)).status is Status.PASSED


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
        assert reason(calls_nothing(), "<tool_call>{").splitlines()[:2] == [
            "expected no call",
            "a call that cannot be read: expected a key in double quotes",
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
