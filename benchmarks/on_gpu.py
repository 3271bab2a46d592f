"""A pytest plugin that lets the engine's tests run on a GPU: `pytest -p benchmarks.on_gpu tests/engines`.

Their own settings say `cpu`, since there the law of company is proved. It must be loaded before the modules
of the tests are, as `-p` does.
"""

from __future__ import annotations

import functools
import os

from tests.support import engines

DEVICE = os.environ.get("LLMCHECK_DEVICE", "gpu")

# setattr: to a type checker a partial object is no function.
setattr(  # noqa: B010
    engines,
    "settings",
    functools.partial(engines.settings, device=DEVICE, require_gpu=DEVICE == "gpu"),
)


def pytest_report_header() -> str:
    """Say so."""
    return f"device of the engine's tests: {DEVICE}"
