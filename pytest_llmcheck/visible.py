"""Text out of files and models, fit for terminals and reports."""

from __future__ import annotations


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and three dots where it is longer than `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def visible(text: str, *, keep: str = "") -> str:
    """The text with everything that a terminal would not show as a character escaped.

    Args:
        text: any text.
        keep: characters that stay as they are, such as line breaks.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text
    )
