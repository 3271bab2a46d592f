"""A chat template: messages -> the text that the model sees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    import jinja2

FIXED_DATE = date(2024, 7, 26)
"""What ``strftime_now`` reads where no date is given: the date that Llama 3's template falls back to."""

_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")


class ChatTemplate:
    """A jinja chat template, rendered as ``transformers`` renders it.

    It is compiled at its first use and may be shared between threads.

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
        from jinja2 import meta

        # Compiled first, so that a syntax error is reported in one way only.
        environment = self._compiled.environment
        return frozenset(meta.find_undeclared_variables(environment.parse(self.source)))

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
        **variables: Any,
    ) -> str:
        """The text that the model sees.

        Args:
            messages: dicts with ``role`` and ``content``, see `normalise`; keys that are None are dropped.
            tools: JSON schemas of functions that the model may call.
            add_generation_prompt: end with the header of the assistant's turn.
            variables: further names for the template, such as ``enable_thinking=False``; they win over
                special tokens of the same name.

        Raises:
            PromptError: the template is not valid, refused the messages, or failed on them. The message
                has the template's own words and the line.
        """
        given = {
            "documents": None,
            **self._tokens,
            **{name: _plain(value, name) for name, value in variables.items()},
            "messages": [_message(message, f"messages[{at}]") for at, message in enumerate(messages)],
            "tools": None if tools is None else _plain(list(tools), "tools"),
            "add_generation_prompt": add_generation_prompt,
        }
        compiled = self._compiled
        try:
            return compiled.render(given)
        # Whatever is raised in there is the template's doing: also a TypeError or a ZeroDivisionError.
        except Exception as error:
            raise PromptError(self._describe(error)) from None

    @cached_property
    def _compiled(self) -> jinja2.Template:
        import jinja2

        from pytest_llmcheck.prompts.sandbox import make_environment

        try:
            return make_environment(self.date).from_string(self.source)
        except jinja2.TemplateSyntaxError as error:
            problem = f"syntax error: {(error.message or '').rstrip('.')}"
            line = error.lineno
        except RecursionError:
            problem, line = "nested too deeply to be compiled", None
        remedy = "mend the file, or set another chat_template for this model"
        raise PromptError(f"{self._at(line)}: {problem}; {remedy}")

    def _describe(self, error: Exception) -> str:
        import jinja2

        from pytest_llmcheck.prompts.sandbox import RaisedByTemplateError

        at = self._at(_line_of(error.__traceback__))
        if isinstance(error, RaisedByTemplateError):
            return f"{at}: it refuses these messages: {error}; change them as it says"
        if isinstance(error, jinja2.UndefinedError):
            missing = [name for name in ("bos_token", "eos_token") if f"'{name}' is undefined" in str(error)]
            remedy = (
                f"the model's vocabulary names no {missing[0]}"
                if missing
                else "pass it as a template variable, or check the keys of the messages"
            )
            return f"{at}: {error}; {remedy}"
        if isinstance(error, jinja2.exceptions.SecurityError):
            return f"{at}: the sandbox forbids it: {error}; do not trust this template, set another"
        if isinstance(error, RecursionError):
            return f"{at}: it calls itself without end; set another chat_template for this model"
        kind = type(error).__name__
        return f"{at}: it failed on these messages: {kind}: {error}; check them, or set another chat_template"

    def _at(self, line: int | None) -> str:
        return self.origin if line is None else f"{self.origin}, line {line}"


def _line_of(traceback: TracebackType | None) -> int | None:
    """The template's innermost line; jinja2 maps the frames of compiled templates back to their source."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


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
    reasoning = next((given[key] for key in _REASONING_KEYS if key in given), None)
    return given if reasoning is None else {"thinking": reasoning, **given, "reasoning_content": reasoning}
