"""Quantising with llama.cpp's own quantiser, in a process of its own: it may abort."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.line import describe_exit
from pytest_llmcheck.engines.llama.programs import program
from pytest_llmcheck.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def quantise(
    source: Path, target: Path, quant: str, progress: Callable[[str, float], None] | None = None
) -> None:
    """Write `source` as `quant` to `target`. A quantised source is dequantised for F16, BF16 and F32.

    Args:
        source: an existing GGUF file.
        target: is overwritten; what is left of it after a failure is the caller's to remove.
        quant: llama.cpp's name of the type, such as ``Q4_K_M``.
        progress: called with (stage, fraction).

    Raises:
        ModelError: llama.cpp refused or died; with its reason.
    """
    command = program("quantiser", str(source), str(target), quant)
    stage = f"quantising {source.stem} to {quant}"
    said = ""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                message = json.loads(line)
                said = message.get("error", said)
                if progress is not None and "fraction" in message:
                    progress(stage, message["fraction"])
        code = process.wait()
    finally:
        # Also on Ctrl-C: nobody will take what it is writing.
        process.kill()
        process.wait()
    if code != 0:
        raise ModelError(
            f"llama.cpp cannot make {quant} from {source}: {said or 'it ' + describe_exit(code)}"
        )
