"""Ours beside the user's own syrupy snapshots: neither touches the other."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.snapshots.extension import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.snapshots.conftest import House

BOTH = """
def test_ticket(say, llm_snapshot, snapshot):
    assert say({ours!r}) == llm_snapshot
    assert {theirs!r} == snapshot
"""


def theirs(house: House) -> str | None:
    path = house.pytester.path / "__snapshots__" / "test_it.ambr"
    return path.read_text() if path.exists() else None


@pytest.fixture
def recorded(house: House) -> House:
    house.tests(BOTH.format(ours="Hello", theirs="mine"))
    assert house.run("--llm-update", "--snapshot-update").outcomes == {"passed": 1}
    assert theirs(house) is not None
    assert house.run().outcomes == {"passed": 1}
    return house


def test_snapshot_update_writes_none_of_ours(recorded: House) -> None:
    before = recorded.baselines, theirs(recorded)
    recorded.tests(BOTH.format(ours="Goodbye", theirs="changed"))
    said = recorded.run("--snapshot-update")
    assert said.outcomes == {"failed": 1}
    assert recorded.baselines == before[0]
    recorded.tests(BOTH.format(ours="Hello", theirs="changed"))
    assert recorded.run("--snapshot-update").outcomes == {"passed": 1}
    assert recorded.baselines == before[0]
    assert theirs(recorded) != before[1]


def test_llm_update_writes_none_of_theirs(recorded: House) -> None:
    before = recorded.baselines, theirs(recorded)
    recorded.tests(BOTH.format(ours="Goodbye", theirs="changed"))
    assert recorded.run("--llm-update").outcomes == {"failed": 1}
    assert recorded.baselines != before[0]
    assert theirs(recorded) == before[1]


def test_no_run_deletes_a_baseline(recorded: House) -> None:
    recorded.tests("def test_other(say, llm_snapshot, snapshot):\n    assert 1 == 1\n")
    before = recorded.baselines
    said = recorded.run()
    assert said.result.ret == 1
    assert "1 snapshot unused." in said.output
    for option in ("--snapshot-update", "--llm-update"):
        recorded.run(option)
        assert recorded.baselines == before
    assert theirs(recorded) is None


def test_ours_are_not_in_syrupys_summary_or_exit_code(house: House) -> None:
    house.says("Hello")
    for option in ("--llm-update", "-q", "--snapshot-details"):
        said = house.run(option)
        assert said.result.ret == 0
        assert "snapshot report" not in said.output
    house.says("Goodbye")
    said = house.run()
    assert said.result.ret == 1
    assert "snapshot report" not in said.output


@pytest.mark.parametrize("option", ["--snapshot-dirname=elsewhere", "--snapshot-declaration-order"])
def test_syrupys_options_do_not_move_ours(house: House, option: str) -> None:
    house.says("Hello")
    house.record(option)
    assert list(house.baselines) == ["test_ticket.md"]
    assert house.run(option).outcomes == {"passed": 1}


def test_it_works_where_syrupys_plugin_is_switched_off(house: House) -> None:
    house.says("Hello")
    house.record("-pno:syrupy")
    assert house.run("-pno:syrupy").outcomes == {"passed": 1}


def test_two_workers_do_as_one(house: House) -> None:
    house.tests(
        "import pytest\n"
        "@pytest.mark.parametrize('case', range(4))\n"
        "def test_ticket(case, say, llm_snapshot, snapshot):\n"
        "    assert say(f'reply {case}') == llm_snapshot\n"
        "    assert say('other') == llm_snapshot(name='other')\n"
        "    assert case == snapshot\n"
    )
    assert house.run("-n2", "--llm-update", "--snapshot-update", apart=True).outcomes["passed"] == 4
    assert len(house.baselines) == 8
    assert not [name for name in house.baselines if not name.endswith(".md")]
    before = house.baselines
    said = house.run("-n2", apart=True)
    assert said.result.ret == 0
    assert said.outcomes["passed"] == 4
    assert "4 snapshots passed.\n" in said.output
    house.tests("def test_other(): pass\n")
    house.run("-n2", "--snapshot-update", apart=True)
    assert house.baselines == before


def test_a_file_is_as_it_was_when_it_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.md"
    replace_file(path, b"one\r\n")
    assert path.read_bytes() == b"one\r\n"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"two")
    assert [p.name for p in tmp_path.iterdir()] == ["x.md"]
    assert path.read_bytes() == b"one\r\n"


def test_a_baseline_is_as_readable_as_other_files(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    replace_file(tmp_path / "x.md", b"")
    assert (tmp_path / "x.md").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_read_only_folder_is_named(house: House) -> None:
    house.says("Hello")
    folder = house.path().parent
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user writes into read-only folders")
    try:
        said = house.run("--llm-update")
    finally:
        folder.chmod(0o755)
    assert "test_ticket.md cannot be written: [Errno 13] Permission denied" in said.output


def test_the_room_imports_syrupy_only_when_used() -> None:
    program = (
        "import sys, pytest_llmcheck.snapshots as room\n"
        "room.text, room.json, room.SnapshotError, room.attribute, dir(room)\n"
        "assert room.__all__ == sorted(room.__all__)\n"
        "assert 'syrupy' not in sys.modules and 'pytest' not in sys.modules\n"
        "for name in room.__all__: getattr(room, name)\n"
        "assert 'syrupy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_no_member_of_the_room() -> None:
    import pytest_llmcheck.snapshots as room

    with pytest.raises(AttributeError, match="has no attribute 'tokens'"):
        _ = room.tokens
