"""What a model takes, and what the machine has."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import (
    ModelSpec,
    RopeSpec,
    available_memory,
    context_of,
    estimate_memory,
    memory,
    read_gguf,
)
from pytest_llmcheck.models.quants import TENSOR_TYPES_BY_NAME
from pytest_llmcheck.models.spec import CACHE_TYPES
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


MIB = 1 << 20


def spec(n_ctx: int | None = None, width: int = 4, **settings: Any) -> ModelSpec:
    return ModelSpec("m", gguf="x", n_ctx=n_ctx, width=width, **settings)


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


@pytest.mark.parametrize(
    ("rope", "most"),
    [
        (RopeSpec("yarn", 4.0), 2048),
        (RopeSpec("linear", 1.5), 768),
        (RopeSpec("linear", 1.0), 512),
        (RopeSpec("none"), 512),
        (RopeSpec(freq_base=1e6), 512),
        (RopeSpec("yarn"), 512),
    ],
)
def test_rope_scaling_stretches_the_context(tiny: Path, rope: RopeSpec, most: int) -> None:
    header = read_gguf(tiny)
    assert context_of(header, spec(rope=rope)) == most
    assert context_of(header, spec(most, rope=rope)) == most
    with pytest.raises(ModelError, match=f"set n_ctx to {most} or less"):
        context_of(header, spec(most + 1, rope=rope))


def test_rope_scaling_is_in_the_message(tiny: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"for 512 tokens, and yarn rope scaling by 4 stretches that to 2048; set n_ctx to 2048",
    ):
        context_of(read_gguf(tiny), spec(4000, rope=RopeSpec("yarn", 4.0)))


def test_rope_scaling_replaces_the_files_own(tmp_path: Path) -> None:
    keys: dict[str, int | float] = {"llama.rope.scaling.original_context_length": 128}
    header = read_gguf(tiny_llama(tmp_path / "t.gguf", metadata=keys))
    assert context_of(header, spec(rope=RopeSpec("yarn", 8.0))) == 1024
    assert context_of(header, spec(rope=RopeSpec("yarn", 2.0))) == 512


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


@pytest.mark.parametrize(
    ("n_ctx", "width", "rows", "kv", "size"),
    [
        (4096, 4, 512, ("q8_0", "q8_0"), 191.25),
        (1000, 2, 64, ("q4_0", "f16"), 28.828125),
        (2048, 8, 256, ("f32", "bf16"), 540.0),
    ],
)
def test_cache_types_against_the_log_of_llama_cpp(
    smollm2: Path, n_ctx: int, width: int, rows: int, kv: tuple[str, str], size: float
) -> None:
    assert estimate_memory(read_gguf(smollm2), spec(n_ctx, width, kv=kv), rows=rows).kv == size * MIB


@pytest.mark.parametrize(
    ("n_ctx", "width", "rows", "compute"),
    [
        (4096, 4, 512, 99.38 + 0.75),
        (1000, 2, 64, 12.28 + 0.38),
        (8192, 1, 64, 20.80 + 0.19),
        (8192, 1, 256, 83.19 + 0.19),
        (8192, 4, 65, 22.10 + 0.75),
    ],
)
def test_without_flash_attention_against_the_log_of_llama_cpp(
    smollm2: Path, n_ctx: int, width: int, rows: int, compute: float
) -> None:
    estimate = estimate_memory(read_gguf(smollm2), spec(n_ctx, width, flash_attention=False), rows=rows)
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


def test_transposed_values_are_as_wide_as_the_widest(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "t.gguf", metadata={"llama.attention.head_count_kv": [2, 1]})
    header = read_gguf(path)
    assert estimate_memory(header, spec(256, 1)).kv == 256 * 16 * (2 + 1) * 2 * 2
    assert estimate_memory(header, spec(256, 1, flash_attention=False)).kv == 256 * 16 * (3 + 4) * 2


# --- laws


KINDS = st.sampled_from(CACHE_TYPES)


@settings(max_examples=50, deadline=None)
@given(one=st.tuples(KINDS, KINDS), other=st.tuples(KINDS, KINDS), flash=st.booleans())
def test_law_larger_cache_types_never_take_less(
    smollm2: Path, one: tuple[str, str], other: tuple[str, str], flash: bool
) -> None:
    def kv(kinds: tuple[str, str]) -> int:
        return estimate_memory(read_gguf(smollm2), spec(kv=kinds, flash_attention=flash)).kv

    smaller = [
        min(pair, key=lambda kind: TENSOR_TYPES_BY_NAME[kind.upper()].bits)
        for pair in zip(one, other, strict=True)
    ]
    assert kv((smaller[0], smaller[1])) <= min(kv(one), kv(other))


@settings(max_examples=50, deadline=None)
@given(short=st.integers(1, 512), long=st.integers(1, 512), narrow=st.integers(1, 8), wide=st.integers(1, 8))
def test_law_more_context_or_width_never_takes_less(
    tiny: Path, short: int, long: int, narrow: int, wide: int
) -> None:
    header = read_gguf(tiny)
    short, long = sorted((short, long))
    narrow, wide = sorted((narrow, wide))
    for flash in (True, False):
        small, large = (
            estimate_memory(header, spec(n_ctx, width, flash_attention=flash))
            for n_ctx, width in ((short, narrow), (long, wide))
        )
        assert small.kv <= large.kv
        assert small.total <= large.total


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
