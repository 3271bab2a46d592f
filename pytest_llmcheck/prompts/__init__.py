"""From messages to the text that a model sees.

The names are imported when first used: the worker that renders templates is a process of its own, loads this
package, and should start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmcheck.prompts.messages import Messages, normalise, with_system
    from pytest_llmcheck.prompts.select import choose_template, template_of
    from pytest_llmcheck.prompts.template import ChatTemplate

__all__ = ["ChatTemplate", "Messages", "choose_template", "normalise", "template_of", "with_system"]

_HOMES = {
    "messages": ("Messages", "normalise", "with_system"),
    "select": ("choose_template", "template_of"),
    "template": ("ChatTemplate",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
