"""A type that describes data -> its JSON Schema, by whichever of pydantic and msgspec understands all of it.

Each of the two leaves out, without a word, what the other one's metadata says: of
``Annotated[int, Field(ge=1)]`` msgspec makes any integer. So the type is looked through before one is asked.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_PYDANTIC = frozenset({"pydantic", "pydantic_core", "annotated_types"})
_DOCUMENTATION = frozenset({"typing_extensions", "annotated_doc"})
"""Modules of ``Doc``, which says nothing of values."""

REMEDY = (
    "give the schema as a dict, or describe the data by a dataclass, a TypedDict, a msgspec.Struct or a "
    "pydantic model"
)


def is_type(given: object) -> bool:
    """Whether it is a type, one with parameters such as ``list[int]``, or a name for one."""
    return isinstance(given, type) or get_origin(given) is not None or _named(given) is not None


def type_name(given: Any) -> str:
    """A type for messages."""
    return given.__name__ if isinstance(given, type) else repr(given)


def json_schema_of(kind: Any) -> Any:
    """The JSON Schema of a type.

    Raises:
        ValueError: it has none, or one that would leave out something that the type says; the message is the
            reason.
    """
    __tracebackhide__ = True
    try:
        parts = list(_parts(kind))
        metadata = [one for part in parts for one in _metadata(part)]
        of_pydantic = [one for one in (*parts, *metadata) if _is_of_pydantic(one)]
        of_msgspec = [one for one in metadata if _package(one) == "msgspec"]
    except Exception as error:  # such as a NameError of an annotation
        raise ValueError(f"{_told(error)}; {REMEDY}") from None
    for one in metadata:
        if not (_is_of_pydantic(one) or one in of_msgspec or _documents(one)):
            told = f"it is annotated with {one!r:.80}, which neither msgspec nor pydantic knows"
            raise ValueError(f"{told}; {REMEDY}")
    if of_pydantic and of_msgspec:
        told = f"{of_pydantic[0]!r:.80} is of pydantic, {of_msgspec[0]!r:.80} of msgspec"
        raise ValueError(f"{told}, and each leaves out what the other says; use one of them")
    return _by_pydantic(kind, of_pydantic[0]) if of_pydantic else _by_msgspec(kind)


def _by_pydantic(kind: Any, reason: object) -> Any:
    __tracebackhide__ = True
    try:
        import pydantic
    except ImportError:
        raise ValueError(f"pydantic, which knows {reason!r:.80}, is not installed; {REMEDY}") from None
    try:
        return pydantic.TypeAdapter(kind).json_schema()
    except Exception as error:  # whatever somebody's model raises
        told = f"{_told(error)} (pydantic was asked for {reason!r:.80})"
        raise ValueError(f"{told}; {REMEDY}") from None


def _by_msgspec(kind: Any) -> Any:
    __tracebackhide__ = True
    import msgspec

    try:
        return msgspec.json.schema(kind)
    except Exception as error:  # whatever a hook in a type raises
        raise ValueError(f"{_told(error)}; {REMEDY}") from None


def _told(error: Exception) -> str:
    first, *rest = str(error).splitlines() or [type(error).__name__]
    # msgspec names the type last, behind what to do about it in msgspec.
    return rest[-1] if rest and first.endswith("requires either:") else first.partition(". ")[0].rstrip(".")


def _parts(kind: Any) -> Iterator[Any]:
    """A type and all that it is made of, each once; a model of pydantic speaks for itself."""
    waiting, seen = [kind], {}
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part  # kept, so that no other gets its id
        yield part
        if not _is_of_pydantic(part):
            waiting += _inside(part)


def _inside(part: Any) -> list[Any]:
    origin = get_origin(part)
    if origin is Annotated:
        return [part.__origin__]
    if origin is Literal:
        return []
    if origin is not None:
        return [origin, *get_args(part)]
    if (named := _named(part)) is not None:
        return [named]
    return [*get_type_hints(part, include_extras=True).values()] if _has_fields(part) else []


def _named(part: Any) -> Any:
    """What a ``NewType`` or an alias made by ``type`` stands for; None for anything else."""
    return (
        None if isinstance(part, type) else getattr(part, "__supertype__", getattr(part, "__value__", None))
    )


def _has_fields(part: Any) -> bool:
    return isinstance(part, type) and (
        dataclasses.is_dataclass(part)
        or is_typeddict(part)
        or hasattr(part, "__struct_fields__")
        or (issubclass(part, tuple) and hasattr(part, "_fields"))
    )


def _metadata(part: Any) -> list[Any]:
    """What is said of a type beside it: by ``Annotated``, or by ``= Field(ge=1)`` in a plain dataclass."""
    if get_origin(part) is Annotated:
        return [*part.__metadata__]
    if isinstance(part, type) and dataclasses.is_dataclass(part) and not _is_of_pydantic(part):
        return [field.default for field in dataclasses.fields(part) if _is_of_pydantic(field.default)]
    return []


def _is_of_pydantic(one: Any) -> bool:
    if isinstance(one, type) and (
        hasattr(one, "__pydantic_validator__") or hasattr(one, "model_json_schema")
    ):
        return True
    hooked = hasattr(one, "__get_pydantic_core_schema__") or hasattr(one, "__get_pydantic_json_schema__")
    return hooked or _package(one) in _OF_PYDANTIC


def _documents(one: Any) -> bool:
    return isinstance(one, str) or _package(one) in _DOCUMENTATION


def _package(one: Any) -> str:
    kind = one if isinstance(one, type) else type(one)
    return kind.__module__.partition(".")[0]
