"""The tables of the configuration file as they are written, before names are resolved."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec

NOT_YET = {
    "flash_attention": "it is always on",
    "gpu_layers": "say device = 'auto', 'cpu' or 'gpu'",
    "kv": "the KV cache is f16",
    "lora": "merge the adapter into a GGUF file of its own",
    "server": "only GGUF files are run",
}
"""Keys of a model that are planned but not built, with what holds instead."""

Device = Literal["auto", "cpu", "gpu"]
DEVICES: tuple[str, ...] = get_args(Device)

_INT32 = 2**31 - 1
_MOST_THREADS = 512  # GGML_MAX_N_THREADS
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class ModelTable(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """``[tool.llmcheck.models.NAME]``; None where a key is not given."""

    gguf: _Text | None = None
    from_: str | None = None
    quant: str | None = None
    n_ctx: Annotated[int, msgspec.Meta(ge=16, le=_INT32)] | None = None
    width: Annotated[int, msgspec.Meta(ge=1, le=8)] | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=_MOST_THREADS)] | None = None
    device: Device | None = None
    chat_template: _Text | None = None
    system: str | None = None


class TopTable(msgspec.Struct, frozen=True):
    """``[tool.llmcheck]``."""

    reference: str | None = None
    default: str | list[str] | None = None
    # The upper end keeps out inf, which TOML can spell: a request that may hang for ever.
    timeout: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 600.0
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=_INT32)] = 512
    models: dict[str, Any] = {}


MODEL_KEYS = tuple(field.encode_name for field in msgspec.structs.fields(ModelTable))
TOP_KEYS = tuple(field.encode_name for field in msgspec.structs.fields(TopTable))
