"""What a user hands over as ``constrain=`` -> `Constraint`. Reads nothing into it: the engine compiles it."""

from __future__ import annotations

import json
from typing import Any

from pytest_llmcheck.engines.types import Constraint
from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.schema_given import is_json_text, schema_of


def schema_or_grammar(value: object) -> dict[str, Any] | bool | str:
    """The JSON Schema, as a dict or bool, or the text of a grammar, of whatever says one.

    Args:
        value: these themselves, or as `checks.matches_schema` takes a schema: JSON text, the path of a JSON
            file (a str if it ends in ``.json``), or a type that describes data.

    Raises:
        ConfigError: anything else, or what cannot be read.
    """
    if isinstance(value, dict | bool):
        return value
    if isinstance(value, str) and not (is_json_text(value) or value.endswith(".json")):
        return value
    if value is None or isinstance(value, int | float | list | tuple | bytes):
        raise ConfigError(
            f"constrain={value!r:.80}: expected a JSON Schema (a dict) or the text of a GBNF grammar "
            f"(a str), got {type(value).__name__}"
        )
    try:
        schema, _ = schema_of(value, "constrain=")
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    return schema  # type: ignore[no-any-return]  # else the engine refuses it


def constraint_of(value: object) -> Constraint:
    """What the engine is to hold a text to; see `schema_or_grammar`.

    The order of a schema's keys is kept: properties are generated in it.

    Raises:
        ConfigError: see there; or a schema with values that JSON does not have.
    """
    given = schema_or_grammar(value)
    if isinstance(given, str):
        return Constraint("grammar", given)
    try:
        # ASCII only, so that lone surrogates in a pattern survive every encoding on the way.
        return Constraint("schema", json.dumps(given, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"constrain=: the schema is not JSON: {error}") from None
    except RecursionError:
        raise ConfigError("constrain=: the schema is nested too deeply, or contains itself") from None
