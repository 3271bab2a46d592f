"""Which part of a rendered prompt is what: system prompt, tools, documents, history, the user's message.

A template is a program, so nothing in its text says where a message begins. What it prints for slightly
different messages does: without the tools, without the generation prompt, only the first few messages, or
with other words in the place of the contents.
"""

from __future__ import annotations

import re
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.thinking import markers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_llmcheck.prompts.template import ChatTemplate

    Render = Callable[..., str | None]
    Span = tuple[int, int]

Kind = Literal["system", "tools", "documents", "history", "user", "generation"]
"""What a part is; ``user`` is the last message of the user, ``history`` all other messages but the first
system prompt, ``generation`` what asks for the reply."""

SYSTEM_ROLES = ("system", "developer")

_STAND_IN = re.compile(r"q7Zk(\d+)x")
"""Words that no template looks for, in the place of contents."""

# Control tokens and the like: what is left of a text without them says something.
_MARKUP = re.compile(r"<[^<>\s]*>|\[/?\w+\]|\s")

# The rest of a control token that was cut in two.
_BROKEN = re.compile(r"\A[^<\[\s]*[>\]]")
_UNFINISHED = re.compile(r"[<\[][^<>\[\]\s]*\Z")


class Part(NamedTuple):
    """Characters from `start` to `end` of a rendered prompt."""

    kind: Kind
    start: int
    end: int


def locate(
    template: ChatTemplate,
    text: str,
    messages: Sequence[Mapping[str, Any]],
    /,  # a variable of the template may have one of these names
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> tuple[Part, ...]:
    """The parts of a rendered prompt, in order; they cover the text without gaps or overlap.

    What a template adds by itself (headers, ends of turns, a default system prompt) goes to the part that it
    surrounds. Tools and documents are what is not there without them; where a template puts them into a
    message, they cut its part in two. Costs ten renderings or so, a few milliseconds.

    Args:
        template: what rendered the text.
        text: what ``template.render(messages, tools=tools, **variables)`` gave.
        messages: as `normalise` and `with_system` return them.
        tools: as for `ChatTemplate.render`.
        variables: further names for the template, ``documents`` among them.

    Raises:
        PromptError: one of these renderings breaks a limit.
    """

    def render(shown: Sequence[Mapping[str, Any]], **other: Any) -> str | None:
        try:
            return template.render(shown, **{"tools": tools, **variables, **other})
        except PromptError as error:
            if error.hostile:
                # It would spend its whole time limit on each of them.
                raise
            # A template may refuse what nobody has asked it to render.
            return None

    markers = markers_of(template.source)
    close = markers.close if markers else None
    spans = _contents(render, text, messages, close)
    paint = _Paint(text, _messages(render, text, messages, spans))
    extras: tuple[tuple[Kind, Any], ...] = (("tools", tools), ("documents", variables.get("documents")))
    for kind, given in extras:
        nothing: tuple[Any, ...] = (None, []) if given else ()
        for none in nothing:
            changed: dict[str, Any] = {kind: none}
            without: Render = partial(render, **changed)
            if (bare := without(messages)) is not None:
                others = _contents(without, bare, messages, close)
                paint.over(kind, _additions(text, spans, bare, others))
                break
    return paint.parts()


def _contents(
    render: Render, text: str, messages: Sequence[Mapping[str, Any]], close: str | None
) -> dict[int, Span]:
    """Where the content of each message stands in the text, by its index; what is not there is left out.

    Of a content in several text parts, it is from the first to the last. `close` is what ends a thought,
    which many templates cut out of earlier turns.
    """
    told: list[tuple[int, str]] = []
    changed = [dict(message) for message in messages]
    for at, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, str):
            changed[at]["content"] = f"q7Zk{len(told)}x"
            told.append((at, content))
        elif content:
            changed[at]["content"] = shown = []
            for part in content:
                if isinstance(part.get("text"), str):
                    shown.append({**part, "text": f"q7Zk{len(told)}x"})
                    told.append((at, part["text"]))
                else:
                    shown.append(part)
    pattern = render(changed)
    forms = [_forms(content, close) for _, content in told]
    found = None if pattern is None else _fill(text, pattern, forms)
    spans: dict[int, Span] = {}
    for (at, _), span in zip(told, found or _in_order(text, forms), strict=True):
        if span is not None:
            start, end = spans.get(at, span)
            spans[at] = (min(start, span[0]), max(end, span[1]))
    return spans


