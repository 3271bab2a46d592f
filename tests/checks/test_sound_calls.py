"""All calls of a reply are sound; the carets and tokens of those that are not."""

from __future__ import annotations

import json
from timeit import repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import CheckFailed, SchemaError, Status, calls, not_, sound_calls
from pytest_llmcheck.checks import HEALTH
from tests.support.calling import TOOLS, WEATHER, calling, tool
from tests.support.replies import make_reply

PARIS = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}</tool_call>'
NOW = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'


def wrong(text: str, **more: Any) -> list[str]:
    """The lines that say what is wrong with the calls of a text."""
    verdict = sound_calls()(calling(text, **more))
    assert (verdict.status, verdict.check) == (Status.FAILED, "sound_calls()")
    return verdict.reason.split("\n")


class TestSound:
    @pytest.mark.parametrize(
        ("reply", "told"),
        [
            (make_reply(PARIS), "it calls no tool"),
            (calling("It is noon."), "it calls no tool"),
            (calling(NOW), "the call is sound"),
            (calling(NOW + PARIS), "the 2 calls are sound"),
            (
                calling(NOW, tools=[{"type": "function", "function": {"name": "get_time"}}]),
                "the call is sound",
            ),
        ],
        ids=range(5),
    )
    def test_passed(self, reply: Any, told: str) -> None:
        verdict = sound_calls()(reply)
        assert (verdict.status, verdict.reason, verdict.score) == (Status.PASSED, told, 1.0)

    def test_a_reply_without_calls_costs_nothing(self) -> None:
        """A microsecond or two; the bound leaves room for a busy machine."""
        reply, check = make_reply("It is noon. " * 50), sound_calls()
        assert min(repeat(lambda: check(reply), number=100, repeat=5)) / 100 < 5e-5


class TestUnsound:
    def test_not_json(self) -> None:
        assert wrong(NOW + PARIS.replace('"Paris"', "Paris")) == [
            "a call of 'get_weather' that cannot be read: expected a JSON value",
            '": "get_weather", "arguments": {"city": Paris, "days": 3}}</tool_call>',
            f"{' ' * 40}^",
        ]

    def test_an_unknown_tool(self) -> None:
        assert wrong(NOW + PARIS.replace("get_w", "getw"))[0] == (
            "it calls 'getweather', which is no tool of this request: did you mean 'get_weather'?"
        )

    def test_arguments_that_the_schema_refuses(self) -> None:
        verdict = sound_calls()(calling(NOW + PARIS.replace("city", "town").replace("3", '"three"')))
        assert verdict.evidence["level"] == "wrong arguments"
        assert verdict.evidence["problems"] == [
            "get_weather: 'city' is missing",
            'get_weather: days: expected integer, got "three"',
            "get_weather: 'town' is no argument of this tool: known: city, days, unit",
        ]
        assert verdict.score == 0.5

    def test_a_schema_that_allows_more(self) -> None:
        open_ = json.loads(json.dumps(WEATHER))
        open_["function"]["parameters"]["additionalProperties"] = {"type": "string"}
        text = PARIS.replace('"days": 3', '"town": "x"')
        assert sound_calls()(calling(text, tools=[open_])).passed
        assert wrong(text.replace('"x"', "1"), tools=[open_])[0] == (
            "get_weather: town: expected string, got 1"
        )

    def test_cut_off(self) -> None:
        assert wrong(PARIS[:50], finish_reason="length")[:2] == [
            "it was cut off amid a call",
            "a call of 'get_weather' that cannot be read: a string that is never closed",
        ]


