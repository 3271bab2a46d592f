"""What belongs to the wire and not to an answer: control tokens, markers of thoughts, broken bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.engines.places import odds, token_at, token_of
from pytest_llmcheck.prompts.audit.families import END_MARKS, FAMILIES
from pytest_llmcheck.prompts.thinking import Markers, markers_of, segments
from pytest_llmcheck.strict_json import line_and_column, point_at
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pytest_llmcheck.engines.types import Token
    from pytest_llmcheck.verdict import Check, Judged

_REPLACEMENT = "\ufffd"

# No text but one about chat formats has these.
_UNMISTAKABLE = (
    r"<\|[^\s<>|]{1,40}\|>"  # ChatML, Llama 3, Phi, gpt-oss, ...
    r"|<｜[^\s<>｜]{1,40}｜>"  # noqa: RUF001 - DeepSeek writes them with fullwidth bars
    r"|\[\|(?:system|user|assistant|tool|endofturn)\|\]"  # EXAONE
    r"|<</?SYS>>"  # Llama 2
)
_SPELLED = re.compile(_UNMISTAKABLE + r"|<[^\s<>]{1,40}>|\[[^\s\[\]]{1,40}\]")
_CERTAIN = re.compile(_UNMISTAKABLE)
_KNOWN = END_MARKS.union(*FAMILIES.values(), ("<bos>",))
# Some vocabularies have a control token <filename>, and answers are right to write "python <filename>".
_PLAIN_TAG = re.compile(r"</?[A-Za-z][\w-]*>")
_OF_TOOLS = re.compile(r"tool|call|function|python|action|plugin|interpreter|ipython", re.IGNORECASE)
_QUOTES = "`*'\"“”‘’«»"  # noqa: RUF001 - quotation marks as texts have them
_CODE = re.compile("```.*?```", re.DOTALL)

_TAGS = tuple(Markers(f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "reasoning"))


class _Leak(NamedTuple):
    """A part of what the model wrote that does not belong into an answer."""

    text: str
    source: str
    position: int
    token: Token | None


@dataclass(frozen=True, slots=True)
class ValidText:
    """See `valid_text`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "valid_text"

    def __repr__(self) -> str:
        return "valid_text()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by plain search."""
        text = reply.text
        # A character of several tokens may be cut in its middle; `finished` says that it was cut.
        whole = text if reply.finish_reason == "stop" else text.rstrip(_REPLACEMENT)
        at = whole.find(_REPLACEMENT)
        if at < 0 or _asked_for(reply, _REPLACEMENT):
            return Verdict(Status.PASSED, repr(self), "all bytes are text", 1.0)
        leak = _Leak(_REPLACEMENT, text, at, token_at(reply, at))
        first = (
            f"expected text; got bytes that are not UTF-8 (U+FFFD), {_times(whole.count(_REPLACEMENT), leak)}"
        )
        remedy = "damaged weights or a too small quant do this; compare with the reference"
        return _failed(repr(self), first, leak, remedy)


@dataclass(frozen=True, slots=True)
class NoControlTokens:
    """See `no_control_tokens`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "no_control_tokens"

    def __repr__(self) -> str:
        return "no_control_tokens()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the tokens that the model wrote, and their names written as letters."""
        leaks = [*_written(reply), *_spelled(reply)]
        if not leaks:
            return Verdict(Status.PASSED, repr(self), "no control token is left in the reply", 1.0)
        first = leaks[0]
        same = sum(leak.text == first.text for leak in leaks)
        how = " as letters" if first.source is reply.text else ""
        reason = f"expected no control tokens in the reply; got {first.text!r}{how}, {_times(same, first)}"
        if others := dict.fromkeys(repr(leak.text) for leak in leaks if leak.text != first.text):
            shown = list(others)[:5]
            more = f" and {len(others) - 5} others" if len(others) > 5 else ""
            reason += f"; also {', '.join(shown)}{more}"
        remedy = (
            "a chat template that is not the model's own, or a broken end of turn, does this: "
            "look at reply.prompt.text and run llmcheck inspect"
        )
        return _failed(repr(self), reason, first, remedy)


