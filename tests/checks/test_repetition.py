"""Loops are found, wherever they begin and however long their unit is; what repeats itself rightly passes."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import no_repetition
from pytest_llmcheck.checks.repetition import LEFT_LENGTH, LEFT_REPEATS, find_loop
from pytest_llmcheck.checks.runs import LEAST_LENGTH, LEAST_REPEATS, Run, runs
from pytest_llmcheck.checks.thought import Thought
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

DATA = Path(__file__).parents[1] / "data"
OTHER = "0123456789"
"""Letters of what stands around a loop, none of them in it."""


@st.composite
def looping(draw: st.DrawFn) -> tuple[str, int, int]:
    """A text with one run, where it begins, and its unit's length."""
    unit = draw(st.text("ab c", min_size=1, max_size=200))
    length = max(LEAST_LENGTH, LEAST_REPEATS * len(unit)) + draw(st.integers(0, 300))
    before, after = draw(st.text(OTHER, max_size=150)), draw(st.text(OTHER, max_size=150))
    body = (unit * (length // len(unit) + 1))[:length]
    return before + body + after, len(before), len(body)


def is_run(text: str, run: Run) -> bool:
    body = text[run.start : run.end]
    ends = (text[run.start - 1 : run.start] or " ") != text[run.start + run.period - 1] or run.start == 0
    return body[run.period :] == body[: -run.period] and ends


class TestRuns:
    @given(looping())
    @settings(max_examples=300)
    def test_every_run_is_found(self, made: tuple[str, int, int]) -> None:
        text, start, length = made
        found = list(runs(text))
        assert any(run.start <= start and run.end >= start + length for run in found)
        assert all(is_run(text, run) for run in found)

    @given(st.text("ab", max_size=400))
    @settings(max_examples=100)
    def test_what_is_found_is_a_run(self, text: str) -> None:
        for run in runs(text):
            assert is_run(text, run)
            assert run.length >= LEAST_LENGTH
            assert run.repeats >= LEAST_REPEATS

    def test_one_character_less_is_none(self) -> None:
        assert list(runs("." + "no" * 50))
        assert not list(runs("." + ("no" * 50)[:-1]))


class TestCut:
    """Of a reply that was cut."""

    @given(looping())
    @settings(max_examples=100)
    def test_a_loop_to_the_end(self, made: tuple[str, int, int]) -> None:
        text, start, length = made
        text = text[: start + length]
        if len(" ".join(text[start:].split())) < LEAST_LENGTH + 50:
            return  # White space counts as one space.
        loop = find_loop(text, cut=True)
        assert loop is not None
        assert loop.end >= len(text.rstrip()) - 1
        left = text + OTHER * 3
        assert find_loop(left, cut=True) == find_loop(left, cut=False)

    @pytest.mark.parametrize(
        ("text", "unit", "repeats"),
        [
            ("Tiny" * 60, "Tiny", 60),
            ("It is a night night" + " night" * 40, "night", 42),
            ("I do.\n" + "I will not let you fail.\n" * 5, "I will not let you fail.", 5),
            ("- 1 cup milk\n\n" * 3 + "- 1 cup milk\n" * 8, "- 1 cup milk", 11),
            ("".join(f"{n}. Botswana\n" for n in range(1, 60)), "10. Botswana", 50),
            ("".join("  " * n + '{"a": {\n' for n in range(40)), '{"a": {', 40),
            ("0." + "3" * 120, "3", 120),
            ("人工智能" * 30, "人工智能", 30),
        ],
    )
    def test_what_models_write(self, text: str, unit: str, repeats: int) -> None:
        loop = find_loop(text, cut=True)
        assert loop is not None
        assert (loop.unit, loop.repeats) == (unit, repeats)
        assert text[loop.start :].startswith(unit.split("\n")[0])
        assert text[loop.last :].startswith(unit[:1]) or unit.startswith("10")

    def test_white_space_without_end(self) -> None:
        loop = find_loop('{"a": 1,' + "\n" * 100, cut=True)
        assert loop is not None
        assert (loop.unit, loop.repeats, loop.start) == ("\n", 100, 8)
        assert find_loop('{"a": 1,' + "\n" * 99, cut=True) is None


RIGHT = {
    "counting": ", ".join(map(str, range(1, 101))),
    "a list that counts": "".join(f"{n}. {n}\n" for n in range(1, 50)),
    "laughter": "ha " * 30,
    "a rule": "=" * 120,
    "zeros": f"zeros = [{', '.join('0' * 40)}]",
    "a board": "\n".join("# . " * 4 for _ in range(8)),
    "lines": "I must not talk in class.\n" * 10,
    "equal rows": json.dumps([{"status": "ok", "value": 0}] * 10),
    "a table": "| day | open |\n|---|---|\n"
    + "".join(f"| {day} | yes |\n" for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")),
    "a refrain": "".join(
        f"{verse}\nAnd all the bells are ringing,\nringing, ringing out for you,\nringing out for you.\n"
        for verse in ("The sun is high", "The moon is low", "The stars are out", "The day is done")
    ),
    "css": "".join(f"h{n} {{\n  margin: 0;\n}}\n" for n in range(1, 7)),
    "assertions": "".join(f"    assert add({n}, {n + 1}) == {2 * n + 1}\n" for n in range(30)),
    "rows with ids": json.dumps([{"id": n, "status": "ok", "value": 0} for n in range(40)], indent=2),
    "checkboxes": "- [ ] \n" * 12,
}


class TestEnded:
    """Of a reply that the model ended."""

    @pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
    def test_right_to_repeat_itself(self, text: str) -> None:
        assert find_loop(text, cut=False) is None

    @pytest.mark.parametrize("name", ["counting", "a list that counts", "assertions", "rows with ids"])
    def test_counting_is_no_loop_where_it_was_cut_either(self, name: str) -> None:
        assert find_loop(RIGHT[name][:-8], cut=True) is None

    @given(st.integers(1, 120))
    @settings(max_examples=30)
    def test_takes_more(self, period: int) -> None:
        unit = "".join(chr(0x4E00 + n) for n in range(period))
        length = max(LEFT_REPEATS * period, LEFT_LENGTH)
        body = (unit * length)[:length]
        assert find_loop(f"a{body}b", cut=False) is not None
        assert find_loop(f"a{body[:-1]}b", cut=False) is None


class TestVerdict:
    def test_passed(self) -> None:
        verdict = no_repetition()(make_reply("Yes."))
        assert (verdict.status, verdict.reason, verdict.score) == (
            Status.PASSED,
            "the reply does not loop",
            1.0,
        )

    def test_failed(self) -> None:
        pieces = ["It is a", *[" night"] * 30]
        reply = make_reply("".join(pieces), pieces=pieces, finish_reason="length")
        verdict = no_repetition()(reply)
        assert verdict.reason == (
            "expected a reply that goes on; got a loop: 'night' 30 times in a row, "
            "from line 1, column 9 to the end\n"
            "It is a night night night night night \n"
            "        ^\n"
            "the last time it was begun by ' night' 0.50, '~' 0.25\n"
            "a larger max_tokens would only make it longer\n"
            "small models and bad quants loop: compare with the reference, or try a higher temperature; "
            'where the text is right to repeat itself, without=["repetition"]'
        )
        assert verdict.evidence == {"unit": "night", "repeats": 30, "span": [8, 187]}
        assert verdict.score == pytest.approx(8 / 187)

    def test_one_that_was_left(self) -> None:
        text = "Well.\n" + "So it goes, and goes.\n" * 40 + "That is all that I know of it."
        first = no_repetition()(make_reply(text)).reason.splitlines()[0]
        assert first == (
            "expected a reply that goes on; got a loop: 'So it goes, and goes.' 40 times in a row, "
            "from line 2, column 1 to line 42, column 1"
        )

    def test_a_long_unit_is_cut(self) -> None:
        unit = "".join(chr(0x4E00 + n) for n in range(200))
        first = no_repetition()(make_reply(unit * 5)).reason.splitlines()[0]
        assert f"'{unit[:60]}...' 5 times" in first

    def test_of_a_thought(self) -> None:
        thought = "Hm.\n" + "Wait, no. " * 20
        reply = replace(make_reply("", finish_reason="length"), thinking=thought)
        reason = no_repetition()(reply).reason
        assert "'Wait, no.' 20 times in a row, from line 2, column 1 of the thought to the end" in reason

    def test_judges_what_has_no_tokens(self) -> None:
        assert no_repetition()(Thought("no " * 60, "length")).status is Status.FAILED


def test_figures() -> None:
    """On replies that SmolLM2 and its quants wrote; docs/health.md has the figures."""
    lines = gzip.decompress((DATA / "looping_replies.jsonl.gz").read_bytes()).decode().splitlines()
    replies: list[dict[str, Any]] = [json.loads(line) for line in lines]
    labels = json.loads((DATA / "looping_labels.json").read_text(encoding="utf-8"))
    loops, repetitive = set(labels["loop"]), set(labels["repetitive"])
    found = {one["id"] for one in replies if find_loop(one["text"], cut=one["finish_reason"] != "stop")}
    assert (len(replies), len(loops), len(repetitive)) == (294, 135, 34)
    assert found <= loops
    assert len(found) == 122


def test_what_is_promised_is_what_is_done() -> None:
    docstring = " ".join((no_repetition.__doc__ or "").split())
    page = (DATA.parents[1] / "docs" / "health.md").read_text(encoding="utf-8")
    for promise in (docstring, page):
        assert f"{LEAST_REPEATS} times and {LEAST_LENGTH} characters" in promise
        assert f"{LEFT_REPEATS} times and {LEFT_LENGTH} characters" in promise
