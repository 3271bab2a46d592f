"""The reply as a test sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Never, Protocol

from pytest_llmcheck.engines.judging import check_arguments, judge_all
from pytest_llmcheck.engines.pointing import not_json
from pytest_llmcheck.strict_json import NotJSONError, parse
from pytest_llmcheck.verdict import CheckFailed, Status, Verdict, so_many

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_llmcheck.engines.count import Count
    from pytest_llmcheck.engines.types import Fingerprint, FinishReason, Prompt, Timings, Token
    from pytest_llmcheck.models.spec import ContentTokens
    from pytest_llmcheck.prompts.forged import Spans
    from pytest_llmcheck.prompts.tool_calls import BrokenCall, ToolCall, ToolFormat
    from pytest_llmcheck.verdict import Check

LONGEST_CHECK = 200
"""Characters of a check in a message; it may hold a whole reply, as ``equals`` does."""


class Listener(Protocol):
    """Hears every verdict; the session writes them into the run record."""

    def heard(self, reply: Reply, verdicts: tuple[Verdict, ...]) -> None:
        """Called once for each `expect`, before it raises."""


class Origin(Protocol):
    """What a reply answers; checks that need more than the reply ask it."""

    @property
    def template(self) -> str:
        """The source of the chat template."""

    @property
    def control_tokens(self) -> Collection[str]:
        """The control tokens of the model's vocabulary, by their names."""

    def says(self, text: str) -> bool:
        """Whether what was given to the chat template, or to the constraint, holds this text."""

    def count(self) -> Count:
        """The tokens of the prompt, part by part."""

    def again(self, *, content_tokens: ContentTokens) -> Reply:
        """The same asked again, control tokens in what users and tools say taken in this way."""


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """What the model answered, and what made it.

    Attributes:
        text: the reply verbatim; of a reasoning model the answer alone, empty where it never came to one.
        finish_reason: ``stop``, ``length`` (cut at max_tokens), ``context`` (the context was full) or
            ``thought`` (the model ended its reply inside its thought).
        tokens: each with `id`, `text`, `logprob` and the `top` alternatives; those of the thought too.
        end: the end-of-generation token, where one ended the reply; not part of `tokens`.
        prompt: text and token ids that the model saw.
        timings: seconds.
        fingerprint: hashes of weights, template, settings and sampling, plus the numerics.
        unenforced: parts of the schema of a constrained reply that decoding did not enforce.
        forged: control tokens in what users and tools say in the prompt, each once.
        thinking: the thought before the answer, without its markers; None where the model did not think.
        raw: all that the model wrote: the thought with its markers, and control tokens by their names.
        controls: begin and end of those control tokens in `raw`, in characters; in order.
        tool_calls: the calls of tools in it, in order; empty where the request gave no tools.
        broken_calls: what begins like a call and is none.
        tools: the definitions of the tools that the request gave.
        tool_format: how the chat template has calls written; None without tools, or where that is not known.
        cached: whether it came from the reply cache; `timings` are then those of the time when it was made.
    """

    text: str
    finish_reason: FinishReason
    tokens: tuple[Token, ...]
    end: Token | None
    prompt: Prompt
    timings: Timings
    fingerprint: Fingerprint
    unenforced: tuple[str, ...] = ()
    forged: tuple[str, ...] = ()
    thinking: str | None = None
    raw: str = field(default="", repr=False)
    controls: Spans = field(default=(), repr=False)
    tool_calls: tuple[ToolCall, ...] = field(default=(), hash=False)
    broken_calls: tuple[BrokenCall, ...] = field(default=(), repr=False)
    tools: Sequence[Mapping[str, Any]] = field(default=(), compare=False, repr=False)
    tool_format: ToolFormat | None = field(default=None, compare=False, repr=False)
    cached: bool = field(default=False, compare=False)
    health: tuple[Check, ...] = field(default=(), compare=False, repr=False)
    without: tuple[str, ...] = field(default=(), compare=False, repr=False)
    listener: Listener | None = field(default=None, compare=False, repr=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def json(self) -> Any:
        """The value of a reply that is JSON and nothing else; ``NaN`` and equal keys are not JSON.

        Raises:
            AssertionError: the reply is not JSON, or was cut off.
        """
        __tracebackhide__ = True
        if self.finish_reason != "stop":
            # What is left of a number or a list may be JSON, and another one.
            how = "ended inside its thought" if self.finish_reason == "thought" else "was cut off"
            message = f"the reply {how} ({self.finish_reason}), so its JSON was not read"
            raise AssertionError(f"{message}\n  reply: {shorten(self.text)}")
        try:
            return parse(self.text)
        except NotJSONError as error:
            told = "\n  ".join(not_json(self, error))
            message = f"the reply is not JSON: {told}\n  reply: {shorten(self.text)}"
            raise AssertionError(message) from None

    def expect(self, *checks: Check, without: Collection[str] = (), **unknown: Never) -> Reply:
        """Judge the reply; every failed check is reported at once.

        A reply that is not healthy fails by itself, before any other check: one that was cut off
        (check ``finished``), that loops (``repetition``), ...

        Args:
            checks: pure objects that return a `Verdict`.
            without: names of the health checks to leave out, such as ``["finished"]``.
            unknown: nothing else; what is given is refused with what was probably meant.

        Returns:
            The reply itself, so that calls can be chained.

        Raises:
            CheckFailed: at least one check failed. Inconclusive and not applicable do not raise: the test
                is reported as skipped with the reason if nothing else fails.
            Exception: what a check raised, which is no verdict on the reply. The others are judged all the
                same; those that failed are in its notes.
        """
        __tracebackhide__ = True
        if unknown:
            raise TypeError(_no_parameter(next(iter(unknown))))
        check_arguments(checks)
        verdicts, error = judge_all(self, checks, without)
        if self.listener is not None:
            self.listener.heard(self, verdicts)
        failed = any(v.status is Status.FAILED for v in verdicts)
        if error is not None:
            if failed:
                error.add_note(f"beside that, {describe_failures(self, verdicts)}")
            raise error
        if failed:
            raise CheckFailed(describe_failures(self, verdicts), verdicts)
        return self

    def heard_by(self, listener: Listener, health: tuple[Check, ...], without: tuple[str, ...] = ()) -> Reply:
        """The same reply, judged with these health checks, some left out, and reporting to this listener."""
        return replace(self, listener=listener, health=health, without=without)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # Failing assertions show it; the rest is in the run record.
        return f"<reply of {self.fingerprint.model} ({self.finish_reason}): {shorten(self.text, 120)}>"


def _no_parameter(name: str) -> str:
    if name in ("rate", "confidence", "method"):
        return f"one reply has no {name}=: ask for many, llm.sample(..., n=100).expect(..., rate=0.9)"
    return f"expect has no {name}=; it takes checks and without=[...]"


def shorten(text: str, limit: int = 400) -> str:
    """One line with escapes, cut in the middle where it is longer than `limit` characters."""
    return shortened(repr(text), limit)


def shortened(line: str, limit: int = 400) -> str:
    """The line, cut in the middle where it is longer than `limit` characters."""
    if len(line) <= limit:
        return line
    half = (limit - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def describe_failures(reply: Reply, verdicts: tuple[Verdict, ...]) -> str:
    """What failed and why, then what the model said, in at most a screen."""
    failed = [v for v in verdicts if v.status is Status.FAILED]
    made = reply.fingerprint
    lines = [
        f"{so_many(len(failed), len(verdicts))} failed on {made.model}, {made.quant}{constraint_note(reply)}"
    ]
    told: set[str] = set()
    for verdict in failed:
        first, *rest = verdict.reason.splitlines() or [""]
        # Checks of JSON all say the same of a text that is none.
        if (level := verdict.evidence.get("level")) in ("cut off", "not JSON"):
            if first in told:
                first, rest = f"{level}, see above", [line for line in rest if line not in told]
            told |= {first, *rest}
        lines.append(f"  {shortened(verdict.check, LONGEST_CHECK)}: {shortened(first)}")
        lines.extend(f"    {shortened(line)}" for line in rest)
    lines.append(f"  reply: {shorten(reply.text)}")
    if reply.thinking is not None:
        lines.append(f"  thinking: {shorten(reply.thinking)}")
    return "\n".join(lines)


def constraint_note(reply: Reply) -> str:
    """That a reply was held to a schema or grammar, which hides what it would have got wrong; else empty."""
    if not reply.fingerprint.constraint:
        return ""
    left = f", which leaves out: {'; '.join(reply.unenforced)}" if reply.unenforced else ""
    return f" (decoded under a constraint{left})"
