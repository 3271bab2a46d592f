"""Files of prompts and of responses, in the formats of IFEval's official code.

A line of prompts: ``{"key": 1000, "prompt": "...", "instruction_id_list": ["punctuation:no_comma"],
"kwargs": [{}]}``, with one object of parameters for each instruction. Parameters that are null count as not
given, since copies of the data set have every name in every row. A line of responses: ``{"prompt": "...",
"response": "..."}``, found by its prompt. Fields besides these are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.cases.rows import decoded, of_json_lines
from pytest_llmcheck.checks.instructions import instruction
from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_llmcheck.verdict import Check

_SHOWN = 60
"""Characters of a prompt in a message."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the instructions in it.

    Attributes:
        key: what the file calls it; else where it stands.
        prompt: the user's text.
        ids: IFEval's ids of the instructions.
        checks: what judges each of them.
        source: where it stands, such as ``prompts.jsonl:3``.
    """

    key: int | str
    prompt: str
    ids: tuple[str, ...]
    checks: tuple[Check, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Response:
    """What was answered to a prompt.

    Attributes:
        text: the reply, verbatim.
        finish_reason: ``stop``, ``length`` or ``context``; None where a file does not say.
    """

    text: str
    finish_reason: str | None = None

    @property
    def cut_off(self) -> bool | None:
        """Whether the reply was cut off; None where that is not known."""
        return None if self.finish_reason is None else self.finish_reason != "stop"


def read_examples(path: Path, limit: int | None = None) -> tuple[Example, ...]:
    """The prompts of a file, or the first `limit` of them; the whole file is checked all the same.

    Raises:
        ConfigError: it cannot be read, has no prompts, has one twice, or a line is wrong.
    """
    found: dict[str, Example] = {}
    keys: dict[int | str, str] = {}
    for source, fields in _objects(path):
        example = _example(source, fields)
        if (first := found.get(example.prompt)) is not None:
            raise ConfigError(
                f"{source}: the same prompt as in {first.source}; responses are found by their prompt, so "
                "take one of the two away"
            )
        if (other := keys.setdefault(example.key, source)) != source:
            raise ConfigError(f"{source}: the same key as in {other}, {example.key!r}; give each its own")
        found[example.prompt] = example
    if not found:
        raise ConfigError(f"{path} holds no prompts; write one to a line, as IFEval's input_data.jsonl does")
    return tuple(found.values())[:limit]


def read_responses(path: Path, examples: Iterable[Example]) -> tuple[tuple[Response, ...], int]:
    """The responses of a file to these prompts in their order, and how many it has to others.

    Raises:
        ConfigError: it cannot be read, a line is wrong, or a prompt has no response or two different ones.
    """
    found: dict[str, tuple[str, Response]] = {}
    for source, fields in _objects(path):
        prompt, text = (_text(source, fields, name) for name in ("prompt", "response"))
        reason = fields.get("finish_reason")
        if reason is not None and not isinstance(reason, str):
            raise ConfigError(
                f"{source}: finish_reason must be a text or null, got {reason!r}; mend the line"
            )
        response = Response(text, reason)
        first, known = found.setdefault(prompt, (source, response))
        if known != response:
            raise ConfigError(
                f"{source}: another response to the prompt of {first}; a file holds one to each prompt, so "
                "take one of the two away"
            )
    wanted = list(examples)
    responses = []
    for example in wanted:
        if example.prompt not in found:
            raise ConfigError(
                f"{path} has no response to the prompt of {example.source} ({_short(example.prompt)}); add "
                "it, or judge fewer prompts with --limit"
            )
        responses.append(found[example.prompt][1])
    return tuple(responses), len(found) - len(wanted)


def _example(source: str, fields: Mapping[str, Any]) -> Example:
    prompt = _text(source, fields, "prompt")
    if not prompt.strip():
        raise ConfigError(f"{source}: the prompt is empty; write one, or take the line away")
    ids, parameters = (_list(source, fields, name) for name in ("instruction_id_list", "kwargs"))
    if len(ids) != len(parameters):
        raise ConfigError(
            f"{source}: instruction_id_list has {len(ids)} entries and kwargs {len(parameters)}; each "
            "instruction needs one object of parameters, {} if it has none"
        )
    if not ids:
        raise ConfigError(f"{source}: no instructions; give at least one, or take the line away")
    key = fields.get("key", source)
    if not isinstance(key, int | str) or isinstance(key, bool):
        raise ConfigError(f"{source}: key must be a whole number or a text, got {key!r}; mend the line")
    checks = tuple(_check(source, id_, given) for id_, given in zip(ids, parameters, strict=True))
    return Example(key, prompt, tuple(ids), checks, source)


def _check(source: str, id_: Any, parameters: Any) -> Check:
    if not isinstance(id_, str):
        raise ConfigError(f"{source}: an instruction id must be a text, got {id_!r}; mend the line")
    if not isinstance(parameters, dict):
        raise ConfigError(
            f"{source}: kwargs must hold an object for each instruction, got {parameters!r}; write {{}} "
            "where it has no parameters"
        )
    try:
        return instruction(id_, **parameters)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: {error}; mend the line") from None


def _text(source: str, fields: Mapping[str, Any], name: str) -> str:
    value = _field(source, fields, name)
    if not isinstance(value, str):
        raise ConfigError(f"{source}: {name} must be a text, got {value!r}; mend the line")
    return value


def _list(source: str, fields: Mapping[str, Any], name: str) -> list[Any]:
    value = _field(source, fields, name)
    if not isinstance(value, list):
        raise ConfigError(f"{source}: {name} must be a list, got {value!r}; mend the line")
    return value


def _field(source: str, fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise ConfigError(f"{source}: no field {name!r}, only {', '.join(fields) or 'none at all'}; add it")
    return fields[name]


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file, each with where it stands."""
    for row in of_json_lines(_content(path), str(path)):
        source = f"{path}:{row.line}"
        if row.fields is None:
            raise ConfigError(f"{source}: {row.problem}; mend the line")
        yield source, row.fields


def _content(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct the path") from None
    return decoded(raw, str(path))


def _short(prompt: str) -> str:
    return repr(prompt if len(prompt) <= _SHOWN else f"{prompt[: _SHOWN - 3]}...")
