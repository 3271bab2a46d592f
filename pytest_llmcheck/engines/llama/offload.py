"""Where the weights really are: read from what llama.cpp says it allocated, not from what was asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.settings import Offload

if TYPE_CHECKING:
    from collections.abc import Iterable

_LAYERS = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_BUFFER = re.compile(r"load_tensors:\s+(\S.*?) model buffer size =\s+([\d.]+) MiB")


def offload_of(lines: Iterable[str]) -> Offload:
    """What the lines of llama.cpp's log say while a model is loaded (`load_tensors` in llama-model.cpp)."""
    layers, of = 0, 0
    buffers: dict[str, int] = {}
    for line in lines:
        if found := _LAYERS.search(line):
            layers, of = int(found[1]), int(found[2])
        if found := _BUFFER.search(line):
            size = round(float(found[2]) * (1 << 20))
            buffers[found[1]] = buffers.get(found[1], 0) + size
    on_device = any(
        size and not name.startswith("CPU") and "Host" not in name for name, size in buffers.items()
    )
    # A build without a device says how many layers it would offload, and then allocates none there.
    return Offload(layers if on_device else 0, of, tuple(buffers.items()))
