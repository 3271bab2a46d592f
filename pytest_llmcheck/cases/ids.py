"""Ids that do not change when other lines of the file come, go or move."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SLUG = 32
"""Longest part of an id that is made of words, in characters."""


def made_of(fields: Mapping[str, Any]) -> str:
    """An id for a case that has none: the first words of its prompt, and a hash of all its fields.

    The words are those of the field ``prompt``, else of the longest text in any field. The hash is over the
    fields as JSON with sorted keys, so their order does not matter.

    >>> made_of({"prompt": "What is the capital of France?", "expected": "Paris"})
    'what_is_the_capital_of_france_29648616'
    >>> made_of({"expected": "Paris", "prompt": "What is the capital of France?"})
    'what_is_the_capital_of_france_29648616'
    """
    plain = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    told = hashlib.sha256(plain.encode("ascii")).hexdigest()[:8]
    prompt = fields.get("prompt")
    words = slug(prompt if isinstance(prompt, str) else _longest(fields))
    return f"{words or 'case'}_{told}"


def slug(text: str) -> str:
    """The first words of a text in lower-case ASCII letters, digits and ``_``; empty where it has none.

    >>> slug("Größe: 3 m?"), slug("東京"), slug("x" * 40)
    ('grosse_3_m', '', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')
    """
    # A text may be as long as a book.
    plain = unicodedata.normalize("NFKD", text[: 8 * _SLUG].casefold()).encode("ascii", "ignore").decode()
    words = "_".join(re.findall("[a-z0-9]+", plain))
    if len(words) <= _SLUG:
        return words
    return words[: _SLUG + 1].rpartition("_")[0] or words[:_SLUG]


def _longest(value: Any) -> str:
    """The longest text in a JSON value; of several, the first in alphabetical order."""
    return min(_texts(value), key=lambda text: (-len(text), text), default="")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
