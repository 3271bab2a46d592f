"""What the fit check says a model takes, against what it takes; and that it refuses what does not fit.

Not part of `make bench`: it informs. Taken on a GPU is the difference of its free memory, the driver's own
share for one process (some hundred MB) included; on a CPU it is the resident size of the host, Python and the
libraries (about 100 MB) included. Other programs on the device spoil the figure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.models import ladder
from benchmarks.options import Options, parse
from benchmarks.ours import host
from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import RopeSpec
from pytest_llmcheck.models.memory import split_estimate

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.client import LlamaEngine
    from pytest_llmcheck.models import ResolvedModel

ASK = """
import json
from pytest_llmcheck.engines.llama.bindings import GPU_DEVICE_TYPES, devices
print(json.dumps([[d.description, d.free] for d in devices() if d.kind in GPU_DEVICE_TYPES]))
"""


def main(options: Options | None = None) -> None:
    """Print estimate and measurement for each model, and one refusal."""
    options = options or Options()
    gpus = devices()
    print(f"\n### The fit check\n\nDevices: {', '.join(name for name, _ in gpus) or 'CPU'}\n")
    print("| model | where | weights | KV cache | working space | estimate | taken |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for model in ladder(*options.quants):
        for n_ctx in (1024,) if options.quick else (1024, 8192):
            measure(model, options, n_ctx)
    print(f"\nWhat cannot fit:\n\n```\n{refusal(ladder(options.quants[0])[0], options)}\n```", flush=True)


def measure(model: ResolvedModel, options: Options, n_ctx: int) -> None:
    """Print a line for each memory that the model lies in."""
    spec = replace(model.spec, n_ctx=n_ctx)
    layers = model.header.n_layers + 1 if options.device == "gpu" else 0
    in_main, on_device = split_estimate(model.header, spec, layers)
    before = devices()
    with host(model, options, n_ctx=n_ctx) as engine:
        info = engine.load()
        after = devices()
        rows = [("main memory", in_main, resident(engine))]
        if layers:
            taken = sum(free for _, free in before) - sum(free for _, free in after)
            rows.append((info.device, on_device, taken))
    for where, estimate, taken in rows:
        parts = (estimate.weights, estimate.kv, estimate.compute, estimate.total, taken)
        cells = " | ".join(f"{part / 1e6:.0f} MB" for part in parts)
        print(f"| {model.spec.quant}, {n_ctx} tokens | {where} | {cells} |", flush=True)


def devices() -> list[tuple[str, int]]:
    """Name and free bytes of each GPU, asked in another process: this one must take none of it."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    return [(name, free) for name, free in json.loads(done.stdout.splitlines()[-1])]


def resident(engine: LlamaEngine) -> int:
    """Bytes of main memory that the host has."""
    import psutil

    return int(psutil.Process(engine.pid).memory_info().rss)


def refusal(model: ResolvedModel, options: Options) -> str:
    """The message for a context that no machine has room for."""
    rope = RopeSpec(scaling="linear", factor=1024.0)
    huge = replace(model, spec=replace(model.spec, rope=rope))
    try:
        with host(huge, options, width=64, n_ctx=4_000_000):
            return "It was NOT refused."
    except ModelError as error:
        return str(error)


if __name__ == "__main__":
    main(parse())
