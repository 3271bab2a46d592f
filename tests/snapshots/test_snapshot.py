"""`llm_snapshot` as its user meets it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.snapshots.baseline import parse
from tests.support.replies import make_reply, sha

if TYPE_CHECKING:
    from tests.snapshots.conftest import House

NAMES = ["test_ticket.md"]


class TestRecording:
    def test_a_missing_baseline_fails_with_the_command_that_records_it(self, house: House) -> None:
        house.says("Hello")
        said = house.run()
        assert said.outcomes == {"failed": 1}
        assert said.lines == [
            "assert no baseline: __llmcheck__/test_it/test_ticket.md",
            "  nothing was written; the reference 'f16' records it with:",
            "    pytest test_it.py::test_ticket --llm-model f16 --llm-update",
        ]
        assert house.baselines == {}
        command = shlex.split(said.lines[-1])[1:]
        assert house.run(*command).outcomes == {"passed": 1}
        assert house.run().outcomes == {"passed": 1}

    def test_the_command_works_for_classes_parameters_and_other_folders(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.tests(
            "import pytest\n"
            "class TestA:\n"
            "    class TestB:\n"
            "        @pytest.mark.parametrize('case', ['a b', 'c::d'])\n"
            "        def test_x(self, case, say, llm_snapshot):\n"
            "            assert say(case) == llm_snapshot\n"
        )
        below = house.pytester.mkdir("below")
        monkeypatch.chdir(below)
        said = house.run("--rootdir", str(house.pytester.path), "..", "--llm-model", "f16,q4")
        commands = [line.strip() for line in said.lines if line.startswith("    pytest")]
        name = "../test_it.py::TestA::TestB::test_x"
        assert sorted(set(commands)) == [
            f"pytest '{name}[a b]' --llm-model f16 --llm-update",
            f"pytest '{name}[c::d]' --llm-model f16 --llm-update",
        ]
        for command in set(commands):
            assert house.run("--rootdir", str(house.pytester.path), *shlex.split(command)[1:]).result.ret == 0
        assert house.run("--rootdir", str(house.pytester.path), "..").outcomes == {"passed": 2}
        assert len(house.baselines) == 2

    def test_update_writes_what_made_the_reply_and_the_reply(self, house: House) -> None:
        house.says("Hello\r\n\n")
        said = house.run("--llm-update")
        assert said.outcomes == {"passed": 1}
        assert said.verdicts == ["passed: snapshot: baseline written"]
        assert list(house.baselines) == NAMES
        baseline = parse(house.baselines["test_ticket.md"])
        assert baseline.body == "Hello\r\n\n"
        assert baseline.facts["weights"] == sha("f16")
        assert house.run().verdicts == ["passed: snapshot(text): same as __llmcheck__/test_it/test_ticket.md"]

    def test_update_leaves_an_unchanged_body_untouched(self, house: House) -> None:
        house.says("Hello")
        house.record()
        before, stamp = house.baselines, house.path().stat()
        house.says("Hello", "weights=sha('another file')")
        said = house.run("--llm-update")
        assert said.verdicts == ["passed: snapshot: unchanged"]
        after = house.path().stat()
        assert house.baselines == before
        assert (after.st_mtime_ns, after.st_ino) == (stamp.st_mtime_ns, stamp.st_ino)

    def test_update_takes_the_new_body_however_it_is_compared(self, house: House) -> None:
        house.says('{"a": 1}', snapshot="llm_snapshot(compare='json')")
        house.record()
        house.says('{"a":1}', snapshot="llm_snapshot(compare='json')")
        assert house.run().outcomes == {"passed": 1}
        house.record()
        assert parse(house.baselines["test_ticket.md"]).body == '{"a":1}'

    def test_twice_written_is_byte_identical(self, house: House) -> None:
        house.says("Hello")
        house.record()
        before = house.path().read_bytes()
        house.path().unlink()
        house.record()
        assert house.path().read_bytes() == before

    def test_a_candidate_neither_reads_nor_writes_while_baselines_are_rewritten(self, house: House) -> None:
        house.says("Hello")
        said = house.run("--llm-update", "--llm-model", "q4")
        assert said.outcomes == {"passed": 1}
        assert said.verdicts == [
            "not applicable: snapshot: baselines are being rewritten in this run; "
            "run again without --llm-update"
        ]
        assert house.baselines == {}

    def test_only_the_reference_writes_where_several_are_active(self, house: House) -> None:
        house.tests(
            "def test_ticket(say, model, llm_snapshot):\n    assert say(f'I am {model}') == llm_snapshot\n"
        )
        house.record("--llm-model", "q4,f16,q2")
        assert parse(house.baselines["test_ticket.md"]).body == "I am f16"

    def test_two_replies_under_one_name_are_refused(self, house: House) -> None:
        house.tests(
            "def test_ticket(say, llm_snapshot):\n"
            "    for text in 'ab':\n"
            "        assert say(text) == llm_snapshot(name='x')\n"
        )
        said = house.run("--llm-update")
        assert said.outcomes == {"failed": 1}
        assert "the test compares two different replies with one snapshot; give each a name" in said.lines[0]


class TestComparing:
    def test_both_orders_and_both_operators(self, house: House) -> None:
        source = (
            "def test_ticket(say, llm_snapshot):\n"
            "    assert say('a') == llm_snapshot\n"
            "    assert llm_snapshot == say('b')\n"
        )
        house.tests(source)
        house.record()
        assert list(house.baselines) == ["test_ticket.2.md", *NAMES]
        assert house.run().outcomes == {"passed": 1}
        house.tests(source.replace("==", "!="))
        said = house.run()
        assert said.lines == [
            "assert reply of f16 equals the baseline of f16, compared as text: "
            "__llmcheck__/test_it/test_ticket.md"
        ]
        house.tests(source.replace("==", "!=").replace("'a'", "'c'").replace("'b'", "'d'"))
        said = house.run()
        assert said.outcomes == {"passed": 1}
        assert len(said.verdicts) == 2

    def test_an_inequality_proves_nothing_without_a_baseline(self, house: House) -> None:
        house.tests("def test_ticket(say, llm_snapshot):\n    assert say('a') != llm_snapshot\n")
        assert house.run().outcomes == {"failed": 1}
        assert house.run("--llm-update").verdicts == [
            "not applicable: snapshot: `!=` records no baseline; run again without --llm-update"
        ]
        assert house.baselines == {}

    def test_names_and_numbers_and_kinds(self, house: House) -> None:
        house.tests(
            "class TestA:\n"
            "    def test_ticket(self, say, llm_snapshot):\n"
            "        assert say('one') == llm_snapshot\n"
            "        assert say('{}') == llm_snapshot(name='second', compare='json')\n"
            "        assert 'a text' == llm_snapshot\n"
            "        assert {'b': 1, 'a': [2.0]} == llm_snapshot\n"
            "        assert llm_snapshot == [1]\n"
        )
        house.record()
        names = [name.partition("~")[0] for name in house.baselines]
        assert names == [f"TestA.test_ticket{suffix}" for suffix in (".2", ".3", ".4", ".second", "")]
        assert [parse(text).kind for text in house.baselines.values()] == [
            "text",
            "json",
            "json",
            "reply",
            "reply",
        ]
        said = house.run("--llm-model", "f16")
        assert said.outcomes == {"passed": 1}
        assert [verdict.split(":")[1].strip() for verdict in said.verdicts] == [
            f"snapshot({name})" for name in ("text", "json", "text", "json", "json")
        ]

    def test_a_text_difference_names_cause_place_and_remedy(self, house: House) -> None:
        house.says("Dear customer,\nrefunds take 30 days.\n")
        house.record()
        house.says("Dear customer,\nrefunds take 14 days.\n", snapshot="llm_snapshot(compare='text')")
        said = house.run("--llm-model", "q2")
        assert said.lines == [
            "assert reply of q2 differs from the baseline of f16: __llmcheck__/test_it/test_ticket.md",
            f"  cause: the weights changed (f16 F16 {sha('f16')[:6]} -> q2 Q2_K {sha('q2')[:6]})",
            "  first difference in line 2, column 14:",
            "    expected: refunds take 30 days.\\n",
            "    received: refunds take 14 days.\\n",
            "                           ^",
            '  to make q2 the reference: set reference = "q2" and record all with --llm-update',
        ]
        assert said.verdicts[0].startswith("failed: snapshot(text): reply of q2 differs from")
        section = said.output.partition("- llmcheck -")[2]
        assert f"weights: {sha('f16')} -> {sha('q2')}" in section
        assert "-refunds take 30 days.\n+refunds take 14 days." in section

    def test_a_changed_file_under_an_unchanged_name_is_compared_and_named_first(self, house: House) -> None:
        house.says('{"priority": "high", "n": 1}')
        house.record()
        made = "weights=sha('new'), quant='Q4_K_M'"
        house.says('{"n": 1, "priority": "low"}', made, "llm_snapshot(compare='json')")
        said = house.run()
        assert said.lines == [
            "assert reply of f16 differs from the baseline of f16: __llmcheck__/test_it/test_ticket.md",
            f"  cause: the file of model 'f16' changed (F16 {sha('f16')[:6]} -> Q4_K_M {sha('new')[:6]})",
            '  $.priority: expected "high", got "low"',
            "  accept: pytest test_it.py::test_ticket --llm-model f16 --llm-update",
        ]
        house.says('{"n": 1.0, "priority": "high"}', made, "llm_snapshot(compare='json')")
        assert house.run().outcomes == {"passed": 1}

    def test_many_json_differences_fit_in_seven_lines(self, house: House) -> None:
        house.says(str(list(range(9))), snapshot="llm_snapshot(compare='json')")
        house.record()
        house.says(str([9] * 9), snapshot="llm_snapshot(compare='json')")
        said = house.run()
        assert len(said.lines) == 7
        assert said.lines[1] == (
            "  nothing that we fingerprint differs: model, prompt, sampling and numerics are equal"
        )
        assert said.lines[-3:-1] == ["  $[2]: expected 2, got 9", "  and 6 more, see the details below"]
        assert "truncated" not in said.output

    def test_long_lines_do_not_push_the_command_out(self, house: House) -> None:
        house.tests(
            f"def test_{'long_' * 16}(say, llm_snapshot):\n    assert say('{'a' * 200}') == llm_snapshot\n"
        )
        house.record()
        house.tests(
            f"def test_{'long_' * 16}(say, llm_snapshot):\n"
            f"    assert say('{'a' * 100 + 'b' * 100}') == llm_snapshot\n"
        )
        said = house.run()
        assert "truncated" not in said.output
        assert said.lines[-1].endswith("--llm-model f16 --llm-update")

    @pytest.mark.parametrize(
        ("made", "differ"),
        [
            ("weights=sha('other')", "weights differ"),
            ("weights=sha('other'), adapters=('a@1',)", "weights and adapters differ"),
            (
                "template=sha('other'), adapters=('a@1',)",
                f"the chat template changed ({sha('chatml')[:6]} -> {sha('other')[:6]}), "
                "and adapters differ too",
            ),
            ("settings=(('n_ctx', '512'),)", "settings differ"),
            ("numerics={'width': 8}", "numerics differ"),
        ],
    )
    def test_across_models_or_numerics_the_comparison_has_to_be_named(
        self, house: House, made: str, differ: str
    ) -> None:
        house.says("Hello")
        house.record()
        house.says("Goodbye", made)
        said = house.run()
        assert said.outcomes == {"passed": 1}
        assert said.verdicts == [
            f"not applicable: snapshot: reply of f16 not compared with the baseline of f16: {differ}; "
            'name the comparison that is meant, llm_snapshot(compare="text") or llm_snapshot(compare="json")'
        ]

    @pytest.mark.parametrize(
        "made", ["prompt='another'", "max_tokens=9", "model='another name', weights=sha('f16')"]
    )
    def test_the_same_model_is_compared_as_text(self, house: House, made: str) -> None:
        house.says("Hello")
        house.record()
        house.says("Goodbye", made)
        assert house.run().outcomes == {"failed": 1}

    def test_a_text_of_the_test_has_no_fingerprint(self, house: House) -> None:
        house.tests("def test_ticket(llm_snapshot):\n    assert 'a' == llm_snapshot\n")
        house.record()
        house.tests("def test_ticket(llm_snapshot):\n    assert 'b' == llm_snapshot\n")
        said = house.run("--llm-model", "q2")
        assert said.lines[:2] == [
            "assert text differs from the baseline: __llmcheck__/test_it/test_ticket.md",
            "  cause: not attributed, since no fingerprint is known of a value that the test made",
        ]
        assert said.lines[-1] == "  accept: pytest test_it.py::test_ticket --llm-model f16 --llm-update"

    def test_options_hold_for_the_object_that_was_given_them(self, house: House) -> None:
        house.tests(
            "def test_ticket(say, llm_snapshot):\n"
            "    llm_snapshot(compare='json', name='x')\n"
            "    assert say('no JSON') == llm_snapshot\n"
        )
        house.record()
        assert list(house.baselines) == NAMES
        assert house.run().verdicts[0].startswith("passed: snapshot(text)")

    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            (
                "say('a') == llm_snapshot(compare='tokens')",
                "compare='tokens' is not built yet; built: json, text",
            ),
            (
                "say('a') == llm_snapshot(compare='txt')",
                "compare='txt' is no comparator; did you mean 'text'?",
            ),
            ("say('a') == llm_snapshot(name='')", "the name of a snapshot cannot be empty; leave name= out"),
            ("3 == llm_snapshot", "llm_snapshot compares a Reply, str, dict or list, not int"),
        ],
    )
    def test_mistakes_are_errors(self, house: House, expression: str, message: str) -> None:
        house.tests(f"def test_ticket(say, llm_snapshot):\n    assert {expression}\n")
        said = house.run()
        assert said.outcomes == {"failed": 1}
        assert any(line.endswith(message) for line in said.lines)


class TestDamage:
    def test_a_damaged_baseline_names_file_and_remedy_and_is_rewritten_on_demand(self, house: House) -> None:
        house.says("Hello")
        house.record()
        whole = house.path().read_bytes()
        house.path().write_bytes(whole.replace(b"kind: reply", b"kind: poem"))
        said = house.run()
        assert said.outcomes == {"failed": 1}
        assert said.lines == [
            "pytest_llmcheck.snapshots.baseline.SnapshotError: __llmcheck__/test_it/test_ticket.md "
            "is damaged: its kind is 'poem', not one of reply, text, json; restore it from version "
            "control, or record it again with --llm-update"
        ]
        house.record()
        assert house.path().read_bytes() == whole

    def test_bytes_that_are_no_utf8_are_damage(self, house: House) -> None:
        house.says("Hello")
        house.record()
        house.path().write_bytes(house.path().read_bytes() + b"\xff\n")
        assert "it is not UTF-8" in house.run().lines[0]

    def test_a_folder_that_takes_no_files_is_named(self, house: House) -> None:
        house.says("Hello")
        (house.pytester.path / "__llmcheck__").write_text("a file is in the way")
        said = house.run("--llm-update")
        assert said.outcomes == {"failed": 1}
        assert any(
            "__llmcheck__/test_it/test_ticket.md cannot be " in line
            and "mend the path or its permissions, nothing was changed" in line
            for line in said.lines
        )

    def test_nothing_half_written_stays_when_the_write_fails(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.says("Hello")
        house.record()
        before = house.baselines

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        house.says("Goodbye")
        with monkeypatch.context() as patched:
            patched.setattr("pytest_llmcheck.snapshots.extension.os.replace", full)
            said = house.run("--llm-update")
        assert said.outcomes == {"failed": 1}
        assert any("cannot be written: [Errno 28] No space left on device" in line for line in said.lines)
        assert house.baselines == before


def test_a_reply_still_equals_only_its_like() -> None:
    assert make_reply("a") == make_reply("a")
    assert make_reply("a") != make_reply("b")
