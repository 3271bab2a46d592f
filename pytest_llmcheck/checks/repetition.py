"""Whether a reply has fallen into a loop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.checks.runs import Run, runs
from pytest_llmcheck.engines.places import odds, token_at
from pytest_llmcheck.strict_json import line_and_column, point_at
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check, Judged

# Measured: docs/health.md tells on which replies, `python -m benchmarks.looping` repeats it.
LEFT_LENGTH = 600
LEFT_REPEATS = 5
"""A loop that the model left, or that ends its reply, is longer than what is repeated on purpose."""

_TAIL = 16
"""Characters. A loop that was cut may end in half a character, or in what a grammar had to close."""
_BLANK = 100
"""Characters of white space at the end that are a loop too: grammars of JSON allow any number."""
_SHOWN = 60

# Lists count on while they say the same again and again. Counting alone is no loop.
_NUMBER = re.compile(r"""(?<![^ ])\d{1,3}(?=[.)] [*_"'(]*[^\W\d_])""")


class Loop(NamedTuple):
    """A unit that a text repeats.

    Attributes:
        unit: as it stands in the text the first time, without white space around it.
        repeats: how often it stands there in a row.
        start: where the first one begins, in characters.
        last: where the last whole one begins.
        end: where the repetition ends.
    """

    unit: str
    repeats: int
    start: int
    last: int
    end: int


@dataclass(frozen=True, slots=True)
class NoRepetition:
    """See `no_repetition`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "repetition"

    def __repr__(self) -> str:
        return "no_repetition()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the answer, and the thought before it."""
        cut = reply.finish_reason != "stop"
        thought: str = getattr(reply, "thinking", None) or ""
        if (loop := find_loop(reply.text, cut=cut)) is not None:
            return self._failed(reply, reply.text, "", loop)
        # Where there is an answer, the thought was left.
        if (loop := find_loop(thought, cut=cut and not reply.text)) is not None:
            return self._failed(reply, thought, " of the thought", loop)
        return Verdict(Status.PASSED, repr(self), "the reply does not loop", 1.0)

    def _failed(self, reply: Judged, text: str, where: str, loop: Loop) -> Verdict:
        shown = repr(loop.unit if len(loop.unit) <= _SHOWN else f"{loop.unit[:_SHOWN]}...")
        until = "to the end" if len(text) - loop.end <= _TAIL else f"to {line_and_column(text, loop.end)}"
        lines = [
            f"expected a reply that goes on; got a loop: {shown} {loop.repeats} times in a row, "
            f"from {line_and_column(text, loop.start)}{where} {until}",
            point_at(text, loop.start),
        ]
        token = None if where else token_at(reply, loop.last)
        if token is not None:
            lines.append(f"the last time it was begun by {odds(token)}")
        if reply.finish_reason != "stop":
            lines.append("a larger max_tokens would only make it longer")
        lines.append(
            "small models and bad quants loop: compare with the reference, or try a higher temperature; "
            'where the text is right to repeat itself, without=["repetition"]'
        )
        span = [loop.start, loop.end]
        evidence: dict[str, Any] = {"unit": loop.unit, "repeats": loop.repeats, "span": span}
        left = 1 - (loop.end - loop.start) / len(text)
        return Verdict(Status.FAILED, repr(self), "\n".join(lines), left, evidence)


def no_repetition() -> Check:
    """The reply has not fallen into a loop, nor has the thought before it.

    A loop is a stretch of the text in which one unit follows upon itself, character by character; white space
    of any kind and length counts as one space. Of a reply that was cut it is a loop if it goes on to the
    end, at least 3 times and 100 characters. One that the model left, or with which it ended its
    reply, takes 5 times and 600 characters, since tables, equal rows and refrains are no loops. 100
    characters of white space at the end are one too.

    The phenomenon: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration". The share of
    repeated n-grams that Welleck et al. 2020 measure (seq-rep-n) tells models apart, not replies: a good
    table has a high one. vLLM (``repetition_detection``) stops a reply once it ends in so many equal units.

    It runs on every reply; ``reply.expect(..., without=["repetition"])`` leaves it out.
    """
    return NoRepetition()


def find_loop(text: str, *, cut: bool) -> Loop | None:
    """The longest loop in a text, if it has one.

    Args:
        text: any text.
        cut: whether it would have gone on.
    """
    bare = text.rstrip()
    if len(text) - len(bare) >= _BLANK:
        blank = len(text) - len(bare)
        return Loop(text[len(bare)], blank, len(bare), len(text) - 1, len(text))
    even = _NUMBER.sub(lambda number: "0" * len(number[0]), " ".join(bare.split()))
    found = [run for run in runs(even) if _is_loop(run, cut=cut and len(even) - run.end <= _TAIL)]
    if not found:
        return None
    run = max(found, key=lambda run: (run.length, -run.period))
    places = _places(text)
    # The second unit tells better: what stands before the first one is not the same.
    second = run.start + run.period
    first = run.start + _begins_well(text, places[second : second + run.period])
    # The last one need not have the space that parts it from a next one.
    repeats = (run.end - first + (even[first + run.period - 1] == " ")) // run.period
    start, last = places[first], places[first + (repeats - 1) * run.period]
    unit = text[start : places[first + run.period]].strip()
    return Loop(unit, repeats, start, last, places[run.end - 1] + 1)


def _begins_well(text: str, places: list[int]) -> int:
    """Which of these places a person would take for the beginning of a unit: of a line, else of a word."""
    before = [text[place - 1] if place else "\n" for place in places]
    for border in ("\n", " "):
        for number, place in enumerate(places):
            if before[number] == border and not text[place].isspace():
                return number
    return 0


def _is_loop(run: Run, *, cut: bool) -> bool:
    return cut or (run.repeats >= LEFT_REPEATS and run.length >= LEFT_LENGTH)


def _places(text: str) -> list[int]:
    """Where each character of the text with single spaces stands in the text as it is."""
    places: list[int] = []
    for word in re.finditer(r"\S+", text):
        if places:
            places.append(places[-1] + 1)
        places.extend(range(*word.span()))
    return places
