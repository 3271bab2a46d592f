"""`make demo`: the example suite on a reference and on its quantisations, as a team would run it.

Copies `quickstart/` into ``build/demo``, so that the baselines it records do not show up as changes here,
lets the reference record its baselines, and then judges the candidates. Exits with 0 if a candidate was
found broken: a demo that finds nothing has failed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE.parent / "build" / "demo"
CANDIDATES = "q8_0,q6_k,q4_k_m,q2_k"

CLOSING = """
The broken candidate is the product working: pytest exited with 1, so CI would have stopped that swap.

In your own project:
  pip install path/to/pytest-llmcheck     (this folder)
  declare your models in pyproject.toml   (see examples/quickstart/pyproject.toml)
  write test_*.py with `llm` and `llm_snapshot`   (see examples/quickstart/test_*.py)
  pytest --llm-update                     the reference records its baselines: review and commit them
  pytest --llm-model q4                   exits with 1 if the candidate breaks something
"""


def run(*arguments: str) -> int:
    """Show a command and run it in the copy."""
    print(f"\n$ pytest {' '.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=WORK, check=False).returncode


def main() -> int:
    """Record, judge, explain."""
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(
        HERE / "quickstart", WORK, ignore=shutil.ignore_patterns("__llmcheck__", ".*", "__pycache__")
    )
    print(
        f"The example suite of {HERE.name}/quickstart, on SmolLM2-135M-Instruct. First the reference alone:"
    )
    if run("--llm-model", "f16", "--llm-update", "-q", "--no-header") != 0:
        print("\nThe reference fails its own suite: that is not supposed to happen.")
        return 1
    print("\nNow the reference and four quantisations that llama.cpp has made of it:")
    status = run("--llm-model", f"f16,{CANDIDATES}", "--tb=no", "--no-summary", "-q")
    if status != 1:
        print(f"\npytest exited with {status} where 1 was expected: no candidate was found broken.")
        return 1
    print(CLOSING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
