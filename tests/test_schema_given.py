"""Types as schemas: pydantic is asked for what it knows, msgspec writes the others; nothing is left out."""

from __future__ import annotations

import datetime
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict

import annotated_types
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.checks import matches_schema
from pytest_llmcheck.checks.schema_compiled import compiled
from pytest_llmcheck.schema_types import REMEDY
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class AsDataclass:
    name: str
    born: datetime.date
    mood: Literal["good", "bad"] = "good"
    tags: list[str] = field(default_factory=list)


class AsTypedDict(TypedDict):
    name: str
    born: datetime.date


class AsStruct(msgspec.Struct):
    name: str
    born: datetime.date
    mood: Literal["good", "bad"] = "good"


class AsModel(pydantic.BaseModel):
    name: str
    born: datetime.date
    mood: Literal["good", "bad"] = "good"


@pydantic.dataclasses.dataclass
class AsPydanticDataclass:
    name: str
    born: datetime.date


TYPES: list[Any] = [
    AsDataclass,
    AsTypedDict,
    AsStruct,
    AsModel,
    AsPydanticDataclass,
    pydantic.TypeAdapter(AsDataclass),
]


def status(schema: Any, text: str) -> Status:
    return matches_schema(schema)(make_reply(text)).status


@pytest.mark.parametrize("given_", TYPES)
def test_what_the_type_describes_passes_and_else_fails(given_: Any) -> None:
    assert status(given_, '{"name": "Anna", "born": "1995-02-03"}') is Status.PASSED
    assert status(given_, '{"name": "Anna", "born": "1995-02-31"}') is Status.FAILED
    assert status(given_, '{"name": 1, "born": "1995-02-03"}') is Status.FAILED
    assert status(given_, '{"name": "Anna"}') is Status.FAILED


@settings(max_examples=30, deadline=None)
@given(st.builds(AsStruct, name=st.text(), born=st.dates(), mood=st.sampled_from(["good", "bad"])))
def test_what_msgspec_writes_of_a_struct_passes(made: AsStruct) -> None:
    assert status(AsStruct, msgspec.json.encode(made).decode()) is Status.PASSED


def test_a_list_of_a_type() -> None:
    assert status(list[AsStruct], '[{"name": "Anna", "born": "1995-02-03"}]') is Status.PASSED
    assert status(list[AsStruct], '{"name": "Anna", "born": "1995-02-03"}') is Status.FAILED
    assert status(int, "1") is Status.PASSED


def test_shown_by_its_name() -> None:
    assert [repr(matches_schema(kind)) for kind in TYPES[:5]] == [
        "matches_schema(AsDataclass)",
        "matches_schema(AsTypedDict)",
        "matches_schema(AsStruct)",
        "matches_schema(AsModel)",
        "matches_schema(AsPydanticDataclass)",
    ]
    verdict = matches_schema(AsModel)(make_reply('{"name": "Anna", "born": "soon"}'))
    assert verdict.reason.splitlines()[0] == (
        'wrong schema: $.born: expected a string of format date, got "soon" at line 1, column 26'
    )


def test_a_type_that_has_no_schema() -> None:
    @dataclass
    class Odd:
        held: complex

    with pytest.raises(ValueError, match=r"^matches_schema: Odd has no JSON Schema: ") as error:
        matches_schema(Odd)
    assert str(error.value) == (
        f"matches_schema: Odd has no JSON Schema: type <class 'complex'> is not supported; {REMEDY}"
    )


@dataclass
class Order:
    qty: Annotated[int, pydantic.Field(ge=1)]


@dataclass
class OrderByDefault:
    qty: int = pydantic.Field(ge=1)


class OrderTuple(NamedTuple):
    qty: Annotated[int, annotated_types.Ge(1)]


class OrderModel(pydantic.BaseModel):
    qty: int = pydantic.Field(ge=1)


class OrderStruct(msgspec.Struct):
    qty: Annotated[int, msgspec.Meta(ge=1), "how many"]


@dataclass
class Cart:
    order: OrderModel | None
    others: list[Cart] = field(default_factory=list)


OrderNumber = NewType("OrderNumber", Annotated[int, pydantic.Field(ge=1)])


@pytest.mark.parametrize(
    ("kind", "template"),
    [
        (Order, '{"qty": %d}'),
        (OrderByDefault, '{"qty": %d}'),
        (OrderTuple, "[%d]"),
        (OrderStruct, '{"qty": %d}'),
        (list[OrderModel], '[{"qty": 1}, {"qty": %d}]'),
        (dict[str, Order], '{"a": {"qty": %d}}'),
        (OrderModel | None, '{"qty": %d}'),
        (Cart, '{"order": null, "others": [{"order": {"qty": %d}}]}'),
        (OrderNumber, "%d"),
        (pydantic.PositiveInt, "%d"),
    ],
)
def test_what_the_metadata_of_a_type_says_is_judged(kind: Any, template: str) -> None:
    assert status(kind, template % 1) is Status.PASSED
    assert status(kind, template % -5) is Status.FAILED


@dataclass
class Mixed:
    one: Annotated[int, msgspec.Meta(ge=1)]
    other: Annotated[int, annotated_types.Ge(1)]


@dataclass
class Unknown:
    held: Annotated[int, 3]


class StructOfPydantic(msgspec.Struct):
    held: Annotated[int, annotated_types.Ge(1)]


class Plain:
    held: int


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Plain, f"type {Plain} is not supported; {REMEDY}"),
        (
            Unknown,
            f"it is annotated with 3, which neither msgspec nor pydantic knows; {REMEDY}",
        ),
        (
            Mixed,
            "Ge(ge=1) is of pydantic, msgspec.Meta(ge=1) of msgspec, and each leaves out what the other "
            "says; use one of them",
        ),
        (
            StructOfPydantic,
            f"Unable to generate pydantic-core schema for {StructOfPydantic} (pydantic was asked for "
            f"Ge(ge=1)); {REMEDY}",
        ),
    ],
)
def test_a_type_that_says_more_than_a_schema_would(kind: type, told: str) -> None:
    with pytest.raises(ValueError, match=r"^matches_schema") as error:
        matches_schema(kind)
    assert str(error.value) == f"matches_schema: {kind.__name__} has no JSON Schema: {told}"


def test_metadata_of_pydantic_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ValueError, match=r"^matches_schema") as error:
        matches_schema(OrderTuple)
    assert str(error.value) == (
        "matches_schema: OrderTuple has no JSON Schema: pydantic, which knows Ge(ge=1), is not installed; "
        f"{REMEDY}"
    )


@pytest.mark.parametrize(
    "instance",
    [OrderModel(qty=1), Order(1), OrderStruct(1), AsPydanticDataclass("a", datetime.date(1995, 2, 3))],
)
def test_an_instance_is_no_type(instance: object) -> None:
    with pytest.raises(TypeError) as error:
        matches_schema(instance)
    name = type(instance).__name__
    assert str(error.value) == f"matches_schema: give the class {name} itself, not an instance of it"


def test_a_schema_that_contains_itself() -> None:
    schema: dict[str, Any] = {}
    schema["not"] = schema
    with pytest.raises(ValueError, match=r"^matches_schema: the schema is not made of JSON values: Circular"):
        matches_schema(schema)


def test_pydantic_is_not_imported_for_others() -> None:
    code = (
        "import sys, dataclasses; from pytest_llmcheck.checks import matches_schema;"
        "matches_schema(dataclasses.make_dataclass('Made', [('a', int)])); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_equal_schemas_are_compiled_once(tmp_path: Path) -> None:
    schema = msgspec.json.schema(AsStruct)
    file = tmp_path / "schema.json"
    file.write_bytes(msgspec.json.encode(schema))
    ways = [AsStruct, schema, msgspec.json.encode(schema).decode(), file]
    assert len({id(matches_schema(way).compiled) for way in ways}) == 1
    assert compiled({"type": "null"}) is compiled({"type": "null"})
    assert compiled({"type": "null"}) is not compiled({"type": "array"})