@dataclass(frozen=True, slots=True)
class ClosedThought:
    """See `closed_thought`."""

    @property
    def name(self) -> str:
        """The name for ``without=``."""
        return "closed_thought"

    def __repr__(self) -> str:
        return "closed_thought()"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by the markers of the model's own template, and by those that most models have."""
        text: str = getattr(reply, "raw", "") or reply.text
        for what, marker, source, at in _stray(reply, text):
            if not _asked_for(reply, marker):
                token = token_at(reply, at) if source is reply.text else token_of(reply, at)
                leak = _Leak(marker, source, at, token)
                first = f"expected the thought apart from the answer; {what} at {line_and_column(source, at)}"
                remedy = (
                    "look at reply.raw; where all replies have it, the chat template is not the model's own: "
                    "run llmcheck inspect"
                )
                return _failed(repr(self), first, leak, remedy)
        return Verdict(Status.PASSED, repr(self), "no marker of a thought is left in the answer", 1.0)


def valid_text() -> Check:
    """The reply has no U+FFFD, which stands for bytes that are not UTF-8, unless the prompt has it too.

    A character that was cut in its middle at the end of a cut reply does not count: `finished` says that.

    It runs on every reply; ``reply.expect(..., without=["valid_text"])`` leaves it out.
    """
    return ValidText()


def no_control_tokens() -> Check:
    """The model wrote no control token in its reply, nor the name of one as letters (``<|im_end|>``).

    Control tokens are those of the model's vocabulary; as letters also those of the known families of chat
    formats: ``<|...|>`` of any name, ``[INST]``, ``</s>`` without a ``<s>`` before it (HTML has both), ...
    Markers of thoughts and of tool calls are free. As letters, so are names between quotation marks,
    backticks or asterisks, what stands in a block of code, plain tags such as ``<filename>``, and all that
    the messages themselves contain.

    It runs on every reply; ``reply.expect(..., without=["no_control_tokens"])`` leaves it out.
    """
    return NoControlTokens()


def closed_thought() -> Check:
    """No marker of a thought is left in the answer: none that was not closed, or closed twice.

    Markers are those of the model's own chat template, else ``<think>`` and its like. A thought in which the
    reply ended is told by `finished`; this check finds an opening or closing marker within the answer, and a
    whole thought at its beginning that the chat template knows nothing of. Markers in quotation marks or in a
    block of code are free, and those that the messages themselves contain.

    It runs on every reply; ``reply.expect(..., without=["closed_thought"])`` leaves it out.
    """
    return ClosedThought()


def _written(reply: Judged) -> Iterator[_Leak]:
    """Control tokens in the midst of what the model wrote."""
    controls: Sequence[tuple[int, int]] = getattr(reply, "controls", ())
    if not controls:
        return
    raw: str = reply.raw  # type: ignore[attr-defined]  # what has controls is a Reply
    markers = _markers(reply)
    of_thoughts = "" if markers is None else "".join(_texts(markers))
    for start, end in controls:
        name = raw[start:end]
        if name not in of_thoughts and not _OF_TOOLS.search(name) and not _of_call(reply, start, end):
            yield _Leak(name, raw, start, token_of(reply, start))


def _of_call(reply: Judged, start: int, end: int) -> bool:
    """Whether a part of what the model wrote belongs to a call of a tool, in the template's own format."""
    made = (*getattr(reply, "tool_calls", ()), *getattr(reply, "broken_calls", ()))
    return any(call.start <= start and end <= call.end for call in made)


