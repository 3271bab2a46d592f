"""The JSON value of a reply, or the level at which there is none: cut off, or not JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_llmcheck.checks.health import cut_off
from pytest_llmcheck.checks.json_repairs import repaired
from pytest_llmcheck.engines.pointing import not_json, odds_at
from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.strict_json import NotJSONError, parse
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_llmcheck.verdict import Judged

Extract = Literal["strict", "fence", "first"]
"""Where JSON may stand in a reply; see `checked_extract`."""

# A fenced code block as CommonMark 0.31 defines it (section 4.5): one that is not closed runs to the end.
_FENCE = re.compile(
    r"^ {0,3}(?P<fence>(?P<mark>[`~])(?P=mark){2,}+)"
    r"(?!(?<=`)[^\n]*`)(?P<info>[^\n]*)\n"  # behind ```, no ` in the line: that would be code within a line
    r"(?P<body>.*?)(?:^ {0,3}(?P=fence)(?P=mark)*[ \t]*\r?$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_DECODER = JSONDecoder()
_BRACKET = re.compile(r"[\[{]")

MOST_BRACKETS = 100
"""Brackets that are no JSON, such as those of ``[sic]``, before the search for the first value gives up."""


@dataclass(frozen=True, slots=True)
class JsonOf:
    """The value that was read.

    Attributes:
        value: as `json.loads` gives it.
        begin: where its text begins in the reply's, in characters.
        end: behind its last character.
        taken: how it was taken out of other text; empty where the whole reply is JSON.
    """

    value: Any
    begin: int
    end: int
    taken: str = ""

    @property
    def evidence(self) -> dict[str, Any]:
        """What a report has to know of it."""
        return {"extracted": self.taken, "span": [self.begin, self.end]} if self.taken else {}

    def told(self, text: str) -> str:
        """That it was taken out of other text, for a reason; empty where it was not."""
        if not self.taken:
            return ""
        return f" (taken out of {self.taken}: characters {self.begin} to {self.end} of {len(text)})"


@dataclass(frozen=True, slots=True)
class Field:
    """A value inside JSON, to be judged as a reply is.

    Attributes:
        text: that of a string; else its JSON.
        written: its JSON as it stands there, by which checks of JSON judge it: a string in quotation marks.
        finish_reason: always ``stop``: what was cut off is not judged.
    """

    text: str
    written: str
    finish_reason: str = "stop"


def json_side(judged: Judged) -> Judged:
    """What a check of JSON looks at: of a `Field` its JSON, of all else the text."""
    return Field(judged.written, judged.written) if isinstance(judged, Field) else judged


class NoJsonError(Exception):
    """There is no value to judge.

    Attributes:
        level: ``cut off`` or ``not JSON``.
        reason: for the verdict; one or several lines.
        evidence: for the verdict.
    """

    def __init__(self, level: str, reason: str, **evidence: Any) -> None:
        super().__init__(reason)
        self.level = level
        self.evidence = {"level": level, **evidence}

    def verdict(self, check: str) -> Verdict:
        """The check failed for this."""
        return Verdict(Status.FAILED, check, str(self), score=0.0, evidence=self.evidence)


def checked_extract(extract: Extract, check: str) -> Extract:
    """The way to take JSON out of a reply, if it is one.

    Raises:
        ValueError: it is none.
    """
    __tracebackhide__ = True
    if extract not in get_args(Extract):
        raise ValueError(f"{check}: extract={extract!r}: {did_you_mean(str(extract), get_args(Extract))}")
    return extract


def json_of(
    reply: Judged, extract: Extract, fits: Callable[[Any], str] | None = None, *, hint: bool = True
) -> JsonOf:
    """The JSON value of a reply.

    ``strict`` takes the whole text. The others take that too where it is JSON; else ``fence`` takes the first
    fenced code block marked ``json``, or without such the first one without a language, and ``first`` the
    first object or array in the text. What was begun and is broken is not passed over for what comes later.

    Args:
        reply: whatever is judged.
        extract: where JSON may stand.
        fits: what to say of a repaired value behind ``it would be JSON``, in the hint.
        hint: whether a failure says what a repair would have done.

    Raises:
        NoJsonError: the reply was cut off, or has no JSON there.
    """
    if cut := cut_off(reply):
        reason = f"cut off, so its JSON was not judged; {cut}"
        raise NoJsonError("cut off", reason, finish_reason=reply.finish_reason)
    try:
        return JsonOf(parse(reply.text), *_bare(reply.text, 0, len(reply.text)))
    except NotJSONError as error:
        problem, where = error, ""
    begin, end, taken = 0, len(reply.text), ""
    found = {"fence": _fenced, "first": _first}[extract](reply.text) if extract != "strict" else None
    if found is not None:
        begin, end, taken = found
        try:
            value = parse(reply.text[begin:end])
        except NotJSONError as error:
            problem = NotJSONError(str(error), begin + error.position, begin + error.wrong_from)
            where = f" in {taken}"
        else:
            return JsonOf(value, *_bare(reply.text, begin, end), taken)
    elif extract != "strict" and reply.text.strip():
        where = f", and no {'``` fence of JSON' if extract == 'fence' else 'object or array'} in it"
    first, *rest = not_json(reply, problem)
    lines = [f"not JSON{where}: {first}", *rest]
    if hint:
        lines += _hint(reply.text[begin:end], extract, fits)
    evidence: dict[str, Any] = {"position": problem.position, "problem": str(problem)}
    if (told := odds_at(reply, problem.wrong_from)) is not None:
        evidence["token"] = told
    if taken:
        evidence["extracted"] = taken
    raise NoJsonError("not JSON", "\n".join(lines), **evidence)


def _hint(text: str, extract: Extract, fits: Callable[[Any], str] | None) -> Iterator[str]:
    """What another way of taking it, or a repair, would have given."""
    ways: list[tuple[Extract, Callable[[str], tuple[int, int, str] | None], str]] = [
        ("fence", _fenced, "inside a ``` fence; ask in the prompt for JSON without one"),
        ("first", _first, "in the text; ask in the prompt for JSON and nothing else"),
    ]
    for name, find, where in ways:
        if extract == "strict" and (found := find(text)) is not None and _is_json(text[found[0] : found[1]]):
            yield f"hint: there is JSON {where}, or take it out with extract={name!r}"
            return
    if mended := repaired(text):
        outcome = fits(mended.value) if fits else ""
        yield f"hint: but for {mended.told} it would be JSON{outcome}"


def _fenced(text: str) -> tuple[int, int, str] | None:
    fences = list(_FENCE.finditer(text))
    # The first word of the info string is the language.
    languages = [(fence["info"].split() or [""])[0].lower() for fence in fences]
    marked = [fence for fence, language in zip(fences, languages, strict=True) if language == "json"]
    bare = [fence for fence, language in zip(fences, languages, strict=True) if not language]
    chosen = next(iter(marked or bare), None)
    return None if chosen is None else (*chosen.span("body"), f"a {chosen['fence']} fence")


def _first(text: str) -> tuple[int, int, str] | None:
    at = 0
    for _ in range(MOST_BRACKETS):
        if (bracket := _BRACKET.search(text, at)) is None:
            break
        begin = bracket.start()
        try:
            # Python's own reader finds its end; whether it is JSON as it should be is judged after that.
            return begin, _DECODER.raw_decode(text, begin)[1], "the text around it"
        except JSONDecodeError as error:
            if text[begin + 1 : error.pos].strip() or error.pos >= len(text):
                # It was begun as JSON: what is inside it is not the first value.
                return begin, len(text), "the text around it"
            at = _behind(text, begin)
        except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
            return begin, len(text), "the text around it"
    return None


def _behind(text: str, begin: int) -> int:
    """Behind the bracket that closes the one at `begin`, as in ``{name}``; behind itself if none does."""
    depth = 0
    for at in range(begin, len(text)):
        depth += (text[at] in "[{") - (text[at] in "]}")
        if depth == 0:
            return at + 1
    return begin + 1


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except NotJSONError:
        return False
    return True


def _bare(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span without the blanks around it."""
    inner = text[begin:end]
    left = len(inner) - len(inner.lstrip(" \t\n\r"))
    return begin + left, begin + len(inner.rstrip(" \t\n\r"))
