"""Health checks that the settings leave out, for one model or for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.config import load_config
from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("finished", "repetition", "polite")

MODELS = """
[tool.llmcheck]
reference = "f16"
without = ["polite"]

[tool.llmcheck.models.f16]
gguf = "f16.gguf"
without = ["repetition"]

[tool.llmcheck.models.q4]
from = "f16"

[tool.llmcheck.models.q2]
from = "f16"
without = []

[tool.llmcheck.models.other]
gguf = "other.gguf"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_inherited_like_other_settings(tmp_path: Path) -> None:
    write(tmp_path, MODELS)
    config = load_config(tmp_path, lambda: NAMES)
    assert config.without == ("polite",)
    assert {name: spec.without for name, spec in config.models.items()} == {
        "f16": ("polite", "repetition"),
        "q4": ("polite", "repetition"),
        "q2": ("polite",),
        "other": ("polite",),
    }
    (file,) = config.select(["elsewhere/some.gguf"])
    assert file.without == ("polite",)


def test_for_the_demo_model(tmp_path: Path) -> None:
    write(tmp_path, "[tool.llmcheck]\nwithout = ['polite']\n")
    assert load_config(tmp_path, lambda: NAMES).models["demo"].without == ("polite",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[tool.llmcheck]\nwithout = ['repetitions']\n",
            "tool.llmcheck.without: no health check has the name 'repetitions'; did you mean 'repetition'?",
        ),
        (
            MODELS.replace('["repetition"]', '["x"]'),
            "tool.llmcheck.models.f16.without: no health check has the name 'x'; "
            "known: finished, polite, repetition",
        ),
        (
            "[tool.llmcheck]\nwithout = 'repetition'\n",
            "tool.llmcheck.without: expected a list, got 'repetition'",
        ),
    ],
)
def test_wrong(tmp_path: Path, text: str, problem: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, lambda: NAMES)
    assert str(caught.value) == f"{file}: {problem}"


def test_nobody_is_asked_for_names_without_need(tmp_path: Path) -> None:
    """It would import every check."""

    def names() -> tuple[str, ...]:
        raise AssertionError

    write(tmp_path, "[tool.llmcheck.models.f16]\ngguf = 'f16.gguf'\nwithout = []\n")
    assert load_config(tmp_path, names).models["f16"].without == ()


def test_without_plugins_names_are_taken_as_they_are(tmp_path: Path) -> None:
    """`llmcheck inspect` runs no plugins and judges no reply."""
    write(tmp_path, MODELS)
    assert load_config(tmp_path).without == ("polite",)
