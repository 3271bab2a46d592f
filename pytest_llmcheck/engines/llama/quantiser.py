"""The quantiser program: ``python -P -m pytest_llmcheck.engines.llama.quantiser SOURCE TARGET QUANT``.

Prints JSON lines: ``{"fraction": 0.5}`` while it works, ``{"error": "..."}`` when llama.cpp refuses.
"""

from __future__ import annotations

import json
import os
import re
import sys

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.log import Log
from pytest_llmcheck.models.quants import QUANTS

_TENSOR = re.compile(r"^\[\s*(\d+)/\s*(\d+)\]")


def main() -> None:
    """Quantise as told on the command line."""
    source, destination, quant = sys.argv[1:]

    def follow(line: str) -> None:
        if found := _TENSOR.match(line):
            say({"fraction": int(found[1]) / int(found[2])})

    log = Log(follow)
    llama.llama_backend_init()
    params = llama.llama_model_quantize_default_params()
    params.ftype = QUANTS[quant]
    params.nthread = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Only a lossless target gets here from a quantised source: `models.quantise` refuses the others.
    params.allow_requantize = True
    code = llama.llama_model_quantize(source.encode(), destination.encode(), params)
    if code != 0:
        say({"error": log.errors() or f"it returned {code} without a reason"})
        sys.exit(1)


def say(message: dict[str, object]) -> None:
    """One line to the parent; without a parent there is nobody to work for."""
    try:
        print(json.dumps(message), flush=True)
    except BrokenPipeError:
        os._exit(1)


if __name__ == "__main__":
    main()
