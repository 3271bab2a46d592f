"""``llmcheck inspect | render | models | ifeval``: models and prompts without a test.

Only this package imports click and rich. Nothing but ``ifeval`` loads a model's weights: what the others show
comes from headers, tokenizers, templates and the configuration of the working directory.
"""

from __future__ import annotations

import errno
from typing import Any

import click

from pytest_llmcheck.cli.ifeval import ifeval
from pytest_llmcheck.cli.inspection import inspect
from pytest_llmcheck.cli.listing import models
from pytest_llmcheck.cli.rendering import render
from pytest_llmcheck.errors import LlmcheckError
from pytest_llmcheck.visible import visible

__all__ = ["main"]


class _Failure(click.ClickException):
    """Something that the user can mend, in one line."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write it to stderr."""
        told = " ".join(line.strip() for line in self.message.splitlines())
        click.echo(f"llmcheck: error: {visible(told)}", err=True)


class _Commands(click.Group):
    """The subcommands; their errors are told without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except LlmcheckError as error:
            raise _Failure(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: whoever read our output has gone
            raise _Failure(f"cannot write the output: {error.strerror or error}") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pytest-llmcheck", prog_name="pytest-llmcheck")
def main() -> None:
    """Look at language models and prompts the way pytest-llmcheck sees them."""


main.add_command(ifeval)
main.add_command(inspect)
main.add_command(models)
main.add_command(render)
