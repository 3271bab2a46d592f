"""``llmcheck render``: the prompt as the model would see it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_llmcheck.cli.common import find
from pytest_llmcheck.cli.tokens import Seen, describe, paint, report, see
from pytest_llmcheck.config import with_template
from pytest_llmcheck.errors import ConfigError, LlmcheckError, PromptError
from pytest_llmcheck.models import ResolvedModel
from pytest_llmcheck.prompts.override import RENDERED
from pytest_llmcheck.prompts.variables import nearest
from pytest_llmcheck.session.rendering import Prompts

if TYPE_CHECKING:
    from pytest_llmcheck.prompts import ChatTemplate


@click.command()
@click.argument("model", metavar="FILE_OR_MODEL")
@click.option(
    "--message",
    "said",
    multiple=True,
    metavar="TEXT",
    help="What is said: given once, by the user; several times, by user and assistant in turn.",
)
@click.option(
    "--messages",
    "conversation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A JSON file with a list of messages, for all that --message cannot say.",
)
@click.option("--system", metavar="TEXT", help="The system prompt; else that of the declared model, if any.")
@click.option(
    "--tools",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A JSON file with a list of tool definitions.",
)
@click.option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable of the chat template; the value is JSON, or else a text.",
)
@click.option(
    "--template",
    metavar="FILE_OR_NAME",
    help="Another chat template: a jinja file, or the name of a known format.",
)
@click.option(
    "--tokens/--no-tokens",
    default=None,
    help="Show token ids and counts for each part; by default on a terminal.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour special tokens; by default on a terminal.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def render(
    model: str,
    said: tuple[str, ...],
    conversation: Path | None,
    system: str | None,
    tools: Path | None,
    variables: tuple[str, ...],
    template: str | None,
    tokens: bool | None,
    color: str,
    as_json: bool,
) -> None:
    """Print the prompt as the model would see it.

    Into a file or a pipe it is printed exactly, with nothing added at its end. FILE_OR_MODEL is a .gguf file,
    pkg:module/file, or a model that the project in the working directory declares.
    """
    if bool(said) is (conversation is not None):
        raise click.UsageError("give either --message TEXT or --messages FILE")
    spec, header, sha256 = find(model)
    if template is not None:
        (spec,) = with_template([spec], template, Path.cwd(), option="--template")
    messages = _turns(said) if conversation is None else _objects(conversation, "--messages")
    offered = None if tools is None else _objects(tools, "--tools")
    # What is declared besides, such as adapters, has no part in the prompt.
    prompts = Prompts(ResolvedModel(spec, header.path, header, sha256 or ""))
    # An empty list counts as tools, as in transformers.
    chosen = prompts.template(tools=offered is not None)
    given = _variables(variables, chosen)
    if offered and chosen.unused(["tools"]):
        click.echo("llmcheck: note: the chat template never reads the tools", err=True)
        # Still a list, so that the template stays the chosen one.
        offered = []
    rendered = prompts.render(messages, system, offered, given)
    if rendered.forged and not rendered.plain:
        note = f"control tokens in what a user or a tool says count as such: {', '.join(rendered.forged)}"
        click.echo(f"llmcheck: note: {note}", err=True)
    terminal = sys.stdout.isatty()
    coloured = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    counted = terminal if tokens is None else tokens
    seen: Seen | None = None
    if coloured or counted or as_json:
        try:
            seen = see(header.path, rendered)
        except LlmcheckError as error:
            if tokens or as_json:
                raise
            click.echo(f"llmcheck: note: no token ids: {error}", err=True)
    if as_json and seen is not None:
        click.echo(json.dumps({"model": spec.name, **describe(rendered, seen)}, indent=2, ensure_ascii=False))
        return
    # Not click.echo: it would take control characters out of what the model sees.
    text = paint(rendered.text, seen) if coloured and seen is not None else rendered.text
    sys.stdout.buffer.write(text.encode())
    told = counted and seen is not None
    if (terminal and not told) or (told and not rendered.text.endswith("\n")):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    if counted and seen is not None:
        click.echo()
        report(rendered.text, seen)


def _turns(said: tuple[str, ...]) -> str | list[dict[str, Any]]:
    if len(said) == 1:
        return said[0]
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(said)]


def _variables(given: tuple[str, ...], template: ChatTemplate) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise ConfigError(f"--var {one}: expected NAME=VALUE")
        if name in RENDERED:
            raise ConfigError(f"--var {name}: every prompt brings its own; take this one away")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    if unused := template.unused(found):
        hint = nearest(unused[0], template)
        raise ConfigError(f"--var {unused[0]}: the chat template never reads that: {hint}")
    return found


def _objects(file: Path, option: str) -> list[dict[str, Any]]:
    """The objects of a JSON file, one for each tool or message."""
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PromptError(f"{option} {file} cannot be read: {error.strerror}; correct the path") from None
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{option} {file} is not JSON: {error}; mend the file") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        what = option.strip("-").removesuffix("s")
        raise PromptError(f"{option} {file}: expected a list of objects, one for each {what}; mend the file")
    return found
