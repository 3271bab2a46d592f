"""The token that wrote a place, whatever was cut out of the text around it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.engines.places import index_at, odds, spans_of, token_at
from tests.support.replies import make_reply, token


@given(st.lists(st.text("ab\u00e9", min_size=1, max_size=3), min_size=1, max_size=8))
def test_every_place_belongs_to_the_token_that_wrote_it(pieces: list[str]) -> None:
    reply = make_reply("".join(pieces), pieces=pieces)
    owners = [i for i, piece in enumerate(pieces) for _ in piece]
    assert [index_at(reply, place) for place in range(len(reply.text))] == owners


def test_a_character_of_several_tokens_belongs_to_all_of_them() -> None:
    tokens = [token(text, i) for i, text in enumerate(("a", "\ufffd", "\ufffd", "b"))]
    assert spans_of(tokens, "a\u00e9b") == [(0, 1), (1, 2), (1, 2), (2, 3)]


def test_a_broken_end() -> None:
    assert spans_of([token("a", 0), token("\ufffd", 1)], "a\ufffd") == [(0, 1), (1, 2)]


def test_behind_a_thought_and_around_control_tokens() -> None:
    raw = "<think>ab</think><x>a<y>b"
    pieces = ["<think>", "ab", "</think>", "<x>", "a", "<y>", "b"]
    reply = replace(make_reply("ab", pieces=pieces), raw=raw, controls=((17, 20), (21, 24)))
    assert [index_at(reply, 0), index_at(reply, 1)] == [4, 6]


@pytest.mark.parametrize("position", [-1, 3])
def test_nothing_stands_there(position: int) -> None:
    assert index_at(make_reply("ab", pieces=["a", "b"]), position) is None


def test_the_end_of_the_text_was_written_by_the_token_that_ended_it() -> None:
    ended = token_at(make_reply("ab", pieces=["a", "b"]), 2)
    assert ended is not None
    assert ended.text == "<end>"
    assert token_at(make_reply("ab", pieces=["a", "b"], finish_reason="length"), 2) is None


def test_a_reply_without_tokens() -> None:
    assert token_at(make_reply("ab"), 0) is None
    assert token_at(object(), 0) is None


def test_odds() -> None:
    assert odds(token("\n", 1)) == "'\\n' 0.50, '~' 0.25"
    assert odds(token("\n", 1), most=1) == "'\\n' 0.50"
