"""A project whose model hosts can be sabotaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.sabotage import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scene(pytester: pytest.Pytester, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(pytester, short_tmp, monkeypatch)
    yield made
    for process in made.processes:
        process.kill()
