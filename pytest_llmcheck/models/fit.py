"""Whether a model fits into main memory, or into that and a GPU's, and what would fit if it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models.memory import MemoryEstimate, context_of, estimate_memory, split_estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.models.header import GGUFHeader
    from pytest_llmcheck.models.spec import ModelSpec


def check_fit(
    header: GGUFHeader,
    spec: ModelSpec,
    available: int,
    *,
    device_memory: int | None = None,
    gpu_layers: int | None = None,
) -> MemoryEstimate:
    """Refuse a model that does not fit, before the kernel kills something.

    Args:
        header: of the file.
        spec: its settings.
        available: bytes of main memory that may be taken (`available_memory`).
        device_memory: bytes that may be taken on the GPU, on all together where there are several; None
            where nothing is offloaded.
        gpu_layers: layers on the GPU, the output layer counted; by default those of `spec`, else all.

    Returns:
        The estimate, both memories together.

    Raises:
        ModelError: it does not fit; with the figures, and the largest `n_ctx` or the `gpu_layers` that would.
    """
    layers = _offloaded(header, spec, gpu_layers) if device_memory is not None else 0
    if device_memory is not None and layers:
        return _check_both(header, spec, (available, device_memory), layers)
    estimate = estimate_memory(header, spec)
    if estimate.total <= available:
        return estimate
    lines = [
        f"model {spec.name!r} does not fit into memory ({header.path}, {header.quant}):",
        *_table(header, spec, (estimate,), (available,)),
        _way_out(header, spec, available),
    ]
    raise ModelError("\n".join(lines))


def layers_that_fit(header: GGUFHeader, spec: ModelSpec, device_memory: int) -> int:
    """The most layers, the output layer counted, that fit into so many bytes of a GPU; 0 if none does.

    Raises:
        ModelError: as for `estimate_memory`.
    """

    def fits(gpu_layers: int) -> bool:
        return split_estimate(header, spec, gpu_layers)[1].total <= device_memory

    return _largest(fits, header.n_layers + 1)


def _offloaded(header: GGUFHeader, spec: ModelSpec, gpu_layers: int | None) -> int:
    if gpu_layers is None:
        gpu_layers = 0 if spec.device == "cpu" else spec.gpu_layers
    return header.n_layers + 1 if gpu_layers is None else max(0, min(gpu_layers, header.n_layers + 1))


def _check_both(
    header: GGUFHeader, spec: ModelSpec, available: tuple[int, int], layers: int
) -> MemoryEstimate:
    host, device = split_estimate(header, spec, layers)
    if host.total <= available[0] and device.total <= available[1]:
        return MemoryEstimate(
            host.weights + device.weights,
            host.kv + device.kv,
            host.compute + device.compute,
            host.adapters + device.adapters,
        )
    of = f"{layers} of {header.n_layers + 1} layers on the GPU"
    lines = [
        f"model {spec.name!r} does not fit ({header.path}, {header.quant}, {of}):",
        f"  {'':<10} {'main memory':>13} {'GPU':>13}",
        *_table(header, spec, (host, device), available),
        _way_out_of_both(header, spec, available, layers),
    ]
    raise ModelError("\n".join(lines))


def _table(
    header: GGUFHeader, spec: ModelSpec, estimates: tuple[MemoryEstimate, ...], available: tuple[int, ...]
) -> list[str]:
    """The figures, a column for each memory."""
    streams = f"   ({spec.width} conversations of {context_of(header, spec)} tokens)"
    rows = {
        "weights": [estimate.weights for estimate in estimates],
        "adapters": [estimate.adapters for estimate in estimates],
        "KV cache": [estimate.kv for estimate in estimates],
        "compute": [estimate.compute for estimate in estimates],
        "together": [estimate.total for estimate in estimates],
        "available": available,
    }
    return [
        f"  {name:<10} {' '.join(map(_mb, figures))}{streams if name == 'KV cache' else ''}"
        for name, figures in rows.items()
        if name != "adapters" or any(figures)
    ]


def _mb(count: int) -> str:
    return f"{count / 1e6:10,.1f} MB"


def _way_out(header: GGUFHeader, spec: ModelSpec, available: int) -> str:
    def fits(other: ModelSpec) -> bool:
        return estimate_memory(header, other).total <= available

    if smaller := _smaller(header, spec, fits):
        return f"The largest that fits is {smaller}; set it, or take a smaller quantisation."
    if header.weight_bytes > available:
        return "Not even the weights fit; take a smaller quantisation or model, or a larger machine."
    return "No context fits beside the weights; take a smaller quantisation, or a larger machine."


def _way_out_of_both(header: GGUFHeader, spec: ModelSpec, available: tuple[int, int], layers: int) -> str:
    def fits(other: ModelSpec, layers: int = layers) -> bool:
        host, device = split_estimate(header, other, layers)
        return host.total <= available[0] and device.total <= available[1]

    ways = []
    # What main memory has to hold only shrinks with more layers on the GPU: if these do not do, none does.
    fewer = layers_that_fit(header, spec, available[1])
    if fits(spec, fewer):
        insists = spec.require_gpu or spec.device == "gpu"
        ways += [f"gpu_layers = {fewer}"] if fewer else [] if insists else ['device = "cpu"']
    if smaller := _smaller(header, spec, fits):
        ways.append(f"{smaller} with these {layers} layers on the GPU")
    if ways:
        them = "it" if len(ways) == 1 else "one of them"
        return f"What fits is {', or '.join(ways)}; set {them}, or take a smaller quantisation."
    return "No number of layers and no context fits; take a smaller quantisation or model, or a larger GPU."


def _smaller(header: GGUFHeader, spec: ModelSpec, fits: Callable[[ModelSpec], bool]) -> str:
    """The largest `n_ctx` that fits, with one stream only if it has to be; empty if none does."""
    for width in sorted({spec.width, 1}, reverse=True):

        def with_context(n_ctx: int, width: int = width) -> bool:
            return fits(replace(spec, n_ctx=n_ctx, width=width))

        largest = _largest(with_context, context_of(header, spec))
        if largest:
            return f"n_ctx = {largest}" + ("" if width == spec.width else f" with width = {width}")
    return ""


def _largest(fits: Callable[[int], bool], limit: int) -> int:
    """The largest n from 1 to `limit` for which `fits` holds, 0 if none; what fits fits below as well."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
