"""A user's project for each test, and a count of the model hosts that it starts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

# Runs in this process forget what they import: what is imported here is imported once, not in every run.
import pytest_llmcheck.reports.run
import pytest_llmcheck.reports.terminal
import pytest_llmcheck.session.run
import pytest_llmcheck.snapshots  # noqa: F401
from tests.support.projects import Project, clean_environment, write_models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(pytester: pytest.Pytester, models: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    clean_environment(monkeypatch)
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(cache))
    return Project(pytester, models)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command lines of the model hosts that runs in this process start."""
    started: list[str] = []

    class Counting(subprocess.Popen[bytes]):
        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            if any(str(part).endswith("llama.host") for part in args):
                started.append(" ".join(map(str, args)))
            super().__init__(args, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", Counting)
    return started
