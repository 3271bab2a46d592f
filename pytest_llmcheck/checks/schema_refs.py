"""Every ``$ref`` of a schema is followed once, before any reply is judged.

jsonschema follows a reference only when a value leads it there: a misspelt one would raise, or not, depending
on what the model said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # it has no types
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

from pytest_llmcheck.patterns import check_pattern
from pytest_llmcheck.schema_library import SchemaError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator
    from referencing import Registry, Resource, Specification
    from referencing._core import Resolver

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_references(
    schema: Any, cls: type[Validator]
) -> tuple[Registry[Any], frozenset[str], tuple[str, ...]]:
    """Follow all references of a valid schema.

    Returns:
        A registry that holds the drafts' own schemas and fetches nothing; the formats of the schema; and
        those that the draft's format checker does not know, sorted.

    Raises:
        ValueError: a reference leads nowhere, or to what is no schema.
    """
    __tracebackhide__ = True
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    specification = DRAFT202012 if dialect is None else specification_with(dialect)
    resource = specification.create_resource(schema)
    walk = _Walk(cls, specification)
    walk.visit(resource, REGISTRY.resolver_with_root(resource))
    walk.follow_all()
    unchecked = sorted(walk.formats - set(cls.FORMAT_CHECKER.checkers))
    return REGISTRY, frozenset(walk.formats), tuple(unchecked)


class _Walk:
    def __init__(self, cls: type[Validator], specification: Specification[Any]) -> None:
        self.cls = cls
        self.specification = specification
        self.formats: set[str] = set()
        self.seen: set[int] = set()
        self.references: list[tuple[str, Resolver[Any]]] = []

    def visit(self, resource: Resource[Any], resolver: Resolver[Any]) -> None:
        __tracebackhide__ = True
        contents = resource.contents
        if not isinstance(contents, Mapping) or id(contents) in self.seen:
            return
        self.seen.add(id(contents))
        _check_patterns(contents)
        if isinstance(contents.get("format"), str):
            self.formats.add(contents["format"])
        self.references += [
            (contents[keyword], resolver) for keyword in _REFERENCES if isinstance(contents.get(keyword), str)
        ]
        for inner in resource.subresources():
            self.visit(inner, resolver.in_subresource(inner))

    def follow_all(self) -> None:
        """Follow what was met, and what is met there."""
        __tracebackhide__ = True
        while self.references:
            self._follow(*self.references.pop())

    def _follow(self, reference: str, resolver: Resolver[Any]) -> None:
        __tracebackhide__ = True
        try:
            target = resolver.lookup(reference)
        except Unresolvable:
            message = (
                f"matches_schema: the reference {reference!r} leads nowhere: references are looked up in the "
                "schema itself and never fetched; put what it means under $defs"
            )
            raise ValueError(message) from None
        if id(target.contents) in self.seen:
            return  # It stands where schemas do, and was checked with the whole.
        try:
            self.cls.check_schema(target.contents)
        except SchemaError as error:
            message = f"matches_schema: the reference {reference!r} leads to no schema: {error.message}"
            raise ValueError(message) from None
        # A target outside the places where schemas stand is reached by no other way.
        self.visit(self.specification.create_resource(target.contents), target.resolver)


def _check_patterns(contents: Mapping[str, Any]) -> None:
    """Refuse what could not be stopped; the draft's own schema has refused what is no regular expression."""
    __tracebackhide__ = True
    for pattern in (contents.get("pattern"), *contents.get("patternProperties", ())):
        try:
            if isinstance(pattern, str):
                check_pattern(pattern)
        except ValueError as error:
            raise ValueError(f"matches_schema: the pattern {pattern!r}: {error}") from None
