"""Baselines as snapshots of syrupy: where they lie, how they are read and written.

Each comparison has a syrupy session of its own. In the run's session, which reports, counts and deletes
the user's snapshots, ours never appear, so neither ``--snapshot-update`` nor an unused snapshot of
either side can touch the other.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from syrupy.assertion import SnapshotAssertion
from syrupy.data import SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation
from syrupy.session import SnapshotSession

from pytest_llmcheck.snapshots.baseline import Baseline, SnapshotError, serialise

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from syrupy.data import SnapshotCollection
    from syrupy.types import PropertyFilter, PropertyMatcher, SerializableData, SerializedData, SnapshotIndex

DIRNAME = "__llmcheck__"


@dataclass(frozen=True)
class BaselineLocation(PyTestLocation):
    """The place of one baseline.

    syrupy derives names from the node id, which names the model; a baseline is shared by all models,
    so its name is given.

    Attributes:
        name: of the file, without its ending.
    """

    name: str

    def matches_snapshot_name(self, snapshot_name: str) -> bool:
        """Whether it is the name of this baseline."""
        return snapshot_name == self.name

    def matches_snapshot_location(self, snapshot_location: str) -> bool:
        """Whether it is the file of this baseline."""
        return snapshot_location == BaselineExtension.get_location(test_location=self, index=0)


class BaselineExtension(SingleFileSnapshotExtension):
    """One Markdown file for each baseline, byte for byte, replaced as a whole or not at all."""

    _write_mode = WriteMode.TEXT
    file_extension = "md"
    snapshot_dirname = DIRNAME

    judge: Callable[[str], bool]
    """Told the recorded file, says whether the received reply may stand for it."""

    def serialize(
        self,
        data: SerializableData,
        *,
        exclude: PropertyFilter | None = None,
        include: PropertyFilter | None = None,
        matcher: PropertyMatcher | None = None,
    ) -> SerializedData:
        """The file's text; `data` is a `Baseline`."""
        return serialise(data)

    def matches(self, *, serialized_data: SerializableData, snapshot_data: SerializableData) -> bool:
        """What `judge` says of the recorded file."""
        return self.judge(snapshot_data)

    def discover_snapshots(
        self,
        *,
        test_location: PyTestLocation,
        ignore_extensions: list[str] | None = None,
    ) -> SnapshotCollections:
        """Nothing: what syrupy has not discovered it cannot find unused, and does not delete."""
        return SnapshotCollections()

    def delete_snapshots(self, *, snapshot_location: str, snapshot_names: set[str]) -> None:
        """Refuse: no run deletes a baseline."""
        raise SnapshotError(f"{snapshot_location}: a baseline is never deleted by a run")

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: SnapshotIndex = 0) -> str:
        """The name that the location was given; syrupy's own index has no part in it."""
        return cast("BaselineLocation", test_location).name

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """``__llmcheck__/<test module>`` beside the module, whatever ``--snapshot-dirname`` says."""
        return str(Path(test_location.filepath).parent / DIRNAME / test_location.basename)

    def read_snapshot_data_from_location(
        self, *, snapshot_location: str, snapshot_name: str, session_id: str
    ) -> SerializableData | None:
        """The file's text, newlines as they are, other bytes than UTF-8 as lone surrogates."""
        try:
            return Path(snapshot_location).read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        """Write beside the file, then put it in its place."""
        (snapshot,) = snapshot_collection
        replace_file(Path(snapshot_collection.location), cast("str", snapshot.data).encode())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one comparison.

    Attributes:
        found: whether there was a baseline.
        accepted: whether `judge` accepted the recorded file; False without one.
        written: whether the file was written.
    """

    found: bool
    accepted: bool
    written: bool


def locate(item: pytest.Item, name: str) -> Path:
    """The file of a baseline."""
    location = BaselineLocation(item=item, name=name)
    return Path(BaselineExtension.get_location(test_location=location, index=0))


def compare(
    item: pytest.Item, name: str, received: Baseline, judge: Callable[[str], bool], *, write: bool
) -> Outcome:
    """Look up a baseline, let `judge` look at it, and write `received` in its place if asked to.

    Args:
        item: the test that asks.
        name: of the file, from `naming.baseline_name`.
        received: what is written.
        judge: told the recorded file, says whether the received reply may stand for it.
        write: write where there is no baseline, or where it was not accepted.

    Raises:
        SnapshotError: the file cannot be read or written; it is then as it was.
    """
    __tracebackhide__ = True
    assertion = SnapshotAssertion(
        session=SnapshotSession(pytest_session=item.session),
        extension_class=BaselineExtension,
        test_location=BaselineLocation(item=item, name=name),
        update_snapshots=write,
    )
    cast("BaselineExtension", assertion.extension).judge = judge
    success = assertion == received
    result: Any = assertion.executions[0]
    if isinstance(result.exception, OSError):
        verb = "written" if write and result.asserted_data is not None else "read"
        raise SnapshotError(
            f"{result.snapshot_location} cannot be {verb}: {result.exception}; "
            f"mend the path or its permissions, nothing was changed"
        ) from result.exception
    if isinstance(result.exception, SnapshotError):
        # It says all that is needed; the way through syrupy and this room says nothing.
        raise result.exception.with_traceback(None)
    if result.exception is not None:
        raise result.exception
    return Outcome(
        found=result.recalled_data is not None,
        accepted=success and not result.created and not result.updated,
        written=result.created or result.updated,
    )


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that others see either as it was or complete, also after a crash.

    Raises:
        OSError: it could not be written; it is then as it was, and nothing is left beside it.
    """
    # Not tempfile: its files are private to the user, and replacing would make the baseline so.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
