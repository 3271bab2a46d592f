"""What the machine has to give: memory and cores, as far as this process may use them."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path


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
    folders = _cgroup_folders(proc, cgroups, "memory")
    found = [left for folder in folders if (left := _cgroup_left(folder)) is not None]
    meminfo = _fields(proc / "meminfo")
    if "MemAvailable:" in meminfo:
        found.append(meminfo["MemAvailable:"] * 1024)
    return min(found) if found else None


def usable_cores() -> int:
    """Cores that this process may run on: its affinity, and the CPU quota of its cgroups, rounded up.

    A container with a quota of two cores sees all cores of the machine. With a thread for each of them, all
    are stopped together as soon as the quota of a period is used up.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if sys.platform == "linux":
        cores = min(cores, _cpu_quota(Path("/proc"), Path("/sys/fs/cgroup")) or cores)
    return max(1, cores)


def _cpu_quota(proc: Path, cgroups: Path) -> int | None:
    """Cores that the quotas (cgroup v2 or v1) of this process allow, rounded up; None without one."""
    found = []
    for folder in _cgroup_folders(proc, cgroups, "cpu"):
        v1 = f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"
        for text in (_text(folder / "cpu.max"), v1):
            parts = text.split()
            if len(parts) == 2 and all(part.isdigit() and int(part) for part in parts):
                found.append(math.ceil(int(parts[0]) / int(parts[1])))
    return min(found, default=None)


def _cgroup_folders(proc: Path, cgroups: Path, controller: str) -> set[Path]:
    """The folders of this process's cgroup of a controller and of all above it: each may set a limit."""
    folders: set[Path] = set()
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controller if controllers else cgroups
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
