"""The line at the head of a run."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmcheck.config import Config
    from pytest_llmcheck.models import ModelSpec


def declares(root: Path) -> bool:
    """Whether a project says anything about models; only looks, does not parse."""
    if (root / "llmcheck.toml").is_file():
        return True
    try:
        return b"tool.llmcheck" in (root / "pyproject.toml").read_bytes()
    except OSError:
        return False


def overlooked(here: Path, root: Path) -> list[str]:
    """A line if the folder in which pytest was started declares models that nobody reads.

    Args:
        here: that folder.
        root: pytest's rootdir, whose declarations are read.
    """
    if here == root or not declares(here):
        return []
    return [
        f"llmcheck: the models declared in {here} are not read, pytest's rootdir is {root}: give --rootdir . "
        "or put an empty [tool.pytest.ini_options] there, and write paths of options with an equals sign "
        "(--llm-template=FILE), else pytest looks for its rootdir beside them"
    ]


def describe(config: Config, active: tuple[ModelSpec, ...]) -> list[str]:
    """Model, quant, device and engine build, as far as they are known without loading anything."""
    models = ", ".join(_model(spec, config.reference) for spec in active)
    return [f"llmcheck: {models}; {_engine(active)}"]


def _model(spec: ModelSpec, reference: str) -> str:
    if spec.base is not None:
        source = f"{spec.quant} of {spec.base.name}" if spec.quant else f"weights of {spec.base.name}"
    else:
        source = Path(spec.gguf or "").name
    if spec.chat_template is not None:
        # A path is shortened, as that of the weights is.
        source += f", chat template {getattr(spec.chat_template, 'name', spec.chat_template)}"
    return f"{spec.name} ({'reference, ' if spec.name == reference else ''}{source})"


def _engine(active: tuple[ModelSpec, ...]) -> str:
    try:
        build = f"llama-cpp-python {metadata.version('llama-cpp-python')}"
    except metadata.PackageNotFoundError:
        return "llama-cpp-python is not installed"
    wanted = {spec.device for spec in active} - {"cpu"}
    return f"{build}, {'all layers to the GPU if one is visible' if wanted and _gpu_build() else 'CPU'}"


def _gpu_build() -> bool:
    """Whether the installed libraries contain a GPU backend; looked up, not imported."""
    found = importlib.util.find_spec("llama_cpp")
    if found is None or not found.submodule_search_locations:
        return False
    libraries = Path(found.submodule_search_locations[0], "lib")
    backends = ("cuda", "metal", "vulkan", "sycl", "hip", "opencl", "musa", "cann")
    return any(f"ggml-{name}" in path.name for path in libraries.glob("*ggml-*") for name in backends)