def _forms(content: str, close: str | None) -> list[str]:
    """What templates print of a content, the most first."""
    forms = [content, content.rstrip(), content.lstrip(), content.strip()]
    if close and close in content:
        answer = content.rpartition(close)[2]
        forms += [answer, answer.lstrip("\n"), answer.strip()]
    return list(dict.fromkeys(forms))


def _fill(text: str, pattern: str, told: Sequence[Sequence[str]]) -> list[Span | None] | None:
    """Where the contents stand, if the text is the pattern with contents for stand-ins; else None."""
    pieces = _STAND_IN.split(pattern)
    if not text.startswith(pieces[0]):
        return None
    at = len(pieces[0])
    spans: list[Span | None] = [None] * len(told)
    for number, literal in zip(map(int, pieces[1::2]), pieces[2::2], strict=True):
        printed = next((form for form in told[number] if text.startswith(form + literal, at)), None)
        if printed is None:
            return None
        if spans[number] is None:
            spans[number] = (at, at + len(printed))
        at += len(printed) + len(literal)
    return spans if at == len(text) else None


def _in_order(text: str, told: Sequence[Sequence[str]]) -> list[Span | None]:
    """Where the contents stand, looked for one after the other: a template may depend on what they say."""
    spans: list[Span | None] = []
    at = 0
    for forms in told:
        places = ((text.find(form, at), form) for form in forms if form.strip())
        start, printed = next((place for place in places if place[0] >= 0), (-1, ""))
        spans.append(None if start < 0 else (start, start + len(printed)))
        at = max(at, start + len(printed))
    return spans


def _messages(
    render: Render, text: str, messages: Sequence[Mapping[str, Any]], spans: Mapping[int, Span]
) -> Iterator[tuple[Kind, int]]:
    """The kinds of the messages in the order of the text, each with the place where it ends."""
    kinds = _kinds([str(message.get("role")) for message in messages])
    # Some templates move the system prompt into the last message of the user.
    order = sorted(spans, key=lambda index: (spans[index], index))
    borders = _Borders(render, text, messages)
    if order and messages[order[0]].get("role") == "user":
        # The template's own system prompt.
        yield "system", borders.own(spans[order[0]][0])
    for number, index in enumerate(order):
        later = order[number + 1 :]
        if later and kinds[later[0]] == kinds[index]:
            continue
        count = max(order[: number + 1]) + 1
        low = spans[index][1]
        if later:
            in_order = min(later) >= count
            high = spans[later[0]][0]
            # What stands between belongs to the earlier message, which it ends, such as <</SYS>>.
            yield kinds[index], borders.between(count if in_order else None, low, high, otherwise=high)
        elif count < len(messages):
            end = borders.end(low)
            yield kinds[index], borders.between(count, low, end, otherwise=low)
            yield kinds[-1], end
        else:
            yield kinds[index], borders.end(low)
    if not order:
        yield kinds[-1], borders.end(0)
    yield "generation", len(text)


def _kinds(roles: Sequence[str]) -> list[Kind]:
    first = next((at for at, role in enumerate(roles) if role not in SYSTEM_ROLES), len(roles))
    kinds: list[Kind] = ["system" if at < first else "history" for at in range(len(roles))]
    if "user" in roles:
        kinds[len(roles) - 1 - roles[::-1].index("user")] = "user"
    return kinds


class _Borders:
    """Finds where in the text one message ends and the next begins."""

    def __init__(self, render: Render, text: str, messages: Sequence[Mapping[str, Any]]) -> None:
        self._render = render
        self._text = text
        self._messages = messages

    def between(self, count: int | None, low: int, high: int, *, otherwise: int) -> int:
        """Where, from `low` to `high`, the first `count` messages end and others begin."""
        alone = None if count is None else self._render(self._messages[:count], add_generation_prompt=False)
        if alone is not None and low <= len(alone) <= high and self._text.startswith(alone):
            return len(alone)
        begins = self._text.rfind(self.header, low, high) if self.header else -1
        return otherwise if begins < 0 else begins

    def end(self, low: int) -> int:
        """Where all messages end and the generation prompt begins."""
        alone = self._render(self._messages, add_generation_prompt=False)
        shared = self._text[: _shared_start(self._text, alone or "")]
        return max(low, len(shared if shared == alone else _UNFINISHED.sub("", shared)))

    def own(self, start: int) -> int:
        """Where the template's own words before the first user message end; 0 where that cannot be told."""
        return max(0, self._text.rfind(self.header, 0, start)) if self.header else 0

    @cached_property
    def header(self) -> str:
        """What the template writes before a user's words; empty where that cannot be told."""
        roles = ("user", "assistant", "user")
        talk = [{"role": role, "content": f"q7Zk{number}x"} for number, role in enumerate(roles)]
        whole, single = (
            self._render(shown, tools=None, documents=None, add_generation_prompt=False) or ""
            for shown in (talk, talk[:1])
        )
        pieces = re.split("q7Zk[012]x", whole)
        if len(pieces) != len(talk) + 1:
            return ""
        before, _, between, _ = pieces
        header = _BROKEN.sub("", between[len(between) - _shared_end(before, between) :], count=1)
        # The template's own system prompt ends like any other message.
        turn_end = single.partition("q7Zk0x")[2]
        shorter = header.removeprefix(turn_end)
        return shorter if shorter.strip() else header if header.strip() else ""


