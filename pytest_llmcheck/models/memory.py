"""Whether a model fits: estimates from its header, and what the machine has to give."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.models.header import GGUFHeader
    from pytest_llmcheck.models.spec import ModelSpec

#: A conversation's context where nobody chose one: enough for a test, and affordable for any width.
_DEFAULT_CONTEXT = 4096

#: llama.cpp rounds a stream up to whole blocks of this many positions (GGML_PAD in llama-context.cpp).
_CELLS = 256

#: Rows that are decoded at once: the grid on which the engine prefills, with a remainder of one.
_ROWS = 65

_F16, _F32 = 2, 4


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a loaded model takes, in bytes.

    Attributes:
        weights: all tensors.
        kv: the KV cache of all streams.
        compute: working space and logits.
    """

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """The sum, in bytes; Python and the libraries (about 100 MB a process) are not in it."""
        return self.weights + self.kv + self.compute


def context_of(header: GGUFHeader, spec: ModelSpec) -> int:
    """Tokens of one conversation: `spec.n_ctx`, else what the model was trained for, at most 4096.

    Raises:
        ModelError: `spec.n_ctx` is larger than the model was trained for (llama.cpp would only warn, and the
            replies would decay), or the file does not say what it was trained for.
    """
    trained = header.context_length
    if spec.n_ctx is None:
        return min(trained, _DEFAULT_CONTEXT)
    if spec.n_ctx < 1:
        raise ModelError(f"model {spec.name!r}: n_ctx = {spec.n_ctx} is no context; take 1 to {trained}")
    if spec.n_ctx > trained:
        raise ModelError(
            f"model {spec.name!r}: n_ctx = {spec.n_ctx}, but {header.path} was trained for {trained} tokens; "
            f"set n_ctx to {trained} or less"
        )
    return spec.n_ctx


