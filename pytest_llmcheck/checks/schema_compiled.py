"""A schema made ready once: its draft chosen, its validity checked, its references followed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.checks.deadline import limited
from pytest_llmcheck.checks.schema_refs import check_references
from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.json_values import spell
from pytest_llmcheck.schema_library import Draft202012Validator, SchemaError, validators
from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema that replies are held to.

    Attributes:
        validator: with limits on its time; shared by threads.
        canonical: the schema as text, equal for equal schemas.
        unchecked_formats: formats that its draft does not know.
    """

    validator: Validator
    canonical: str
    unchecked_formats: tuple[str, ...]


def compiled(schema: object) -> Compiled:
    """A schema ready for use; an equal one is not compiled again.

    Args:
        schema: made of JSON values; see `schema_given.schema_of`.

    Raises:
        ValueError: it is not valid, of an unknown draft, or refers to what is not in it.
    """
    __tracebackhide__ = True
    # In the order of its keys, which is that of the messages.
    return _compiled(json.dumps(schema))


@lru_cache(maxsize=256)
def _compiled(text: str) -> Compiled:
    __tracebackhide__ = True
    schema: Any = json.loads(text)
    if not isinstance(schema, dict | bool):
        message = f"matches_schema: a schema is an object or a bool, got {cut(repr(schema), 60)}"
        raise ValueError(message)
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    draft: type[Validator] = Draft202012Validator if dialect is None else _draft(dialect)
    try:
        checked: Any = schema  # jsonschema takes a bool too, its types do not say so
        draft.check_schema(checked)
    except SchemaError as error:
        where = spell(error.absolute_path)
        message = f"matches_schema: the schema is not valid at {where}: {_told(error)}"
        raise ValueError(message) from None
    registry, formats, unchecked = check_references(schema, draft)
    if formats & {"iri", "iri-reference"}:
        draft.FORMAT_CHECKER.conforms("", "iri")  # loads parsers for a second, which is no time of a reply
    validator = limited(draft)(schema, registry=registry, format_checker=draft.FORMAT_CHECKER)
    return Compiled(validator, json.dumps(schema, sort_keys=True), unchecked)


def _told(error: SchemaError) -> str:
    # It speaks of the schemas of schemas.
    if error.validator == "anyOf" and error.absolute_path and error.absolute_path[-1] == "type":
        given = error.instance if isinstance(error.instance, list) else [error.instance]
        for one in given:
            if isinstance(one, str) and one not in _TYPES:
                return f"no type is called {cut(repr(one), 60)}: {did_you_mean(one, _TYPES)}"
    return cut(error.message, 200)


def _draft(dialect: object) -> type[Validator]:
    __tracebackhide__ = True
    known_drafts: Any = validators  # its types leave out that the default may be None
    draft: type[Validator] | None = None
    if isinstance(dialect, str):
        draft = known_drafts.validator_for({"$schema": dialect}, default=None)
    if draft is None:
        known = "https://json-schema.org/draft/2020-12/schema"
        message = (
            f"matches_schema: $schema {dialect!r} is no draft that is known here; leave it out for {known}"
        )
        raise ValueError(message)
    return draft
