"""Single-stream decode beside one busy process, against the idle machine: threads spin at barriers.

Informative only. How long they spin is the host's GOMP_SPINCOUNT, which the environment may set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.ours import host, lasting, whole
from pytest_llmcheck.engines.llama.start import SPIN_COUNT

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.client import LlamaEngine
    from pytest_llmcheck.engines.types import Request

TOKENS = 128


def main(options: Options | None = None) -> None:
    """Print the ratio for each model."""
    options = options or Options()
    spin = os.environ.get("GOMP_SPINCOUNT", SPIN_COUNT)
    how = f"One request alone, GOMP_SPINCOUNT={spin}; on the left one other process uses a core all the time."
    table.begin("Decode beside a busy process, against an idle machine", how, options)
    tokens = 16 if options.quick else TOKENS
    for model in ladder(*options.quants):
        with host(model, options) as engine:
            request = lasting(engine, 32, tokens)
            idle, busy = [], []
            for _ in range(options.rounds):
                idle.append(speed(engine, request))
                other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    time.sleep(0.5)
                    busy.append(speed(engine, request))
                finally:
                    other.kill()
                    other.wait()
            table.line(model.spec.quant or model.spec.name, busy, idle, unit="tokens/s")


def speed(engine: LlamaEngine, request: Request) -> float:
    """tokens/s of one request."""
    return whole(engine.complete(request), request.max_tokens).timings.tokens_per_second or 0.0


if __name__ == "__main__":
    main(parse())
