"""From messages to the text that a model sees.

The names are imported when first used: the worker that renders templates is a process of its own, loads this
package, and should start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.lazy import lazily

if TYPE_CHECKING:
    from pytest_llmcheck.prompts.messages import Messages, normalise, with_system
    from pytest_llmcheck.prompts.select import choose_template, template_of
    from pytest_llmcheck.prompts.template import ChatTemplate

__all__ = ["ChatTemplate", "Messages", "choose_template", "normalise", "template_of", "with_system"]

__getattr__, __dir__ = lazily(
    globals(),
    {
        "messages": ("Messages", "normalise", "with_system"),
        "select": ("choose_template", "template_of"),
        "template": ("ChatTemplate",),
    },
)
