"""Beside pytest's own selection, pytest-xdist, pytest-asyncio, pytest-benchmark, and without the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.session.record import EndLine
from tests.support.projects import order, table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.projects import Project

SOURCE = (
    "import pytest\n"
    "from pytest_llmcheck import contains\n"
    "def test_a(llm): assert llm.chat('one').text\n"
    "def test_b(llm): llm.chat('no').expect(contains('never'))\n"
    "@pytest.mark.parametrize('case', ['one', 'x'])\n"
    "def test_c(case, llm): assert llm.chat(case).text\n"
    "def test_plain(): pass\n"
)


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")
    project.tests(SOURCE)


class TestSelectionOfPytest:
    def test_by_the_models_name(self, project: Project, hosts: list[str]) -> None:
        result = project.run("-v", "--llm-model", "all", "-k", "q4 and not b")
        assert order(result) == ["test_a[q4]", "test_c[one-q4]", "test_c[x-q4]"]
        result.assert_outcomes(passed=3, deselected=6)
        assert len(hosts) == 1

    def test_by_id(self, project: Project) -> None:
        result = project.run("-v", "--llm-model", "all", "test_it.py::test_c[x-q4]")
        assert order(result) == ["test_c[x-q4]"]

    def test_stopping_at_the_first_failure(self, project: Project) -> None:
        result = project.run("-v", "-x")
        assert order(result) == ["test_a", "test_b"]
        result.assert_outcomes(passed=1, failed=1)
        assert list(project.tests_asked()) == ["test_a", "test_b"]
        assert isinstance(project.record[-1], EndLine)

    def test_only_what_failed_last(self, project: Project) -> None:
        project.run("--llm-model", "all").assert_outcomes(passed=7, failed=2)
        result = project.run("-v", "--lf", "--llm-model", "all")
        assert order(result) == ["test_b[f16]", "test_b[q4]"]

    @pytest.mark.parametrize("without", ["cacheprovider", "terminal", "capture", "assertion", "skipping"])
    def test_without_a_plugin_of_pytests_own(self, project: Project, without: str) -> None:
        result = project.run("-p", f"no:{without}", apart=True)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert [line.outcome for line in project.test_lines] == ["passed", "failed", "passed", "passed"]
        said = "INTERNALERROR" in str(result.stdout) + str(result.stderr)
        assert not said


class TestXdist:
    @pytest.mark.parametrize("how", [[], ["--dist", "loadgroup"]])
    def test_workers_share_hosts_and_leave_one_record(
        self, project: Project, short_tmp: Path, monkeypatch: pytest.MonkeyPatch, how: list[str]
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(short_tmp))
        project.write(
            "conftest.py",
            "import sys\n"
            "from pathlib import Path\n"
            "def watch(event, args):\n"
            "    if event == 'subprocess.Popen' and any('llama.host' in str(part) for part in args[1]):\n"
            "        with Path(__file__).with_name('hosts.txt').open('a') as file: print('host', file=file)\n"
            "sys.addaudithook(watch)\n",
        )
        result = project.run("-n", "2", "--llm-model", "all", "-rA", *how, using=("xdist",), apart=True)
        result.assert_outcomes(passed=7, failed=2)
        assert len(project.records) == 1
        by_name = {(line.test.partition("::")[2], line.model): line for line in project.test_lines}
        assert len(by_name) == len(project.test_lines) == 8
        for (test, model), line in by_name.items():
            assert line.outcome == ("failed" if test == "test_b" else "passed")
            (reply,) = line.replies
            assert reply.fingerprint.model == model
            # Whichever worker asks, in whatever company: the same answer.
            if test == "test_a":
                assert reply.text == by_name["test_c[one]", model].replies[0].text
        last = project.record[-1]
        assert isinstance(last, EndLine)
        assert last.exit_status == pytest.ExitCode.TESTS_FAILED
        # In the order of a run without workers, whichever test ended first.
        assert [line.rstrip() for line in table(result)[1:5]] == [
            "test_it.py::test_a       passed  passed",
            "test_it.py::test_b       FAILED  FAILED",
            "test_it.py::test_c[one]  passed  passed",
            "test_it.py::test_c[x]    passed  passed",
        ]
        assert len((project.path / "hosts.txt").read_text().splitlines()) == 2
        assert [*short_tmp.glob("llmcheck-*")] == []

    def test_undecided_and_missing_baselines_travel(self, project: Project) -> None:
        project.tests(
            "def test_a(llm, llm_snapshot): assert llm.chat('one') == llm_snapshot\n"
            "def test_b(llm, llm_snapshot): assert llm.chat('no') == llm_snapshot\n"
        )
        result = project.run("-n", "2", "--llm-update", using=("xdist",), apart=True)
        result.assert_outcomes(passed=2)
        assert project.baselines == ["test_it/test_a.md", "test_it/test_b.md"]
        result = project.run("-n", "2", "-rs", "--llm-model", "q4", using=("xdist",), apart=True)
        result.assert_outcomes(skipped=2)
        result.stdout.fnmatch_lines(["SKIPPED [[]1] test_it.py:1: not applicable: snapshot: reply of q4 *"])
        *said, why = table(result)[-4:]
        assert said == [
            "undecided, which is neither passed nor failed:",
            "  test_it.py::test_a",
            "  test_it.py::test_b",
        ]
        assert why.startswith("    not applicable: snapshot: reply of q4 not compared with ")

    def test_the_table_is_in_the_order_of_the_tests(self, project: Project) -> None:
        project.tests(
            "import time\n"
            "import pytest\n"
            "@pytest.mark.parametrize('case', [3, 2, 1, 0])\n"
            "def test_b(llm, case):\n"
            "    llm.chat('one')\n"
            "    time.sleep(0.3 * case)\n"
            "def test_a(llm): llm.chat('one')\n"
        )
        result = project.run("-n", "2", using=("xdist",), apart=True)
        told = [line.split()[0] for line in table(result)[1:6]]
        assert told == [*(f"test_it.py::test_b[{case}]" for case in (3, 2, 1, 0)), "test_it.py::test_a"]
        assert told != [line.nodeid for line in project.test_lines]  # as they ended

    def test_a_test_in_which_a_worker_dies_is_not_forgotten(self, project: Project) -> None:
        project.tests(
            "import os\n"
            "def test_a(llm): llm.chat('one')\n"
            "def test_b(llm):\n"
            "    if llm.spec.name == 'q4': os._exit(3)\n"
        )
        result = project.run("-n", "1", "--llm-model", "all", using=("xdist",), apart=True)
        result.assert_outcomes(passed=3, failed=1)
        assert [line.rstrip() for line in table(result)[:5]] == [
            "                    f16     q4",
            "test_it.py::test_a  passed  passed",
            "test_it.py::test_b  passed  ERROR",
            "",
            "f16 (F16, CPU): reference, passes 2 of 2 tests",
        ]
        result.stdout.fnmatch_lines(["q4 (F16, CPU): no verdict, passes 1 of 2 tests; 1 ended in an error"])
        assert [(line.nodeid[-2:], line.outcome) for line in project.test_lines][-1] == ("4]", "error")

    def test_no_workers(self, project: Project) -> None:
        result = project.run("-n", "0", "-v", using=("xdist",))
        assert order(result) == ["test_a", "test_b", "test_c[one]", "test_c[x]", "test_plain"]


class TestAsyncio:
    def test_tests_and_fixtures_that_are_coroutines(self, project: Project) -> None:
        project.tests(
            "import asyncio, pytest, pytest_asyncio\n"
            "@pytest.fixture(scope='module')\n"
            "def reply(llm): return llm.chat('one')\n"
            "@pytest_asyncio.fixture\n"
            "async def other(llm): return await asyncio.to_thread(llm.chat, 'no')\n"
            "@pytest.mark.asyncio\n"
            "@pytest.mark.llm(system='Be brief.')\n"
            "async def test_a(llm, reply, other):\n"
            "    asked = [asyncio.to_thread(llm.chat, text) for text in ('one', 'x')]\n"
            "    replies = await asyncio.gather(*asked)\n"
            "    assert all('Be brief.' in r.prompt.text for r in (*replies, other))\n"
            "    assert 'Be brief.' not in reply.prompt.text\n"
        )
        scope = ("-o", "asyncio_default_fixture_loop_scope=function")
        result = project.run("-v", "--llm-model", "all", *scope, using=("asyncio",), apart=True)
        result.assert_outcomes(passed=2)
        assert order(result) == ["test_a[f16]", "test_a[q4]"]
        assert project.tests_asked() == {"test_a[f16]": 4, "test_a[q4]": 4}


class TestBenchmark:
    def test_a_reply_is_timed(self, project: Project) -> None:
        project.tests(
            "def test_a(benchmark, llm):\n"
            "    reply = benchmark.pedantic(llm.chat, args=('one',), rounds=3)\n"
            "    assert reply.finish_reason == 'stop'\n"
        )
        result = project.run("--llm-model", "all", using=("benchmark",), apart=True)
        result.assert_outcomes(passed=2)
        assert project.tests_asked() == {"test_a[f16]": 3, "test_a[q4]": 3}
        result.stdout.fnmatch_lines_random(["test_a?f16?*", "test_a?q4?*"])
