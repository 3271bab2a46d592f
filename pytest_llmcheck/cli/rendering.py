"""``llmcheck render``: the prompt as the model would see it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from pytest_llmcheck.cli.common import find
from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts import normalise, template_of, with_system


@click.command()
@click.argument("model", metavar="FILE_OR_MODEL")
@click.option("--message", required=True, metavar="TEXT", help="What the user says.")
@click.option("--system", metavar="TEXT", help="The system prompt; else that of the declared model, if any.")
@click.option(
    "--tools",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A JSON file with a list of tool definitions.",
)
def render(model: str, message: str, system: str | None, tools: Path | None) -> None:
    """Print the prompt as the model would see it.

    It is printed exactly, with nothing added at its end. FILE_OR_MODEL is a .gguf file, pkg:module/file, or
    a model that the project in the working directory declares.
    """
    spec, header, _ = find(model)
    offered = None if tools is None else _read_tools(tools)
    template = template_of(header, spec, tools=bool(offered))
    messages = with_system(normalise(message), spec.system if system is None else system)
    text = template.render(messages, tools=offered)
    if offered and template.unused(["tools"]):
        click.echo("llmcheck: note: the chat template never reads the tools", err=True)
    # Not click.echo: it would take control characters out of what the model sees.
    sys.stdout.buffer.write(text.encode())
    if sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _read_tools(file: Path) -> list[dict[str, Any]]:
    try:
        tools = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PromptError(f"--tools {file} cannot be read: {error.strerror}; correct the path") from None
    except (ValueError, RecursionError) as error:
        raise PromptError(f"--tools {file} is not JSON: {error}; mend the file") from None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise PromptError(f"--tools {file}: expected a list of objects, one for each tool; mend the file")
    return tools
