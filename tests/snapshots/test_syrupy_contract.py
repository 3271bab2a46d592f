"""Every name of syrupy that we use or override exists, as we take it to be.

syrupy calls our overrides by keyword, so a renamed parameter or hook would silently make one of them dead.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from syrupy.assertion import AssertionResult, SnapshotAssertion
from syrupy.data import SnapshotCollection, SnapshotCollections
from syrupy.extensions.base import AbstractSyrupyExtension
from syrupy.extensions.single_file import SingleFileSnapshotExtension
from syrupy.location import PyTestLocation
from syrupy.session import SnapshotSession

from pytest_llmcheck.snapshots.extension import BaselineExtension, BaselineLocation


def own(cls: type) -> list[str]:
    return [name for name, member in vars(cls).items() if not name.startswith("__") and not _is_data(member)]


def _is_data(member: object) -> bool:
    return not (inspect.isfunction(member) or isinstance(member, classmethod | property))


@pytest.mark.parametrize("name", own(BaselineExtension))
def test_every_override_of_the_extension_overrides_something(name: str) -> None:
    _same_signature(getattr(SingleFileSnapshotExtension, name), getattr(BaselineExtension, name))


@pytest.mark.parametrize("name", own(BaselineLocation))
def test_every_override_of_the_location_overrides_something(name: str) -> None:
    _same_signature(getattr(PyTestLocation, name), getattr(BaselineLocation, name))


def _same_signature(theirs: Any, ours: Any) -> None:
    def shape(function: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert shape(ours) == shape(theirs)


def test_the_overrides_are_those_that_this_test_knows() -> None:
    assert sorted(own(BaselineExtension)) == [
        "delete_snapshots",
        "dirname",
        "discover_snapshots",
        "get_snapshot_name",
        "matches",
        "read_snapshot_data_from_location",
        "serialize",
        "write_snapshot_collection",
    ]
    assert sorted(own(BaselineLocation)) == ["matches_snapshot_location", "matches_snapshot_name"]


@pytest.mark.parametrize("name", ["_write_mode", "file_extension", "snapshot_dirname", "write_immediately"])
def test_the_settings_of_an_extension_exist(name: str) -> None:
    assert hasattr(SingleFileSnapshotExtension, name)


def test_files_are_written_at_once_and_as_text() -> None:
    assert BaselineExtension.write_immediately is True
    assert BaselineExtension.get_supported_dataclass() is str


def test_get_location_is_made_of_what_we_override() -> None:
    assert "get_location" in vars(AbstractSyrupyExtension.__mro__[2])
    source = inspect.getsource(AbstractSyrupyExtension.get_location)
    assert "cls.get_file_basename" in source
    assert "cls.dirname" in source
    assert "cls.get_snapshot_name" in inspect.getsource(SingleFileSnapshotExtension.get_file_basename)


def test_an_assertion_takes_what_we_give_it() -> None:
    given = {"session", "extension_class", "test_location", "update_snapshots"}
    fields = {field.name: field for field in dataclasses.fields(SnapshotAssertion)}
    assert given <= fields.keys()
    required = {f.name for f in fields.values() if f.init and f.default is f.default_factory}
    assert required <= given
    assert isinstance(inspect.getattr_static(SnapshotAssertion, "extension"), property)
    assert isinstance(inspect.getattr_static(SnapshotAssertion, "executions"), property)


def test_a_result_says_what_we_read() -> None:
    fields = {field.name for field in dataclasses.fields(AssertionResult)}
    used = {"asserted_data", "recalled_data", "created", "updated", "exception", "snapshot_location"}
    assert used <= fields


def test_a_session_needs_nothing_but_pytests() -> None:
    required = [
        field.name
        for field in dataclasses.fields(SnapshotSession)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    assert required == ["pytest_session"]


def test_a_location_says_where_its_module_is() -> None:
    assert "filepath" in {field.name for field in dataclasses.fields(PyTestLocation)}
    assert isinstance(inspect.getattr_static(PyTestLocation, "basename"), property)
    assert list(SnapshotCollections()) == []
    assert "location" in {field.name for field in dataclasses.fields(SnapshotCollection)}
