"""What replaces the chat template in a file: another file, or a known format by its name."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.prompts.formats import format_named

RENDERED = frozenset({"messages", "tools", "add_generation_prompt", "continue_final_message"})
"""Names in a template that belong to the prompt, not to the model."""

IN_FILES = frozenset({"default", "rag", "tool_use"})
"""Names that templates have inside of files that bring several."""

# granite-4.0 is a name that somebody may try: a suffix begins with a letter.
_PATH = re.compile(r"[/\\]|^~|\.[A-Za-z]\w*$")


def template_override(text: str, folder: Path) -> Path | str:
    """What ``chat_template`` and ``--llm-template`` mean.

    Args:
        text: a path, which has a separator or a suffix; the name of a format; or one of `IN_FILES`.
        folder: relative paths start here.

    Returns:
        The path, whether or not there is such a file, or the name in its usual spelling.

    Raises:
        ConfigError: neither a path nor a known name, or a path in the home of nobody.
    """
    if _PATH.search(text):
        try:
            return folder / Path(text).expanduser()
        except RuntimeError:
            raise ConfigError(f"{text!r}: there is no such home directory; correct the path") from None
    return text if text in IN_FILES else format_named(text)
