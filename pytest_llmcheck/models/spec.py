"""One declared way to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as it is declared: data, no behaviour, nothing resolved, no file opened.

    Exactly one of `gguf` and `base` is set. A spec that came from another by ``from`` carries the
    inherited settings already.

    Attributes:
        name: the name under which tests, options and reports know it.
        gguf: where the weights are: a path (absolute, or relative to the declaring file), or
            ``pkg:module/file`` for a file inside an installed Python package.
        base: the model whose file the weights are made from (``from`` in the configuration).
        quant: llama.cpp's name of the quantisation to make from `base`; None takes the base's file as is.
        n_ctx: context of one conversation in tokens; None takes the model's own, at most 4096.
        width: KV streams of the engine, decoded in one batch; part of the numerics.
        threads: CPU threads; None takes the cores that this process may use.
        device: ``auto`` offloads all layers where the build can, ``cpu`` none, ``gpu`` insists.
        chat_template: a jinja file that replaces the template in the GGUF.
        system: the system prompt used where a test gives none.
        origin: the file that declares it, for messages; None for a file named on the command line.
    """

    name: str
    gguf: str | None = None
    base: ModelSpec | None = None
    quant: str | None = None
    n_ctx: int | None = None
    width: int = 4
    threads: int | None = None
    device: Literal["auto", "cpu", "gpu"] = "auto"
    chat_template: Path | None = None
    system: str | None = None
    origin: Path | None = None
