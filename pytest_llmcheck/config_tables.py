"""The tables of the configuration file as they are written, before names are resolved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, get_args

import msgspec

from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.models.spec import ContentTokens

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOT_YET = {"server": "only GGUF files are run"}
"""Keys of a model that are planned but not built, with what holds instead."""

Device = Literal["auto", "cpu", "gpu"]
Scaling = Literal["none", "linear", "yarn"]
Split = Literal["none", "layer", "row"]
_CHOICES = {
    "content_tokens": get_args(ContentTokens),
    "device": get_args(Device),
    "scaling": get_args(Scaling),
    "split_mode": get_args(Split),
}

_INT32 = 2**31 - 1
_MOST_THREADS = 512  # GGML_MAX_N_THREADS
_MOST_DEVICES = 16  # llama_max_devices

# The upper ends of numbers keep out inf, which TOML can spell.
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Tokens = Annotated[int, msgspec.Meta(ge=16, le=_INT32)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class LoraTable(msgspec.Struct, frozen=True):
    """One of ``lora = [{...}]``."""

    gguf: _Text
    scale: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] = 1.0


class RopeTable(msgspec.Struct, frozen=True):
    """``rope = {...}``; None where a key is not given."""

    scaling: Scaling | None = None
    factor: Annotated[float, msgspec.Meta(ge=1, le=1e6)] | None = None
    freq_base: Annotated[float, msgspec.Meta(gt=0, le=1e12)] | None = None
    original_context: _Tokens | None = None


class ModelTable(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """``[tool.llmcheck.models.NAME]``; None where a key is not given."""

    gguf: _Text | None = None
    from_: str | None = None
    quant: str | None = None
    n_ctx: _Tokens | None = None
    width: Annotated[int, msgspec.Meta(ge=1, le=8)] | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=_MOST_THREADS)] | None = None
    device: Device | None = None
    lora: list[Any] | None = None
    kv: str | None = None
    flash_attention: bool | None = None
    rope: dict[str, Any] | None = None
    gpu_layers: Annotated[int, msgspec.Meta(ge=0, le=_INT32)] | None = None
    main_gpu: Annotated[int, msgspec.Meta(ge=0, lt=_MOST_DEVICES)] | None = None
    split_mode: Split | None = None
    tensor_split: Annotated[list[_Share], msgspec.Meta(max_length=_MOST_DEVICES)] | None = None
    require_gpu: bool | None = None
    chat_template: _Text | None = None
    template_variables: dict[str, Any] | None = None
    # A date or a time of a day: msgspec allows only one of them in a union.
    date: Any = None
    content_tokens: ContentTokens | None = None
    system: str | None = None
    audit_ignore: list[str] | None = None
    without: list[str] | None = None


class TopTable(msgspec.Struct, frozen=True):
    """``[tool.llmcheck]``."""

    reference: str | None = None
    default: str | list[str] | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 600.0
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=_INT32)] = 512
    cache_size: Annotated[int, msgspec.Meta(ge=1, le=_INT32)] = 1024
    audit_ignore: list[str] = []
    without: list[str] = []
    models: dict[str, Any] = {}


def keys_of(table: type[msgspec.Struct]) -> tuple[str, ...]:
    """The keys of a table as they are written in the file."""
    return tuple(field.encode_name for field in msgspec.structs.fields(table))


_Table = TypeVar("_Table", bound=msgspec.Struct)


class TableReader:
    """Turns the tables of one file into structs; knows file and prefix for the messages."""

    def __init__(self, origin: Path) -> None:
        self.origin = origin
        self.prefix = "tool.llmcheck." if origin.name == "pyproject.toml" else ""

    def fail(self, key: str, problem: str) -> NoReturn:
        """Say what is wrong with a key."""
        raise ConfigError(f"{self.origin}: {self.prefix}{key}: {problem}")

    def known(self, name: str, models: Iterable[str], key: str) -> str:
        """The name, if such a model is declared."""
        if name not in models:
            self.fail(key, f"no model {name!r} is declared; {did_you_mean(name, models)}")
        return name

    def convert(self, table: object, struct: type[_Table], at: str = "") -> _Table:
        """A table as its struct; the first wrong key or value becomes the error."""
        if not isinstance(table, dict):
            self.fail(at.rstrip("."), f"expected a table, got {table!r}")
        keys = keys_of(struct)
        for key in table:
            if key not in keys:
                self.fail(at + quoted(key), f"unknown key; {did_you_mean(key, keys)}")
        try:
            return msgspec.convert(table, struct)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$.")
            key = place.rstrip("`")
            name = key.partition("[")[0]
            if problem.startswith("Object missing required field"):
                self.fail(at.rstrip("."), f"{problem.split('`')[1]!r} is missing")
            self.fail(at + key, f"{_reworded(problem, name)}, got {table.get(name)!r}")


def _reworded(problem: str, key: str) -> str:
    """What msgspec expected, with TOML's words for the types."""
    if problem.startswith("Invalid enum value"):
        return f"expected one of {', '.join(map(repr, _CHOICES[key]))}"
    expected = problem.partition(", got ")[0].replace(" | null", "").replace("Expected", "expected")
    words = {"str": "a string", "int": "a whole number", "float": "a number", "object": "a table"}
    for word, plain in {**words, "array": "a list", "bool": "true or false"}.items():
        expected = re.sub(rf"\b{word}\b", plain, expected)
    return expected.replace("`", "").replace(" | ", " or ").replace(".0", "")


def quoted(name: str) -> str:
    """A part of a dotted TOML key, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


TOP_KEYS = keys_of(TopTable)
MODEL_KEYS = keys_of(ModelTable)
