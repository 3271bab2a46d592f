"""The thought of a reasoning model apart from its answer, by the markers that its own chat template has.

Which models write what: the 70 templates of llama.cpp (``models/templates``) and its own parsers of them
(``common/chat-diff-analyzer.cpp``, ``common/parsers``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Markers:
    """What stands around a thought, and around the answer after it.

    Attributes:
        open: begins a thought, such as ``<think>``.
        close: ends it, such as ``</think>``.
        turn: header that may stand before a further thought or before the answer.
        answers: headers that begin the answer; one ends a thought that was not closed.
        end: ends the answer, where the model writes something of its own there.
    """

    open: str
    close: str
    turn: str = ""
    answers: tuple[str, ...] = ()
    end: str = ""


class Segment(NamedTuple):
    """A part of a reply: characters from `start` to `end`."""

    kind: Literal["thought", "marker", "answer"]
    start: int
    end: int


class Split(NamedTuple):
    """A reply taken apart.

    Attributes:
        thinking: the thought; None where the reply has none.
        answer: what is left; empty where the thought was not closed.
        closed: False for a thought that never ended.
    """

    thinking: str | None
    answer: str
    closed: bool


_GPT_OSS = Markers(
    open="<|channel|>analysis<|message|>",
    close="<|end|>",
    turn="<|start|>assistant",
    answers=(
        "<|channel|>final<|message|>",
        "<|channel|>final <|constrain|>json<|message|>",
        "<|channel|>commentary<|message|>",
    ),
)
_GEMMA_4 = Markers(open="<|channel>thought", close="<channel|>")
_COHERE = Markers(
    open="<|START_THINKING|>",
    close="<|END_THINKING|>",
    answers=("<|START_RESPONSE|>", "<|START_TEXT|>"),
    end="<|END_RESPONSE|>",
)
_MISTRAL = Markers(open="[THINK]", close="[/THINK]")
_APERTUS = Markers(open="<|inner_prefix|>", close="<|inner_suffix|>")
_SOLAR = Markers(open="<|think|>", close="<|end|>", turn="<|begin|>assistant", answers=("<|content|>",))
_MUSE = Markers(
    open=" to=self<|message|>", close="<|eom|>", turn="<|start|>assistant", answers=(" to=user<|message|>",)
)
_KIMI_K3 = Markers(
    open="<|open|>think<|sep|>",
    close="<|close|>think<|sep|>",
    answers=("<|open|>response<|sep|>",),
    end="<|close|>response<|sep|>",
)
_APRIEL = Markers(
    open="Here are my reasoning steps:", close="[BEGIN FINAL RESPONSE]", end="[END FINAL RESPONSE]"
)
_GRANITE = Markers(open="<think>", close="</think>", answers=("<response>",), end="</response>")

#: What a template must contain, all of it, to be of a family; the first that fits is taken.
_FAMILIES: tuple[tuple[tuple[str, ...], Markers], ...] = (
    (("<|channel|>analysis<|message|>",), _GPT_OSS),
    (("<|channel>thought", "<channel|>"), _GEMMA_4),
    (("<|START_THINKING|>", "<|END_THINKING|>"), _COHERE),
    (("[THINK]", "[/THINK]"), _MISTRAL),
    (("<|inner_prefix|>", "<|inner_suffix|>"), _APERTUS),
    (("<|begin|>assistant<|think|>",), _SOLAR),
    (("assistant to=self<|message|>",), _MUSE),
    (("open_tag('think')", "<|open|>", "<|sep|>"), _KIMI_K3),
    (("[BEGIN FINAL RESPONSE]",), _APRIEL),
    (("<think></think>", "<response></response>"), _GRANITE),
)

# Compiled by `re` when first needed: most templates know of no thinking, and every run comes by here.
_WORD = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?)"
_TAG = rf"</({_WORD})(\{{\}})?>"
_VARIABLE = r"""\{%-?\s*set\s+(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)")\s*-?%\}"""
_FORMATTED = r"\s*['\"]\s*\.format\((\w+)\)"


@lru_cache(maxsize=64)
def markers_of(source: str) -> Markers | None:
    """The markers of a chat template; None where it knows of no thinking.

    They are read from the text of the template. Where it only cuts the thoughts out of earlier turns
    (``content.split('</think>')``), the opening marker is that of the same name.

    Args:
        source: the jinja source.

    >>> markers_of("{{ '<think>' + thought + '</think>' }}")
    Markers(open='<think>', close='</think>', turn='', answers=(), end='')
    """
    # A comment may tell of markers that the model never writes.
    bare = _without_comments(source)
    for needed, markers in _FAMILIES:
        if all(text in bare for text in needed):
            return markers
    found = re.search(_TAG, bare) if "</" in bare else None
    if found is None:
        return None
    name = found[1]
    if found[2] is not None:
        # Tencent's Hy3 writes '</think{}>'.format(HYTK), with a variable that it sets itself.
        called = re.match(_FORMATTED, bare[found.end() :])
        values = {name: first or second for name, first, second in re.findall(_VARIABLE, bare)}
        name += values.get(called[1], "") if called else ""
    return Markers(f"<{name}>", f"</{name}>")


def _without_comments(source: str) -> str:
    # No regular expression: a hostile template with many beginnings and no end would take it hours.
    kept, at = [], 0
    while (begin := source.find("{#", at)) >= 0 and (end := source.find("#}", begin + 2)) >= 0:
        kept.append(source[at:begin])
        at = end + 2
    return "".join([*kept, source[at:]])


def split(text: str, markers: Markers, prompt: str, *, controls: Spans = (), begun: bool = True) -> Split:
    r"""A reply taken apart into thought and answer.

    Several thoughts in a row are joined by an empty line. Line breaks around a thought, and those between it
    and the answer, belong to neither. A reply without any marker is the answer, as it is.

    Args:
        text: the reply with its control tokens shown.
        markers: of the model's template.
        prompt: the rendered prompt, or its end: it may have opened the thought, or closed it.
        controls: where control tokens stand in the text; what is left of them is dropped.
        begun: whether a thought that the prompt opened counts. Not for a reply that was held to a grammar,
            which says itself how the text begins.

    >>> split("<think>\nTwo?\n</think>\n\n2", Markers("<think>", "</think>"), "<user>1 + 1")
    Split(thinking='Two?', answer='2', closed=True)
    """
    found = segments(text, markers, prompt, begun=begun)
    cut = _cutter(text, controls)
    thoughts = [cut(part).strip("\n") for part in found if part.kind == "thought"]
    answer = "".join(cut(part) for part in found if part.kind == "answer")
    if any(part.kind == "marker" for part in found):
        answer = answer.lstrip("\n")
        if markers.end and found[-1].kind == "marker":
            answer = answer.rstrip("\n")
    return Split(
        thinking="\n\n".join(filter(None, thoughts)) if thoughts else None,
        answer=answer,
        closed=found[-1].kind != "thought",
    )


def segments(text: str, markers: Markers, prompt: str, *, begun: bool = True) -> list[Segment]:
    """The parts of a reply, in order: they cover the text without gaps.

    A reply ends in a ``thought`` if and only if the thought was not closed. Arguments as for `split`.
    """
    said = prompt.rstrip()
    opened, closed = said.endswith(markers.open.rstrip()), said.endswith(markers.close.rstrip())
    before, header = _patterns(markers)
    found: list[Segment] = []

    def add(kind: Literal["thought", "marker", "answer"], start: int, end: int) -> int:
        found.append(Segment(kind, start, end))
        return end

    at = 0
    thinking = begun and opened
    if thinking and (again := before.match(text)):
        # Some models write the marker that the prompt has written already.
        at = add("marker", at, again.end())
    elif not thinking and not closed:
        # The template itself takes all that stands before a closing marker for the thought.
        thinking = _closes_alone(text, markers) and not before.match(text) and not header.match(text)
    while thinking or (opening := before.match(text, at)):
        if not thinking and opening:
            at = add("marker", at, opening.end())
        end, after = _end_of_thought(text, at, markers)
        at = add("thought", at, end)
        if at == len(text):
            return found
        if after > at:
            at = add("marker", at, after)
        thinking = False
    if begins := header.match(text, at):
        at = add("marker", at, begins.end())
    tail = len(text)
    if markers.end and text[at:].rstrip().endswith(markers.end):
        tail = text.rindex(markers.end)
    add("answer", at, tail)
    if tail < len(text):
        add("marker", tail, len(text))
    return found


@lru_cache(maxsize=64)
def _patterns(markers: Markers) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What begins a thought, and what begins the answer, with the header and white space before it."""
    turn = rf"\s*(?:{re.escape(markers.turn)})?"
    answers = "|".join(map(re.escape, markers.answers))
    return re.compile(turn + re.escape(markers.open)), re.compile(f"{turn}(?:{answers or '(?!)'})")


def _closes_alone(text: str, markers: Markers) -> bool:
    """Whether a closing marker stands in the text, one that closes nothing but thoughts."""
    # Where turns have headers, every turn ends with it.
    return not markers.turn and markers.close in text


def _end_of_thought(text: str, at: int, markers: Markers) -> tuple[int, int]:
    """Where the thought that begins at `at` ends, and where what closes it does."""
    end = text.find(markers.close, at)
    before = len(text) if end < 0 else end
    begins = [place for answer in markers.answers if (place := text.find(answer, at, before)) >= 0]
    if begins:
        place = min(begins)
        if markers.turn and text.endswith(markers.turn, at, place):
            place -= len(markers.turn)
        return place, place
    return before, before if end < 0 else end + len(markers.close)


def _cutter(text: str, controls: Spans) -> Callable[[Segment], str]:
    """Gives the text of a segment without the control tokens in it."""

    def cut(part: Segment) -> str:
        pieces, at = [], part.start
        for start, end in controls:
            if start < part.end and end > at:
                pieces.append(text[at:start])
                at = end
        return "".join([*pieces, text[at : part.end]])

    return cut
