"""What the subcommands share: finding a model, progress, and printing."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_llmcheck.config import load_config
from pytest_llmcheck.engines.llama.quantise import quantise
from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.models import ModelSpec, read_gguf, resolve
from pytest_llmcheck.models.locate import locate
from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.models import GGUFHeader

QUIET_SECONDS = 1.0
"""Work that is over sooner is not shown."""

# A kind of reference (pkg:, hf:), a path with a folder, or a file by its ending; declared names have no "/".
_FILE = re.compile(r"[a-z]+:|.*/|~|.*\.gguf$", re.IGNORECASE | re.DOTALL)


class Progress:
    """A line on stderr while hashing, quantising or waiting takes longer than a second."""

    def __init__(self) -> None:
        self._stage = ""
        self._since = 0.0
        self._shown = ""

    def __call__(self, stage: str, fraction: float) -> None:
        """See `models.Progress`."""
        now = time.monotonic()
        if stage != self._stage:
            self.clear()
            self._stage, self._since = stage, now
        if now - self._since < QUIET_SECONDS:
            return
        if sys.stderr.isatty():
            told = f"llmcheck: {stage} {fraction:4.0%}"
            click.echo("\r" + told.ljust(len(self._shown)), err=True, nl=False)
            self._shown = told
        elif not self._shown:
            self._shown = f"llmcheck: {stage} ..."
            click.echo(self._shown, err=True)

    def clear(self) -> None:
        """Forget the stage; on a terminal, wipe its line."""
        if self._shown and sys.stderr.isatty():
            click.echo("\r" + " " * len(self._shown) + "\r", err=True, nl=False)
        self._stage = self._shown = ""


def find(model: str) -> tuple[ModelSpec, GGUFHeader, str | None]:
    """The model that an argument names, its header, and the hash of a declared model's file.

    Raises:
        LlmcheckError: there is no such model, or its file cannot be read or made.
    """
    if not _FILE.match(model):
        config = load_config(Path.cwd())
        if model in config.models:
            progress = Progress()
            try:
                found = resolve(config.models[model], quantise=quantise, progress=progress)
            finally:
                progress.clear()
            return found.spec, found.header, found.sha256
        if not Path(model).is_file():
            hint = did_you_mean(model, config.models)
            where = config.origin or "no configuration in this folder"
            raise ConfigError(f"{model!r} is neither a file nor a declared model: {hint} ({where})")
    path = locate(model, None)
    return ModelSpec(name=path.stem, gguf=str(path)), read_gguf(path), None


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> None:
    """Print a table; the columns in `numbers` are right-aligned."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title in numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(visible, row))
    # Not the terminal's width: a name that was cut short is of no use.
    console = Console(width=10_000, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def kv_types(spec: ModelSpec) -> str:
    """The types of the KV cache as the configuration has them: one for both, or ``K/V``."""
    return "/".join(dict.fromkeys(spec.kv))


def megabytes(count: int) -> str:
    """A size in bytes, for people."""
    return f"{count / 1e6:,.1f} MB"
