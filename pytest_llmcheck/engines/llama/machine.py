"""What computes here, told without loading it: the libraries, the code around them, and the machine.

Imports neither llama_cpp nor numpy, so that a run whose replies are all cached stays light.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.models.content import content_hash

#: Lines of /proc/cpuinfo that name a processor and its features, on x86, ARM, POWER, RISC-V and s390.
_CPU_FIELDS = frozenset(
    {
        "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
        "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features",
        "cpu", "machine", "revision", "isa", "uarch", "mmu", "features",
    }
)  # fmt: skip

#: Environment variables that choose devices, kernels or precision; those of ggml itself begin with GGML_.
_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "GLIBC_TUNABLES",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "MKL_CBWR",
    "NVIDIA_TF32_OVERRIDE",
    "NVIDIA_VISIBLE_DEVICES",
    "ONEAPI_DEVICE_SELECTOR",
    "OPENBLAS_CORETYPE",
    "ROCR_VISIBLE_DEVICES",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "ZE_AFFINITY_MASK",
)

_SYSCTL = ("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features", "hw.optional")


@cache
def library_hash() -> str:
    """Short hash over the shared libraries that compute: equal hashes, equal machine code.

    Raises:
        EngineError: they are not there.
    """
    both = hashlib.sha256()
    for path in _libraries():
        both.update(content_hash(path).encode())
    return both.hexdigest()[:12]


def _libraries() -> list[Path]:
    # As llama_cpp/llama_cpp.py looks for them.
    chosen = os.environ.get("LLAMA_CPP_LIB_PATH")
    if chosen is not None:
        folder = Path(chosen)
    else:
        found = importlib.util.find_spec("llama_cpp")
        if found is None or found.origin is None:
            raise EngineError("llama-cpp-python is not installed: pip install llama-cpp-python")
        folder = Path(found.origin).parent.absolute() / "lib"
    try:
        files = {p.resolve() for p in folder.iterdir() if ".so" in p.name or p.suffix == ".dylib"}
    except OSError as error:
        hint = "correct LLAMA_CPP_LIB_PATH" if chosen is not None else "reinstall llama-cpp-python"
        raise EngineError(f"no llama.cpp in {folder}: {error.strerror or error}; {hint}") from None
    return sorted(p for p in files if p.name.startswith(("libllama", "libggml")))


@cache
def code_identity() -> str:
    """Short hash over the Python code between llama.cpp and a reply: batches, sampling, stopping.

    A cached reply must not outlive a correction of that code, and NumPy has a say in log-probabilities.
    """
    engines = Path(__file__).parent.parent
    code = hashlib.sha256()
    for path in sorted(engines.rglob("*.py")):
        code.update(f"{path.relative_to(engines)}\n".encode())
        code.update(hashlib.sha256(path.read_bytes()).digest())
    # The files that hold their versions; importlib.metadata takes 10 ms to say the same.
    for package, name in (("llama_cpp", "__init__.py"), ("numpy", "version.py")):
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            code.update(_text(Path(found.origin).with_name(name)).encode())
    return code.hexdigest()[:12]


@cache
def machine_identity() -> str:
    """Short hash over what selects kernels here; equal hashes let numerics be known without asking.

    Processor and its features, C library (its sine and cosine turn positions), GPUs and their drivers, and
    environment variables that choose devices or precision. It errs on the side of being different.
    """
    said = [os.uname().machine, *_processor(), *_c_library(), *_gpus(), *_environment()]
    return hashlib.sha256("\n".join(said).encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _processor() -> list[str]:
    if sys.platform == "darwin":
        return [_output("sysctl", *_SYSCTL), os.uname().release]
    return processor_features(Path("/proc/cpuinfo"))


def processor_features(cpuinfo: Path) -> list[str]:
    """What /proc/cpuinfo says of the first processor, without what changes from moment to moment."""
    features: list[str] = []
    with contextlib.suppress(OSError), cpuinfo.open(encoding="utf-8", errors="replace") as file:
        # Asking for all of hundreds of processors takes the kernel milliseconds.
        for line in file:
            if not line.strip() and features:
                break
            name, _, value = line.partition(":")
            if name.strip() in _CPU_FIELDS:
                features.append(f"{name.strip()}={' '.join(sorted(value.split()))}")
    return features


def _c_library() -> list[str]:
    try:
        return [os.confstr("CS_GNU_LIBC_VERSION") or ""]
    except (AttributeError, OSError, ValueError):
        return []


def _gpus() -> list[str]:
    found = [_text(Path("/proc/driver/nvidia/version"))]
    with contextlib.suppress(OSError):
        for gpu in sorted(Path("/proc/driver/nvidia/gpus").iterdir()):
            lines = _text(gpu / "information").splitlines()
            # Model, firmware and bus, but not the serial numbers of one card among equals.
            found += [line for line in lines if not line.startswith(("GPU UUID", "Device Minor", "IRQ"))]
    with contextlib.suppress(OSError):
        for card in sorted(Path("/sys/class/drm").glob("card[0-9]")):
            device = card / "device"
            found.append(f"{_text(device / 'vendor')} {_text(device / 'device')}")
    return found


def _environment() -> list[str]:
    return [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name in _VARIABLES or name.startswith("GGML_")
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