class TestCarets:
    """As those of `matches_schema`: at what is wrong, with the token that decided it."""

    def test_a_value_out_of_bounds(self) -> None:
        pieces = [*PARIS.partition("3")[:1], "0", "}}</tool_call>"]
        assert wrong("".join(pieces), pieces=pieces) == [
            "get_weather: days: expected at least 1, got 0",
            ' "arguments": {"city": "Paris", "days": 0}}</tool_call>',
            f"{' ' * 40}^",
            "the token there: '0' 0.50, '~' 0.25",
        ]

    def test_a_wrong_type_at_its_quotation_mark(self) -> None:
        pieces = [PARIS.partition("3")[0], '"', '3"', "}}</tool_call>"]
        assert wrong("".join(pieces), pieces=pieces) == [
            'get_weather: days: expected integer, got "3"',
            ' "arguments": {"city": "Paris", "days": "3"}}</tool_call>',
            f"{' ' * 40}^",
            "the token there: '\"' 0.50, '~' 0.25",
        ]

    def test_an_argument_that_there_is_not_at_its_key(self) -> None:
        pieces = [PARIS.partition("days")[0], "town", '": "x"}}</tool_call>']
        assert wrong("".join(pieces), pieces=pieces) == [
            "get_weather: 'town' is no argument of this tool: known: city, days, unit",
            'eather", "arguments": {"city": "Paris", "town": "x"}}</tool_call>',
            f"{' ' * 40}^",
            "the token at line 1, column 68: 'town' 0.50, '~' 0.25",
        ]

    def test_a_missing_argument_where_the_object_is_closed(self) -> None:
        pieces = ['<tool_call>{"name": "get_weather", "arguments": {"days": 3', "}}", "</tool_call>"]
        assert wrong("".join(pieces), pieces=pieces) == [
            "get_weather: 'city' is missing",
            ': "get_weather", "arguments": {"days": 3}}</tool_call>',
            f"{' ' * 40}^",
            "the token there: '}}' 0.50, '~' 0.25",
        ]

    def test_a_word_that_stands_before(self) -> None:
        """The first ``city`` is a value."""
        text = '<tool_call>{"name": "get_weather", "arguments": {"unit": "C", "city": 3}}</tool_call>'
        tools = [tool("get_weather", "city", city={"type": "string"}, unit={"type": "string"})]
        _, line, caret = wrong(text.replace('"C"', '"city"'), tools=tools)
        assert line[len(caret) - 1 :] == "3}}</tool_call>"

    @pytest.mark.parametrize(
        ("said", "at"),
        [
            ("<parameter=days>\nthree\n</parameter>", "three"),
            ("<parameter=town>\nOslo\n</parameter>", "town"),
        ],
    )
    def test_a_format_without_json(self, said: str, at: str) -> None:
        text = (
            "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
            f"{said}\n</function>\n</tool_call>"
        )
        _, line, caret = wrong(text, name="qwen3-coder")
        assert line[len(caret) - 1 :].startswith(at)


VALUES = st.integers(-9, 9) | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(st.sampled_from('ab"{é'), min_size=1, max_size=3), VALUES, min_size=1), st.data()
)
def test_the_caret_is_at_the_argument(arguments: dict[str, Any], data: st.DataObject) -> None:
    """Whatever stands before it; in each spelling of JSON."""
    key = data.draw(st.sampled_from(sorted(arguments)))
    known: dict[str, Any] = {name: {} for name in arguments if name != key}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": known}}}]
    call = json.dumps({"name": "f", "arguments": arguments}, ensure_ascii=data.draw(st.booleans()))
    _, line, caret = wrong(f"<tool_call>{call}</tool_call>", tools=tools)
    assert json.JSONDecoder().raw_decode(f"{line}{' ' * 99}", len(caret) - 1)[0] == key


class TestSchemasToBlame:
    def test_not_valid(self) -> None:
        with pytest.raises(SchemaError) as caught:
            sound_calls()(calling(NOW, tools=[tool("get_time", zone={"type": "strnig"})]))
        assert str(caught.value).startswith(
            "the parameters of the tool 'get_time': the schema is not valid at $.properties.zone.type: "
        )

    def test_without_end(self) -> None:
        tools = [{"type": "function", "function": {"name": "get_time", "parameters": {"$ref": "#"}}}]
        with pytest.raises(SchemaError) as caught:
            sound_calls()(calling(NOW, tools=tools))
        assert str(caught.value) == (
            "the parameters of the tool 'get_time': the schema refers to itself without end: a $ref leads "
            "back to where it stands; remove that"
        )


class TestInExpect:
    """It is a health check."""

    BROKEN = calling(PARIS.replace('"Paris"', "Paris"))

    def test_a_broken_call_is_no_other_answer(self) -> None:
        with pytest.raises(CheckFailed) as caught:
            self.BROKEN.heard_by(Deaf(), HEALTH).expect(not_(calls("get_weather")))
        assert [(found.check, found.status) for found in caught.value.verdicts] == [
            ("sound_calls()", Status.FAILED),
            ("not_(calls('get_weather'))", Status.PASSED),
        ]

    def test_the_fault_is_told_once(self) -> None:
        with pytest.raises(CheckFailed) as caught:
            self.BROKEN.heard_by(Deaf(), HEALTH).expect(calls("get_weather"))
        assert str(caught.value).count("expected a JSON value") == 1

    def test_left_out(self) -> None:
        self.BROKEN.heard_by(Deaf(), HEALTH).expect(not_(calls("get_weather")), without=["tool_calls"])

    def test_sound_calls_are_not_mentioned(self) -> None:
        given = calling(PARIS, tools=TOOLS).heard_by(deaf := Deaf(), HEALTH)
        given.expect(calls("get_weather"))
        assert deaf.checks == ["calls('get_weather')"]


class Deaf:
    """Only remembers which checks were told."""

    def heard(self, _: object, verdicts: Any) -> None:
        self.checks = [verdict.check for verdict in verdicts]
