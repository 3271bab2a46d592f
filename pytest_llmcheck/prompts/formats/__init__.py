"""Chat formats by name, for files that bring no template, or the wrong one: ``chat_template = "chatml"``.

Each is a jinja file here, of our own writing, that writes what llama.cpp writes for the same name
(``llama_chat_apply_template``) behind the beginning-of-sequence token that the model's authors put first.
Differences are stated in docs/templates.md. What a format cannot say, such as a tool call, it refuses.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from pytest_llmcheck.errors import ConfigError, did_you_mean

ALIASES = {
    "chatglm3": "chatglm-3",
    "chatglm4": "chatglm-4",
    "deepseek2": "deepseek-2",
    "deepseek3": "deepseek-3",
    "exaone3": "exaone-3",
    "exaone4": "exaone-4",
    "falcon3": "falcon-3",
    "glmedge": "glm-edge",
    "llama2": "llama-2",
    "llama3": "llama-3",
    "llama4": "llama-4",
    "mistral": "mistral-v3",
    "phi3": "phi-3",
    "phi4": "phi-4",
}
"""Other spellings, llama.cpp's among them. Mistral's versions differ in spaces; v3 has the plain name."""

_SUFFIX = ".jinja"
_COMMON = "_common"


@cache
def format_names() -> tuple[str, ...]:
    """The names of all formats, sorted, without `ALIASES`."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name[: -len(_SUFFIX)] for name in files if name.endswith(_SUFFIX) and name[0] != "_"))


def format_named(name: str) -> str:
    """The format that is meant by a name.

    Raises:
        ConfigError: there is none; the message has the nearest name.
    """
    meant = ALIASES.get(name.lower(), name.lower())
    if meant not in format_names():
        hint = did_you_mean(name, [*format_names(), *ALIASES])
        raise ConfigError(
            f"{name!r} is no known chat format: {hint}; for a file without a suffix write './{name}'"
        )
    return meant


def format_source(name: str) -> str:
    """The jinja source of a format.

    Raises:
        ConfigError: see `format_named`.
    """
    folder = resources.files(__name__)
    parts = (folder / f"{part}{_SUFFIX}" for part in (_COMMON, format_named(name)))
    return "".join(part.read_text(encoding="utf-8") for part in parts)
