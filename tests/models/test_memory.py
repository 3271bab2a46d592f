"""Whether a model fits."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import (
    ModelSpec,
    available_memory,
    check_fit,
    context_of,
    estimate_memory,
    memory,
    read_gguf,
)
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def spec(n_ctx: int | None = None, width: int = 4) -> ModelSpec:
    return ModelSpec("m", gguf="x", n_ctx=n_ctx, width=width)


# --- context


def test_context(tiny: Path, smollm2: Path) -> None:
    assert context_of(read_gguf(tiny), spec()) == 512
    assert context_of(read_gguf(smollm2), spec()) == 4096  # trained for 8192
    assert context_of(read_gguf(tiny), spec(512)) == 512
    assert context_of(read_gguf(tiny), spec(1)) == 1


def test_context_beyond_training(tiny: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"model 'm': n_ctx = 513, but .*tiny-F16.gguf was trained for 512 tokens; set n_ctx to 512",
    ):
        context_of(read_gguf(tiny), spec(513))


def test_no_context(tiny: Path) -> None:
    with pytest.raises(ModelError, match="n_ctx = 0 is no context; take 1 to 512"):
        context_of(read_gguf(tiny), spec(0))


# --- estimate: figures of llama.cpp 0.3.36's own log (CPU, flash attention on, separate streams)


@pytest.mark.parametrize(
    ("n_ctx", "width", "rows", "kv", "compute"),
    [
        (4096, 4, 512, 360.0, 98.25 + 0.75),
        (1000, 2, 64, 45.0, 12.28 + 0.38),
        (2048, 8, 256, 360.0, 51.26 + 1.5),
    ],
)
def test_smollm2_against_the_log_of_llama_cpp(
    smollm2: Path, n_ctx: int, width: int, rows: int, kv: float, compute: float
) -> None:
    estimate = estimate_memory(read_gguf(smollm2), spec(n_ctx, width), rows=rows)
    assert estimate.kv == kv * MIB
    assert estimate.compute / MIB == pytest.approx(compute, rel=0.1)


def test_tiny_against_the_log_of_llama_cpp(tiny: Path) -> None:
    estimate = estimate_memory(read_gguf(tiny), spec(512, 4), rows=64)
    assert estimate.kv == 0.5 * MIB
    assert estimate.weights / MIB == pytest.approx(0.21, abs=0.005)
    assert estimate.total == estimate.weights + estimate.kv + estimate.compute


def test_layers_that_differ(tmp_path: Path) -> None:
    path = tiny_llama(
        tmp_path / "t.gguf", metadata={"llama.attention.key_length": 32, "llama.attention.value_length": 8}
    )
    assert estimate_memory(read_gguf(path), spec(256, 1)).kv == 256 * 2 * (2 * (32 + 8)) * 2


def test_latent_attention_stores_no_values(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "t.gguf", metadata={"llama.attention.key_length_mla": 48})
    assert estimate_memory(read_gguf(path), spec(256, 1)).kv == 256 * 2 * (2 * 16) * 2


@settings(max_examples=50, deadline=None)
@given(short=st.integers(1, 512), long=st.integers(1, 512), narrow=st.integers(1, 8), wide=st.integers(1, 8))
def test_law_more_context_or_width_never_takes_less(
    tiny: Path, short: int, long: int, narrow: int, wide: int
) -> None:
    header = read_gguf(tiny)
    short, long = sorted((short, long))
    narrow, wide = sorted((narrow, wide))
    small, large = estimate_memory(header, spec(short, narrow)), estimate_memory(header, spec(long, wide))
    assert small.kv <= large.kv
    assert small.total <= large.total


# --- fit


def test_fit_gives_the_estimate(tiny: Path) -> None:
    header = read_gguf(tiny)
    estimate = estimate_memory(header, spec())
    assert check_fit(header, spec(), estimate.total) == estimate


def test_no_fit_says_what_would(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    with pytest.raises(ModelError) as caught:
        check_fit(header, spec(), 300 * MIB)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"model 'm' does not fit into memory ({smollm2}, Q4_1):"
    assert lines[1:6] == [
        "  weights          96.6 MB",
        "  KV cache        377.5 MB   (4 conversations of 4096 tokens)",
        "  compute          14.7 MB",
        "  together        488.8 MB",
        "  available       314.6 MB",
    ]
    assert lines[6] == "The largest that fits is n_ctx = 2048; set it, or take a smaller quantisation."
    check_fit(header, spec(2048), 300 * MIB)
    with pytest.raises(ModelError):
        check_fit(header, spec(2049), 300 * MIB)


def test_fits_only_alone(smollm2: Path) -> None:
    with pytest.raises(ModelError, match=r"The largest that fits is n_ctx = 768 with width = 1; set it"):
        check_fit(read_gguf(smollm2), spec(width=8), 125 * MIB)


def test_not_even_the_weights_fit(smollm2: Path) -> None:
    with pytest.raises(ModelError, match="Not even the weights fit; take a smaller quantisation or model"):
        check_fit(read_gguf(smollm2), spec(), 50 * MIB)


def test_weights_fit_and_no_context(smollm2: Path) -> None:
    with pytest.raises(ModelError, match="No context fits beside the weights"):
        check_fit(read_gguf(smollm2), spec(), 100_000_000)


# --- what the machine has


def test_available_memory_is_plausible() -> None:
    assert 64 * MIB < available_memory() < 1 << 50


def machine(tmp_path: Path, files: dict[str, str]) -> tuple[Path, Path]:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path / "proc", tmp_path / "cgroup"


MEMINFO = "MemTotal:       8000 kB\nMemFree: 10 kB\nMemAvailable:   4000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": MEMINFO}, 4000 * 1024),
        ({"proc/meminfo": "MemTotal: 8000 kB\n"}, None),
        ({}, None),
        # cgroup v2: a limit of the parent counts, "max" is none, inactive file cache is given back
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/a/b\n",
                "cgroup/a/b/memory.max": "max\n",
                "cgroup/a/b/memory.current": "5\n",
                "cgroup/a/memory.max": "1000000\n",
                "cgroup/a/memory.current": "700000\n",
                "cgroup/a/memory.stat": "anon 1\ninactive_file 100000\n",
            },
            400_000,
        ),
        # in a container the path is the host's; the mount's own root holds the limit
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/docker/abc\n",
                "cgroup/memory.max": "90000\n",
                "cgroup/memory.current": "100000\n",
            },
            0,
        ),
        # cgroup v1
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n",
                "cgroup/memory/x/memory.limit_in_bytes": "3000000\n",
                "cgroup/memory/x/memory.usage_in_bytes": "1000000\n",
            },
            2_000_000,
        ),
        # a limit beyond the machine says nothing
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "4:memory:/\n",
                "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "cgroup/memory/memory.usage_in_bytes": "1\n",
            },
            4000 * 1024,
        ),
    ],
)
def test_linux(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert memory._linux_available(*machine(tmp_path, files)) == expected


def test_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Mach Statistics:\nPages free:      100.\nPages inactive:  20.\nPages speculative: 3.\n"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("os.sysconf", lambda name: 16384)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=said))
    assert available_memory() == 123 * 16384


@pytest.mark.parametrize("platform", ["darwin", "sunos5"])
def test_elsewhere_half_of_it(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("subprocess.run", missing)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 100}.__getitem__)
    assert available_memory() == 4096 * 50
