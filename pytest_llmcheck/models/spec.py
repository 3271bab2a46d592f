"""One declared way to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping
    from pathlib import Path

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
"""Types of a K or V cache, as llama.cpp spells them (`kv_cache_types` in its common/arg.cpp)."""

ContentTokens = Literal["special", "plain"]
"""Whether control tokens in what users and tools say are parsed as such, or are letters only."""

QUANTISED_CACHE_TYPES = frozenset(CACHE_TYPES) - {"f32", "f16", "bf16"}
"""Those of which a V cache needs flash attention."""


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """A LoRA adapter as it is declared.

    Attributes:
        gguf: where the adapter is, as for `ModelSpec.gguf`.
        scale: what its contribution is multiplied by.
        origin: the file that declares it; relative paths start at its folder.
    """

    gguf: str
    scale: float = 1.0
    origin: Path | None = None


@dataclass(frozen=True, slots=True)
class RopeSpec:
    """How positions are stretched beyond what the model was trained for; None takes the file's own value.

    Attributes:
        scaling: ``none``, ``linear`` or ``yarn``, as llama.cpp names them.
        factor: by how much the context is stretched (llama.cpp's rope_freq_scale is its inverse).
        freq_base: base frequency of the rotation.
        original_context: tokens of the context that the model was trained for (YaRN).
    """

    scaling: Literal["none", "linear", "yarn"] | None = None
    factor: float | None = None
    freq_base: float | None = None
    original_context: int | None = None


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
        device: ``auto`` offloads where the build can, ``cpu`` nothing, ``gpu`` insists.
        kv: types of the K and the V cache, as llama.cpp spells them (``f16``, ``q8_0``, ...).
        flash_attention: whether it is used; without it bits are not promised to be independent of company.
        rope: how positions are stretched; None leaves the file's own values.
        lora: adapters, applied together.
        gpu_layers: how many layers go to the GPU, the output layer counted; None means all of them.
        main_gpu: index of the GPU that holds everything with `split_mode` ``none``.
        split_mode: how several GPUs share the model.
        tensor_split: share of each GPU; empty lets llama.cpp share by free memory.
        require_gpu: fail, with the reason, where no layer can be put on a GPU. ``device = "gpu"`` implies it.
        chat_template: what replaces the template in the GGUF: a jinja file as a path; as a text, the name of
            a known format (`prompts.formats`) or of one of several templates in the file.
        template_variables: what the chat template reads besides, such as ``enable_thinking``; JSON values.
            What a call gives wins.
        date: what ``strftime_now`` in the template formats; None takes `prompts.template.FIXED_DATE`.
        template_on_trial: `chat_template` is that of one run (``--llm-template``): what the model's variables
            say to its own template is left out where this one does not read it.
        content_tokens: whether control tokens in what users and tools say are parsed as such (``special``),
            as servers do, or are letters only (``plain``).
        system: the system prompt used where a test gives none.
        audit_ignore: ids of the audit's findings that are known and accepted.
        without: names of the health checks that its replies are not held to.
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
    kv: tuple[str, str] = ("f16", "f16")
    flash_attention: bool = True
    rope: RopeSpec | None = None
    lora: tuple[LoraSpec, ...] = ()
    gpu_layers: int | None = None
    main_gpu: int = 0
    split_mode: Literal["none", "layer", "row"] = "layer"
    tensor_split: tuple[float, ...] = ()
    require_gpu: bool = False
    chat_template: Path | str | None = None
    # Values may be lists and tables, which have no hash.
    template_variables: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    date: datetime.date | None = None
    template_on_trial: bool = False
    content_tokens: ContentTokens = "special"
    system: str | None = None
    audit_ignore: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    origin: Path | None = None