def _spelled(reply: Judged) -> Iterator[_Leak]:
    """Names of control tokens, written as letters."""
    text = reply.text
    if "<" not in text and "[" not in text:
        return
    own = _own(reply)
    for found in _SPELLED.finditer(_prose(text)):
        name, at = found[0], found.start()
        if not (
            name in _KNOWN or _CERTAIN.fullmatch(name) or (name in own and not _PLAIN_TAG.fullmatch(name))
        ):
            continue
        struck_out = name == "</s>" and "<s>" in text[:at]
        if struck_out or _quoted(text, at, found.end()) or _OF_TOOLS.search(name) or _asked_for(reply, name):
            continue
        yield _Leak(name, text, at, token_at(reply, at))


def _stray(reply: Judged, raw: str) -> Iterator[tuple[str, str, str, int]]:
    """What is wrong, the marker, and the text and the place where it stands."""
    markers = _markers(reply)
    if markers is not None:
        if raw.count(markers.open) + raw.count(markers.close) < 1:
            return
        prompt: str = reply.prompt.text  # type: ignore[attr-defined]  # only a Reply knows its template
        for part in segments(raw, markers, prompt):
            if part.kind == "answer":
                for marker, what in ((markers.close, "closes"), (markers.open, "opens")):
                    at = part.start + _prose(raw[part.start : part.end]).find(marker)
                    if at >= part.start and not _quoted(raw, at, at + len(marker)):
                        yield f"{marker!r} {what} one within the answer,", marker, raw, at
        return
    text = reply.text
    if "<" not in text:
        return
    prose = _prose(text)
    for tag in _TAGS:
        opened, closed = prose.find(tag.open), prose.find(tag.close)
        if closed >= 0 and not 0 <= opened < closed and not _quoted(text, closed, closed + len(tag.close)):
            yield f"{tag.close!r} closes one that never began,", tag.close, text, closed
        elif opened >= 0 and closed < 0 and not _quoted(text, opened, opened + len(tag.open)):
            yield f"{tag.open!r} begins one that never ends,", tag.open, text, opened
        elif opened >= 0 and not prose[:opened].strip():
            what = f"the reply begins with one ({tag.open!r}), and the chat template knows of none,"
            yield what, tag.open, text, opened


def _markers(reply: Judged) -> Markers | None:
    origin = getattr(reply, "origin", None)
    return None if origin is None else markers_of(origin.template)


def _texts(markers: Markers) -> tuple[str, ...]:
    return (markers.open, markers.close, markers.turn, *markers.answers, markers.end)


def _own(reply: Judged) -> Collection[str]:
    """The control tokens of the model's vocabulary, where it is known."""
    origin = getattr(reply, "origin", None)
    known: Collection[str] = () if origin is None else origin.control_tokens
    return known


def _asked_for(reply: Judged, text: str) -> bool:
    """Whether the prompt talks of it; what the template adds does not count where it can be told apart."""
    origin: Any = getattr(reply, "origin", None)
    if origin is not None:
        said: bool = origin.says(text)
        return said
    return text in getattr(getattr(reply, "prompt", None), "text", "")


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether it stands between quotation marks: such a text is about it."""
    return start > 0 and end < len(text) and text[start - 1] in _QUOTES and text[end] in _QUOTES


def _prose(text: str) -> str:
    """The text with its blocks of code blanked, each character in its place: code is about something."""
    return _CODE.sub(lambda code: "`" * len(code[0]), text) if "```" in text else text


def _times(count: int, first: _Leak) -> str:
    """How often, and where first."""
    where = line_and_column(first.source, first.position)
    return f"at {where}" if count == 1 else f"{count} times, first at {where}"


def _failed(check: str, first: str, leak: _Leak, remedy: str) -> Verdict:
    lines = [first, point_at(leak.source, leak.position)]
    evidence: dict[str, Any] = {"found": leak.text, "position": leak.position}
    if leak.token is not None:
        lines.append(f"written by {odds(leak.token)}")
        evidence["token"] = leak.token.id
    return Verdict(Status.FAILED, check, "\n".join([*lines, remedy]), 0.0, evidence)
