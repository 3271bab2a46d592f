"""What the machine has to give."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.models import available_memory, usable_cores
from pytest_llmcheck.models import machine as room

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


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
    assert room._linux_available(*machine(tmp_path, files)) == expected


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


def test_usable_cores_are_plausible() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a\n", "cgroup/a/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a\n", "cgroup/a/cpu.max": "150000 100000\n"}, 2),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "cgroup/a/cpu.max": "100000 100000\n",
                "cgroup/a/b/cpu.max": "400000 100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/x\n",
                "cgroup/cpu/x/cpu.cfs_quota_us": "300000\n",
                "cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/x\n",
                "cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/a\n", "cgroup/a/cpu.max": "nonsense\n"}, None),
    ],
)
def test_cpu_quota(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert room._cpu_quota(*machine(tmp_path, files)) == expected