def estimate_memory(header: GGUFHeader, spec: ModelSpec, *, rows: int = _ROWS) -> MemoryEstimate:
    """Estimate what the model takes when it is loaded with the settings of `spec`.

    - weights: the bytes of all tensors;
    - kv: positions x width x sum over layers of (KV heads x (key length + value length)) x 2 bytes (F16), as
      `llama_kv_cache` allocates it, positions being n_ctx rounded up to 256. A model with latent attention
      (MLA) stores no values. Layers with a sliding window count in full, so for these it is an upper bound;
      the state of recurrent layers is not counted;
    - compute: rows x (max(vocabulary, 3 x feed-forward) + 4 x embedding) x 4 bytes, the logits or the
      widest activations of one batch, + rows x positions x 2 bytes for its mask, + width x vocabulary x
      4 bytes for the logits handed out. A rule of thumb: llama.cpp's own figure depends on how its
      allocator lets tensors share space, and was within a tenth of this for SmolLM2.

    Args:
        header: of the file.
        spec: its `n_ctx` and `width`.
        rows: tokens in the largest batch.

    Raises:
        ModelError: the file lacks a figure that this needs, or `n_ctx` is impossible (`context_of`).
    """
    positions = -(-context_of(header, spec) // _CELLS) * _CELLS
    keys = f"{header.architecture}."
    latent = f"{keys}attention.key_length_mla" in header.metadata
    width_per_head = header.key_length + (0 if latent else header.value_length)
    per_position = sum(header.kv_heads_by_layer) * width_per_head * _F16
    rows = max(rows, spec.width)
    feed_forward = header.metadata.get(f"{keys}feed_forward_length", 0)
    widest = max(header.n_vocab, 3 * feed_forward if isinstance(feed_forward, int) else 0)
    compute = rows * (widest + 4 * header.n_embd) * _F32 + rows * positions * _F16
    return MemoryEstimate(
        weights=header.weight_bytes,
        kv=positions * spec.width * per_position,
        compute=compute + spec.width * header.n_vocab * _F32,
    )


def check_fit(header: GGUFHeader, spec: ModelSpec, available: int) -> MemoryEstimate:
    """Refuse a model that does not fit, before the kernel kills something.

    Args:
        header: of the file.
        spec: its `n_ctx` and `width`.
        available: bytes that may be taken (`available_memory`).

    Raises:
        ModelError: it does not fit; with the figures, and the largest `n_ctx` that would.
    """
    estimate = estimate_memory(header, spec)
    if estimate.total <= available:
        return estimate
    context = context_of(header, spec)
    lines = [
        f"model {spec.name!r} does not fit into memory ({header.path}, {header.quant}):",
        f"  weights    {_mb(estimate.weights)}",
        f"  KV cache   {_mb(estimate.kv)}   ({spec.width} conversations of {context} tokens)",
        f"  compute    {_mb(estimate.compute)}",
        f"  together   {_mb(estimate.total)}",
        f"  available  {_mb(available)}",
        _way_out(header, spec, available, context),
    ]
    raise ModelError("\n".join(lines))


def _mb(count: int) -> str:
    return f"{count / 1e6:10,.1f} MB"


def _way_out(header: GGUFHeader, spec: ModelSpec, available: int, context: int) -> str:
    def fits(width: int, n_ctx: int) -> bool:
        return estimate_memory(header, replace(spec, n_ctx=n_ctx, width=width)).total <= available

    for width in sorted({spec.width, 1}, reverse=True):
        largest = _largest(partial(fits, width), context)
        if largest:
            narrower = "" if width == spec.width else f" with width = {width}"
            return (
                f"The largest that fits is n_ctx = {largest}{narrower}; "
                f"set it, or take a smaller quantisation."
            )
    if header.weight_bytes > available:
        return "Not even the weights fit; take a smaller quantisation or model, or a larger machine."
    return "No context fits beside the weights; take a smaller quantisation, or a larger machine."


def _largest(fits: Callable[[int], bool], limit: int) -> int:
    """The largest n from 1 to `limit` for which `fits` holds, 0 if none; what fits fits below as well."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def available_memory() -> int:
    """Bytes of main memory that can still be taken without swapping or being killed.

    Linux: MemAvailable of /proc/meminfo, or what the cgroups (v2 or v1) of this process leave of their
    limits if that is less; file cache in a cgroup counts as free, since the kernel gives it back. macOS:
    free, inactive and speculative pages of `vm_stat`. Elsewhere, and where that fails: half of all memory.
    """
    if sys.platform == "linux":
        free = _linux_available(Path("/proc"), Path("/sys/fs/cgroup"))
    elif sys.platform == "darwin":
        free = _mac_available()
    else:
        free = None
    return free if free is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _linux_available(proc: Path, cgroups: Path) -> int | None:
    found = [left for folder in _cgroup_folders(proc, cgroups) if (left := _cgroup_left(folder)) is not None]
    meminfo = _fields(proc / "meminfo")
    if "MemAvailable:" in meminfo:
        found.append(meminfo["MemAvailable:"] * 1024)
    return min(found) if found else None


def _cgroup_folders(proc: Path, cgroups: Path) -> set[Path]:
    """The folders of this process's memory cgroup and of all above it: each may set a limit."""
    folders: set[Path] = set()
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        # In a container the path may be the host's while the mount shows only our own part: root covers that.
        inside = root / path.strip("/")
        folders.update(parent for parent in (inside, *inside.parents) if parent.is_relative_to(root))
    return folders


def _cgroup_left(folder: Path) -> int | None:
    for limit_name, usage_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
        if limit.isdigit() and usage.isdigit():
            cache = _fields(folder / "memory.stat").get(cache_name, 0)
            return max(0, int(limit) - int(usage) + min(cache, int(usage)))
    return None


def _mac_available() -> int | None:
    try:
        said = subprocess.run(
            ["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    pages = dict.fromkeys(("Pages free", "Pages inactive", "Pages speculative"), 0)
    for line in said.splitlines():
        name, _, count = line.partition(":")
        if name in pages and count.strip(" .").isdigit():
            pages[name] = int(count.strip(" ."))
    return sum(pages.values()) * os.sysconf("SC_PAGE_SIZE") or None


def _fields(path: Path) -> dict[str, int]:
    """Lines of the form ``name number ...`` as a mapping."""
    parts = (line.split() for line in _text(path).splitlines())
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
