"""Messages as a template takes them: checked, and otherwise as their author wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pytest_llmcheck.errors import PromptError, did_you_mean

Messages = str | Sequence[Mapping[str, Any]]
"""What a test may give as its prompt: a text, or messages."""

ROLES = ("system", "developer", "user", "assistant", "tool", "ipython")
THOUGHT_KEYS = ("reasoning_content", "thinking", "reasoning")
"""Under which a message's thought is given; the first is the usual one."""

KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", *THOUGHT_KEYS)
_TEXT_KEYS = ("name", "tool_call_id", *THOUGHT_KEYS)


def normalise(prompt: Messages, *, template_source: str = "") -> list[dict[str, Any]]:
    """What a test gave as its prompt, as a list of messages.

    Keys whose value is None are dropped, as ``transformers`` does: many templates would print "None".

    Args:
        prompt: a text, which becomes one user message; or messages with ``role`` and ``content`` (a
            string, or a list of parts ``{"type": "text", "text": ...}``). An assistant message with
            ``tool_calls`` or a thought needs no content.
        template_source: of the chat template, if known. Further roles and keys are taken if it names them:
            what it never names is more likely a slip of the pen.

    Returns:
        New dictionaries; nothing of the argument is changed or shared.

    Raises:
        PromptError: nothing is said, or a message is not well formed; it names the place.
    """
    if isinstance(prompt, str):
        _check_text(prompt, "the prompt")
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    elif isinstance(prompt, list | tuple):
        words = frozenset(re.findall(r"\w+", template_source))
        messages = [_message(message, f"messages[{at}]", words) for at, message in enumerate(prompt)]
    else:
        kind = "one message; put it into a list" if isinstance(prompt, Mapping) else type(prompt).__name__
        _fail("the prompt", f"expected a text or a list of messages, got {kind}")
    if not any(map(_says_something, messages)):
        message = "the prompt is empty: give a text, or at least one message with content"
        raise PromptError(message)
    return messages


def with_system(messages: Sequence[Mapping[str, Any]], system: str | None) -> list[dict[str, Any]]:
    """The messages with a system message before them.

    Args:
        messages: as `normalise` returns them.
        system: the system prompt; None adds nothing. An empty one is added as it is: many templates put
            a default of their own where there is no system message.

    Raises:
        PromptError: `system` is given and there is a system message already.
    """
    given = [dict(message) for message in messages]
    if system is None:
        return given
    if not isinstance(system, str):
        _fail("system", f"expected a text, got {type(system).__name__}")
    _check_text(system, "system")
    for at, message in enumerate(given):
        if message["role"] == "system":
            _fail(f"messages[{at}]", "a system message, and system= is given too; keep one of them")
    return [{"role": "system", "content": system}, *given]


def _message(message: object, at: str, words: frozenset[str]) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        _fail(at, f"expected a dict with 'role' and 'content', got {type(message).__name__}")
    for key in message:
        if key not in KEYS and key not in words:
            _fail(at, f"unknown key {key!r}; {did_you_mean(str(key), KEYS)}")
    given = {key: value for key, value in message.items() if value is not None}
    role = _role(given, at, words)
    for key in _TEXT_KEYS:
        if key in given:
            _text(given[key], f"{at}.{key}")
    if "tool_calls" in given:
        given["tool_calls"] = _tool_calls(given["tool_calls"], role, f"{at}.tool_calls")
    if "content" in given:
        given["content"] = _content(given["content"], f"{at}.content")
    elif not given.get("tool_calls") and not (role == "assistant" and _thinks(given)):
        _fail(at, "no 'content'; only an assistant message with 'tool_calls' or a thought may do without")
    return given


def _role(given: Mapping[str, Any], at: str, words: frozenset[str]) -> str:
    role = given.get("role")
    if role is None:
        _fail(at, f"no 'role'; one of {', '.join(ROLES)}")
    if not isinstance(role, str) or (role not in ROLES and role not in words):
        _fail(f"{at}.role", f"unknown role {role!r}; {did_you_mean(str(role), ROLES)}")
    return role


def _tool_calls(calls: object, role: str, at: str) -> list[dict[str, Any]]:
    if role != "assistant":
        _fail(at, f"only an assistant calls tools, and the role is {role!r}")
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        _fail(at, "expected a list of dicts")
    return [dict(call) for call in calls]


def _content(content: object, at: str) -> str | list[dict[str, str]]:
    if isinstance(content, str):
        return _text(content, at)
    if isinstance(content, Mapping):
        _fail(at, "expected a text or a list of text parts, got a dict; json.dumps it, as tools do")
    if not isinstance(content, list | tuple):
        _fail(at, f"expected a text or a list of text parts, got {type(content).__name__}")
    return [_part(part, f"{at}[{number}]") for number, part in enumerate(content)]


def _part(part: object, at: str) -> dict[str, str]:
    if not isinstance(part, Mapping) or "type" not in part:
        _fail(at, "expected {'type': 'text', 'text': ...}")
    if part["type"] != "text":
        _fail(at, f"a part of type {part['type']!r}: this engine takes text only")
    for key in part:
        if key not in ("type", "text"):
            _fail(at, f"unknown key {key!r}; {did_you_mean(str(key), ('type', 'text'))}")
    return {"type": "text", "text": _text(part.get("text"), f"{at}.text")}


def _text(text: object, at: str) -> str:
    if not isinstance(text, str):
        _fail(at, f"expected a text, got {type(text).__name__}")
    _check_text(text, at)
    return text


def _check_text(text: str, at: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        _fail(at, f"a lone surrogate at character {error.start}: not text that UTF-8 can hold")


def _says_something(message: Mapping[str, Any]) -> bool:
    content = message.get("content", "")
    parts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return bool(message.get("tool_calls")) or _thinks(message) or any(part.strip() for part in parts)


def _thinks(message: Mapping[str, Any]) -> bool:
    return any(message.get(key) for key in THOUGHT_KEYS)


def _fail(at: str, problem: str) -> NoReturn:
    raise PromptError(f"{at}: {problem}")
