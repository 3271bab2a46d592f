"""Hooks by which other plugins and a project's ``conftest.py`` add to this one."""

# mypy: disable-error-code="empty-body"
# A specification has no body: pluggy calls those of the plugins.
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_llmcheck.prompts.tool_calls import ToolFormat
    from pytest_llmcheck.verdict import Check


@pytest.hookspec
def pytest_llmcheck_health_checks(config: pytest.Config) -> Iterable[Check]:
    """Further checks that are part of every `expect`, and can be left out by their names.

    Called once, before the first model is asked.
    """


@pytest.hookspec
def pytest_llmcheck_checks(config: pytest.Config) -> Mapping[str, Callable[..., Check]]:
    """Further checks that files of cases can name, each with the function that makes it.

    What ``pytest_llmcheck.check`` made can be given as it is. Called once, when the first file is read.
    """


@pytest.hookspec
def pytest_llmcheck_tool_formats(config: pytest.Config) -> Iterable[ToolFormat]:
    """Further formats of tool calls, for chat templates whose format is not known or is to be read otherwise.

    They are asked before our own, in order, whether they recognise a template. Called once, when a model is
    first given tools.
    """