def _shared_start(one: str, other: str) -> int:
    """How many characters at their beginnings are the same."""
    known, most = 0, min(len(one), len(other))
    # By halves, since comparing strings is far faster than comparing characters.
    while known < most:
        middle = (known + most + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            most = middle - 1
    return known


def _shared_end(one: str, other: str) -> int:
    """How many characters at their ends are the same."""
    return _shared_start(one[::-1], other[::-1])


def _additions(text: str, spans: Mapping[int, Span], bare: str, others: Mapping[int, Span]) -> Iterator[Span]:
    """What is in the text and not in `bare`, looked for between each two contents."""
    order, same = (sorted(found, key=lambda index: (found[index], index)) for found in (spans, others))
    if order != same:
        order = []
    cuts = [(0, 0), *((spans[index][0], others[index][0]) for index in order)]
    ends = [*cuts[1:], (len(text), len(bare))]
    starts = [(0, 0), *((spans[index][1], others[index][1]) for index in order)]
    for (start, start_bare), (end, end_bare) in zip(starts, ends, strict=True):
        low, high = _added(text[start:end], bare[start_bare:end_bare])
        yield start + low, start + high


def _added(text: str, bare: str) -> Span:
    """The one stretch of the text that is not in `bare`."""
    start = _shared_start(text, bare)
    end = len(text) - min(_shared_end(text, bare), min(len(text), len(bare)) - start)
    # Equal characters at both of its ends can be counted to either side: a whole token or line is meant.
    slides = [0]
    while slides[-1] < start < end and text[start - slides[-1] - 1] == text[end - slides[-1] - 1]:
        slides.append(slides[-1] + 1)
    best = max(slides, key=lambda slide: _begins(text, start - slide))
    return start - best, end - best


def _begins(text: str, at: int) -> int:
    """How much a place looks like the beginning of something."""
    if text[at : at + 1] in ("<", "["):
        return 2
    return 1 if at == 0 or text[at - 1] == "\n" else 0


class _Paint:
    """Kinds of the characters of a text, later ones over earlier ones."""

    def __init__(self, text: str, ends: Iterator[tuple[Kind, int]]) -> None:
        self._text = text
        self._parts: list[Part] = []
        at = 0
        for kind, end in ends:
            self._parts.append(Part(kind, at, end))
            at = end

    def over(self, kind: Kind, spans: Iterable[Span]) -> None:
        """Paint these."""
        for start, end in spans:
            self._paint(kind, start, end)

    def _paint(self, kind: Kind, start: int, end: int) -> None:
        if start >= end:
            return
        parts: list[Part] = []
        for part in self._parts:
            parts.append(Part(part.kind, part.start, min(part.end, start)))
            parts.append(Part(kind, max(part.start, start), min(part.end, end)))
            parts.append(Part(part.kind, max(part.start, end), part.end))
        self._parts = [part for part in parts if part.start < part.end]

    def parts(self) -> tuple[Part, ...]:
        """The parts, neighbours of one kind joined."""
        joined: list[Part] = []
        for part in self._parts:
            if part.start == part.end:
                continue
            if joined and joined[-1].kind == part.kind:
                joined[-1] = Part(part.kind, joined[-1].start, part.end)
            else:
                joined.append(part)
        if len(joined) > 1 and not _MARKUP.sub("", self._text[: joined[0].end]):
            # A lone BOS belongs to what follows it.
            joined[:2] = [Part(joined[1].kind, 0, joined[1].end)]
        return tuple(joined)
