"""A chat template: messages -> the text that the model sees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.continuation import continued, mark
from pytest_llmcheck.prompts.messages import THOUGHT_KEYS
from pytest_llmcheck.prompts.renderer import RENDERER, RenderingFailedError
from pytest_llmcheck.prompts.wire import (
    CPU_SECONDS,
    DATA_BYTES,
    LIMITS,
    OUTPUT_CHARACTERS,
    OUTPUT_TIMES,
    PASSING,
    WALL_SECONDS,
    Failure,
    Trouble,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

FIXED_DATE = date(2024, 7, 26)
"""What ``strftime_now`` reads where no date is given: the date that Llama 3's template falls back to."""


class ChatTemplate:
    """A jinja chat template, rendered as ``transformers`` renders it.

    It is compiled at its first use and may be shared between threads. A template is code from a stranger: it
    is compiled and rendered in a process of its own, with limits on its time, memory and output.

    Args:
        source: the jinja source, as in a GGUF's ``tokenizer.chat_template``.
        bos_token: text of the begin-of-sequence token; None leaves the variable undefined, as
            ``transformers`` does: it prints as nothing.
        eos_token: likewise for the end of sequence.
        special_tokens: further variables of that kind, such as ``{"unk_token": "<unk>"}``.
        date: what ``strftime_now`` in the template formats, midnight for a plain date. The clock is never
            read: a prompt that changes overnight would make every baseline stale.
        origin: what messages call the template, such as ``the chat template of model 'q4'``.
    """

    def __init__(
        self,
        source: str,
        *,
        bos_token: str | None,
        eos_token: str | None,
        special_tokens: Mapping[str, str] = {},
        date: date = FIXED_DATE,
        origin: str = "the chat template",
    ) -> None:
        self.source = source
        self.date = date if isinstance(date, datetime) else datetime(date.year, date.month, date.day)
        self.origin = origin
        tokens = {**special_tokens, "bos_token": bos_token, "eos_token": eos_token}
        self._tokens = {name: token for name, token in tokens.items() if token is not None}

    def __repr__(self) -> str:
        return f"<ChatTemplate {self.sha256[:12]}, {len(self.source)} characters>"

    @cached_property
    def sha256(self) -> str:
        """Hash of the source, hexadecimal."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names that the template reads from outside, ``messages`` among them.

        Raises:
            PromptError: the source has a syntax error.
        """
        try:
            return RENDERER.variables(self._key, self.source, self._moment)
        except RenderingFailedError as error:
            raise self._refusal(error.failure) from None

    def unused(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that the template never reads, sorted: setting them would do nothing.

        Raises:
            PromptError: the source has a syntax error.
        """
        return tuple(sorted(set(names) - self.variables))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool | str = False,
        **variables: Any,
    ) -> str:
        """The text that the model sees.

        Args:
            messages: dicts with ``role`` and ``content``, see `normalise`; keys that are None are dropped.
            tools: JSON schemas of functions that the model may call.
            add_generation_prompt: end with the header of the assistant's turn.
            continue_final_message: end within the last message, which the model is to continue; no header is
                added then. A text names the key to continue, such as ``"reasoning_content"``.
            variables: further names for the template, such as ``enable_thinking=False``; they win over
                special tokens of the same name.

        Raises:
            PromptError: the template is not valid, refused the messages, failed on them, or broke a limit.
                The message has the template's own words and the line.
        """
        if not messages:
            raise PromptError("no messages: give at least one")
        try:
            given = {
                "documents": None,
                **self._tokens,
                **{name: _plain(value, name) for name, value in variables.items()},
                "messages": [_message(message, f"messages[{at}]") for at, message in enumerate(messages)],
                "tools": _plain(list(tools) if isinstance(tools, tuple) else tools, "tools"),
                "add_generation_prompt": add_generation_prompt and not continue_final_message,
            }
        except RecursionError:
            message = "the messages, tools or variables contain themselves, or are nested too deeply"
            raise PromptError(f"{message}: give plain, flat data") from None
        for name in ("tools", "documents"):
            if not isinstance(given[name], list | tuple | None):
                raise PromptError(f"{name}: expected a list of dicts, got {type(given[name]).__name__}")
            for at, item in enumerate(given[name] or ()):
                if not isinstance(item, dict):
                    raise PromptError(f"{name}[{at}]: expected a dict, got {type(item).__name__}")
        if not continue_final_message:
            return self._render(given)
        key = continue_final_message if isinstance(continue_final_message, str) else "content"
        final = mark(given["messages"], key, self.source, self.origin)
        return continued(self._render(given), final, key, self.origin)

    def _render(self, given: dict[str, Any]) -> str:
        try:
            return RENDERER.render(self._key, self.source, self._moment, given)
        except RenderingFailedError as error:
            raise self._refusal(error.failure) from None

    @cached_property
    def _moment(self) -> str:
        return self.date.isoformat()

    @cached_property
    def _key(self) -> str:
        return f"{self.sha256} {self._moment}"

    def _refusal(self, failure: Failure) -> PromptError:
        trouble = failure.trouble
        return PromptError(self._describe(failure), hostile=trouble in LIMITS, passing=trouble in PASSING)

    def _describe(self, failure: Failure) -> str:
        at = self.origin if failure.line is None else f"{self.origin}, line {failure.line}"
        said = failure.text
        match failure.trouble:
            case Trouble.SYNTAX:
                return f"{at}: syntax error: {said}; mend the file, or {_ANOTHER}"
            case Trouble.DEEP:
                return f"{at}: nested too deeply to be compiled; mend the file, or {_ANOTHER}"
            case Trouble.REFUSED:
                return f"{at}: it refuses these messages: {said}; change them as it says"
            case Trouble.UNDEFINED:
                missing = [name for name in ("bos_token", "eos_token") if f"'{name}' is undefined" in said]
                remedy = (
                    f"the model's vocabulary names no {missing[0]}"
                    if missing
                    else "pass it as a template variable, or check the keys of the messages and tools"
                )
                return f"{at}: {said}; {remedy}"
            case Trouble.FORBIDDEN:
                # jinja2 ends its own sentences with a full stop.
                said = said.rstrip(".")
                return f"{at}: the sandbox forbids it: {said}; do not trust this template, set another"
            case Trouble.ENDLESS:
                return f"{at}: it calls itself without end; {_ANOTHER}"
            case Trouble.FAILED:
                return f"{at}: it failed on these messages: {said}; check them, or set another chat_template"
            case _:
                return f"{at}: {_broken_limit(failure)}"


_ANOTHER = "set another chat_template for this model"


def _broken_limit(failure: Failure) -> str:
    match failure.trouble:
        case Trouble.CPU:
            problem = f"stopped after {CPU_SECONDS:g} s of computing, as in an endless loop"
        case Trouble.MEMORY:
            problem = f"it needs more than the {DATA_BYTES >> 20} MB of memory that a template may take"
        case Trouble.LONG:
            problem = (
                f"it printed more than {failure.text} characters ({OUTPUT_CHARACTERS}, and {OUTPUT_TIMES} "
                "for each byte that it was given)"
            )
        case Trouble.WALL:
            return (
                f"no answer within {WALL_SECONDS:g} s, which it did not spend computing: try again when this "
                "machine is less busy"
            )
        case Trouble.CRASHED:
            return (
                f"the process that renders it {failure.text}; do not trust this template, {_ANOTHER}. If the "
                "machine ran out of memory, run less beside it"
            )
        case _:
            return (
                f"the process that renders it cannot be started: {failure.text}; check that this Python can "
                "start another one, and that jinja2 is installed beside it"
            )
    return f"{problem}: do not trust this template, {_ANOTHER}, or shorten messages of many megabytes"


def _plain(value: Any, at: str) -> Any:
    """A copy out of plain JSON types: an object's methods are not the template's business."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Mapping):
        return {_plain(key, at): _plain(item, f"{at}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        rebuilt: type[list[Any]] | type[tuple[Any, ...]] = list if isinstance(value, list) else tuple
        return rebuilt(_plain(item, f"{at}[{number}]") for number, item in enumerate(value))
    message = f"{at}: a template takes text, numbers, lists and dicts, got {type(value).__name__}"
    raise PromptError(message)


def _message(message: object, at: str) -> dict[str, Any]:
    """A message without empty keys, its reasoning also under the name that gpt-oss reads."""
    if not isinstance(message, Mapping):
        problem = f"{at}: expected a dict with 'role' and 'content', got {type(message).__name__}"
        raise PromptError(problem)
    given = {key: value for key, value in _plain(message, at).items() if value is not None}
    reasoning = next((given[key] for key in THOUGHT_KEYS if key in given), None)
    return given if reasoning is None else {"thinking": reasoning, **given, "reasoning_content": reasoning}
