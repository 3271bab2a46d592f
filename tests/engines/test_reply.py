"""The reply as a test sees it."""

from __future__ import annotations

import pytest

from pytest_llmcheck.engines.reply import shorten
from pytest_llmcheck.engines.types import Timings
from tests.support.replies import make_reply


def test_json_gives_the_value() -> None:
    assert make_reply(' {"a": [1, 2.5, null]} ').json() == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    "text", ["", "Sure!", '{"a": 1} and more', '{"a": NaN}', '{"a": 1, "a": 2}', "```\n{}\n```"]
)
def test_json_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(AssertionError, match="the reply is not JSON: "):
        make_reply(text).json()


def test_json_says_where_and_what() -> None:
    with pytest.raises(AssertionError) as error:
        make_reply('{"a": 1,\n "b" 2}').json()
    assert str(error.value) == (
        "the reply is not JSON: expected ':' after the key at line 2, column 6\n"
        '   "b" 2}\n'
        "       ^\n"
        '  reply: \'{"a": 1,\\n "b" 2}\''
    )


def test_json_says_that_the_reply_was_cut() -> None:
    # What was cut may be JSON by accident: 12 of 123.
    with pytest.raises(AssertionError) as error:
        make_reply("12", finish_reason="length").json()
    assert str(error.value) == "the reply was cut off (length), so its JSON was not read\n  reply: '12'"


def test_json_shows_the_token_that_went_wrong() -> None:
    with pytest.raises(AssertionError) as error:
        make_reply("[1\n 2]", pieces=["[1", "\n ", "2", "]"]).json()
    assert str(error.value) == (
        "the reply is not JSON: expected ',' or a closing bracket at line 2, column 2\n"
        "   2]\n"
        "   ^\n"
        "  the token at line 1, column 3: '\\n ' 0.50, '~' 0.25\n"
        "  reply: '[1\\n 2]'"
    )


def test_shown_as_its_text() -> None:
    assert str(make_reply("Hello")) == "Hello"
    assert repr(make_reply("Hello\n")) == "<reply of f16 (stop): 'Hello\\n'>"


def test_shorten_keeps_both_ends() -> None:
    short = shorten("a" * 500 + "z" * 500, limit=100)
    assert len(short) <= 100
    assert short.startswith("'aaa")
    assert short.endswith("zzz'")
    assert shorten("a\nb") == "'a\\nb'"


def test_speed_needs_two_tokens() -> None:
    def timings(tokens: int, decode: float) -> Timings:
        return Timings(
            queued=0, prefill=1, ttft=1, decode=decode, total=3, prompt_tokens=5, reply_tokens=tokens
        )

    assert timings(1, 0.0).tokens_per_second is None
    assert timings(21, 2.0).tokens_per_second == 10
