"""What we use of jsonschema, imported without the part of it that takes nearly all of the time.

For the formats ``iri`` and ``iri-reference`` jsonschema imports rfc3987_syntax, which compiles 37 parsers
at once: 0.9 of 1.0 s. Imported from here, that waits until a text is held to one of these formats.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOW = "rfc3987_syntax"


@contextmanager
def _slow_part_waiting() -> Iterator[None]:
    # Where either is there already, or the slow one is not installed, nothing is to be gained.
    if "jsonschema" in sys.modules or _SLOW in sys.modules or importlib.util.find_spec(_SLOW) is None:
        yield
        return
    stand_in = ModuleType(_SLOW)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]  # all that jsonschema takes of it
    sys.modules[_SLOW] = stand_in
    try:
        yield
    finally:
        # Whoever else imports it gets it as it is.
        del sys.modules[_SLOW]


def _is_valid_syntax(term: str, value: str) -> bool:
    from rfc3987_syntax import is_valid_syntax  # type: ignore[import-untyped]  # it has no types

    valid: bool = is_valid_syntax(term, value)
    return valid


with _slow_part_waiting():
    from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
    from jsonschema.exceptions import best_match

__all__ = ["Draft202012Validator", "SchemaError", "ValidationError", "best_match", "validators"]
