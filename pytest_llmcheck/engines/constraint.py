"""What a user hands over as ``constrain=`` -> `Constraint`. Reads nothing into it: the engine compiles it."""

from __future__ import annotations

import json

from pytest_llmcheck.engines.types import Constraint
from pytest_llmcheck.errors import ConfigError


def constraint_of(value: object) -> Constraint:
    """A JSON Schema (a dict, True or False) or the text of a GBNF grammar with a rule ``root``.

    The order of a schema's keys is kept: properties are generated in it.

    Raises:
        ConfigError: anything else, or a schema with values that JSON does not have.
    """
    if isinstance(value, str):
        return Constraint("grammar", value)
    if not isinstance(value, dict | bool):
        raise ConfigError(
            f"constrain={value!r:.80}: expected a JSON Schema (a dict) or the text of a GBNF grammar "
            f"(a str), got {type(value).__name__}"
        )
    try:
        # ASCII only, so that lone surrogates in a pattern survive every encoding on the way.
        return Constraint("schema", json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"constrain=: the schema is not JSON: {error}") from None
    except RecursionError:
        raise ConfigError("constrain=: the schema is nested too deeply, or contains itself") from None
