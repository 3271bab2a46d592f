"""``llmcheck models``: what the project in the working directory declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_llmcheck.cli.common import Progress, kv_types, megabytes, print_table
from pytest_llmcheck.config import load_config
from pytest_llmcheck.errors import LlmcheckError
from pytest_llmcheck.models import read_gguf, resolve
from pytest_llmcheck.models.adapters import resolve_adapters
from pytest_llmcheck.models.locate import locate
from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from pytest_llmcheck.config import Config
    from pytest_llmcheck.models import GGUFHeader, ModelSpec


@click.command()
def models() -> None:
    """List the declared models.

    They are those of the project in the working directory. Nothing is made or loaded: a quantisation that
    is not there yet is made when a test, or `llmcheck inspect`, first needs it.
    """
    config = load_config(Path.cwd())
    if not config.configured:
        where = f"{config.origin} declares no model" if config.origin else "no configuration in this folder"
        click.echo(f"{where}: the built-in model stands in\n")
    rows, problems = [], []
    for spec in config.models.values():
        header = None
        try:
            header = _header_if_there(spec)
            there = "there" if header else "made on first use"
        except LlmcheckError as error:
            there = "no"
            problems.append(f"{spec.name}: {error.__cause__ or error}")
        quant = header.quant if header else spec.quant or "-"
        size = megabytes(header.size) if header else "-"
        rows.append((spec.name, _source(spec), quant, _roles(spec, config), there, size))
    print_table(("name", "source", "quantisation", "role", "file", "size"), rows, numbers=("size",))
    if problems:
        click.echo()
    for problem in problems:
        click.echo(visible(problem))


class _NotMadeError(Exception):
    """A quantisation would have to be made now."""


def _refuse_to_make(source: Path, target: Path, quant: str, progress: object) -> None:
    raise _NotMadeError


def _header_if_there(spec: ModelSpec) -> GGUFHeader | None:
    """The header of a declared model's file; None if it is to be made.

    Raises:
        LlmcheckError: it, or what it is made from, is missing or cannot be read.
    """
    if spec.gguf is not None:
        header = read_gguf(locate(spec.gguf, spec.origin))
        resolve_adapters(spec, header)
        return header
    progress = Progress()
    try:
        return resolve(spec, quantise=_refuse_to_make, progress=progress).header
    except _NotMadeError:
        return None
    finally:
        progress.clear()


def _source(spec: ModelSpec) -> str:
    weights = spec.gguf or "-"
    if spec.base is not None:
        weights = f"{spec.quant} of {spec.base.name}" if spec.quant else f"the weights of {spec.base.name}"
    cache = f", kv {kv_types(spec)}" if kv_types(spec) != "f16" else ""
    return " + ".join((weights, *(lora.gguf for lora in spec.lora))) + cache


def _roles(spec: ModelSpec, config: Config) -> str:
    roles = ["reference"] if spec.name == config.reference else []
    if spec in config.select():
        roles.append("default")
    return ", ".join(roles) or "-"
