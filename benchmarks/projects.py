"""pytest projects in a temporary folder, run as whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.options import Options
    from pytest_llmcheck.models import ResolvedModel

FOREIGN = ("anyio", "asyncio", "benchmark", "hypothesispytest", "randomly", "pytest_cov")
"""Plugins of the development environment that a user need not have."""


@dataclass(frozen=True)
class Project:
    """A folder with a declared model and tests.

    Attributes:
        path: the folder.
        cache: what LLMCHECK_CACHE_DIR is for its runs.
    """

    path: Path
    cache: Path

    def declare(self, model: ResolvedModel, options: Options) -> None:
        """Write the settings."""
        text = f"""
            [tool.llmcheck]
            reference = "model"
            max_tokens = 48
            [tool.llmcheck.models.model]
            gguf = '{model.path}'
            device = "{options.device}"
            threads = {options.threads}
        """
        lines = [line.strip() for line in text.splitlines()]
        (self.path / "pyproject.toml").write_text("\n".join(lines), encoding="utf-8")

    def command(self, *options: str) -> list[str]:
        """Of a run of pytest."""
        without = [f"-pno:{name}" for name in (*FOREIGN, "cacheprovider")]
        return [sys.executable, "-m", "pytest", "-q", *without, *options]

    def environment(self) -> dict[str, str]:
        """Of a run of pytest."""
        # Python keeps compiled modules, as it does for users; so does pytest those whose asserts it rewrites.
        given = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return {**given, "LLMCHECK_CACHE_DIR": str(self.cache)}

    def run(self, *options: str) -> str:
        """Run pytest and return what it prints.

        Raises:
            AssertionError: a test failed; with the end of the output.
        """
        done = subprocess.run(
            self.command(*options), cwd=self.path, env=self.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout
