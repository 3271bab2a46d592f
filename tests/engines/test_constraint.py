"""What is given as ``constrain=``, without a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic
import pytest

from pytest_llmcheck.engines.constraint import constraint_of
from pytest_llmcheck.engines.types import Constraint
from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {}}}


class Model(pydantic.BaseModel):
    b: int


@dataclass
class Data:
    b: int


def test_schemas_are_given_as_to_a_check(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    wanted = Constraint("schema", json.dumps(SCHEMA))
    for given in (SCHEMA, json.dumps(SCHEMA, indent=2), file, str(file)):
        assert constraint_of(given) == wanted
    assert json.loads(constraint_of(Model).source) == Model.model_json_schema()
    listed = json.loads(constraint_of(list[Data]).source)
    assert (listed["type"], listed["$defs"]["Data"]["required"]) == ("array", ["b"])


def test_another_text_is_a_grammar() -> None:
    assert constraint_of('root ::= "{"') == Constraint("grammar", 'root ::= "{"')


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            3,
            "constrain=3: expected a JSON Schema (a dict) or the text of a GBNF grammar (a str), got int",
        ),
        (Model(b=1), "constrain=: give the class Model itself, not an instance of it"),
        ('{"type"', "constrain=: the schema is not JSON: expected ':' after the key at line 1, column 8"),
        (
            "/none/x.json",
            "constrain=: neither JSON text nor a readable file: /none/x.json: No such file or directory",
        ),
    ],
)
def test_what_is_none(given: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        constraint_of(given)
    assert str(caught.value) == told
