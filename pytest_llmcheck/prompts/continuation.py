"""A prompt that ends within its last message, for the model to continue.

Templates end every message with an end-of-turn token, and few know how not to. So, as ``transformers`` does
it (``render_jinja_template``, 5.23): a tag is put behind the message's text, and the prompt is cut where the
tag comes out of the template.
"""

from __future__ import annotations

from typing import Any

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.messages import THOUGHT_KEYS

_TAG = "CONTINUE_FINAL_MESSAGE_TAG "
"""With its space, it shows whether the template strips the text."""


def mark(messages: list[dict[str, Any]], key: str, source: str, origin: str) -> str:
    """Put the tag behind the text that is to be continued, in place.

    Args:
        messages: of plain types, and not shared with anybody.
        key: of the last message's text.
        source: of the template.
        origin: what errors call the template.

    Returns:
        The text without the tag.

    Raises:
        PromptError: there is no text to continue, or the template cannot print it.
    """
    final = messages[-1]
    content = final.get(key)
    at = f"messages[{len(messages) - 1}]"
    if content is None:
        raise PromptError(f"{at}: continue_final_message is set, and there is no {key!r} to continue")
    keys = [key]
    if key in THOUGHT_KEYS:
        # A thought is there under several names, and the template reads one of them.
        keys = [name for name in THOUGHT_KEYS if final.get(name) == content]
    if not any(name in source for name in keys):
        raise PromptError(
            f"{origin} never reads {key!r}, which is to be continued: the model would not see it. Use a "
            "template that does, or end with a message of the user"
        )
    if isinstance(content, str):
        for name in keys:
            final[name] = content + _TAG
        return content
    if isinstance(content, list | tuple):
        for part in reversed(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                text: str = part["text"]
                part["text"] = text + _TAG
                return text
    raise PromptError(f"{at}.{key}: continue_final_message is set, and there is no text to continue")


def continued(rendered: str, final: str, key: str, origin: str) -> str:
    """The rendered prompt up to the tag.

    Raises:
        PromptError: the template does not print the text.
    """
    at = rendered.rfind(_TAG.strip())
    if at < 0 or final.strip() not in rendered:
        raise PromptError(
            f"{origin} does not print the {key!r} of the last message as it is, so the model cannot continue "
            "it: end with a message of the user, or use a template that keeps it"
        )
    if rendered.startswith(_TAG, at):
        return rendered[:at]
    # The template strips the text.
    return rendered[:at].rstrip()
