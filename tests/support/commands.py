"""Runs of `llmcheck` in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from pytest_llmcheck.cli import main

if TYPE_CHECKING:
    from click.testing import Result


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def good(*arguments: str) -> str:
    """What a command that goes well prints."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(*arguments: str) -> str:
    """The error of a command that is refused, which prints nothing else."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    return result.stderr.removesuffix("\n")
