"""`@pytest.mark.llm(n_ctx=[...])`: the test runs once for each context length."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import order

if TYPE_CHECKING:
    from tests.support.projects import Project

HEAD = "import pytest\ndef at(llm): return dict(llm.chat('one').fingerprint.settings)['n_ctx']\n"


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")


def test_once_for_each(project: Project) -> None:
    project.tests(
        HEAD
        + dedent("""
        @pytest.mark.llm(n_ctx=[128, 256])
        def test_ladder(llm, request):
            assert request.node.name == f"test_ladder[{at(llm)}]"

        @pytest.mark.llm(n_ctx=(256,))
        def test_one(llm): assert at(llm) == "256"

        @pytest.mark.llm(n_ctx=[128, 256])
        @pytest.mark.parametrize("word", ["a", "b"])
        def test_cases(llms, word, request):
            assert request.node.name == f"test_cases[{word}-{at(llms['q4'])}]"

        def test_plain(llm): assert at(llm) == "512"
        """)
    )
    result = project.run("-v")
    result.assert_outcomes(passed=8)
    assert sorted(order(result)) == [
        "test_cases[a-128]",
        "test_cases[a-256]",
        "test_cases[b-128]",
        "test_cases[b-256]",
        "test_ladder[128]",
        "test_ladder[256]",
        "test_one[256]",
        "test_plain",
    ]


def test_with_several_models(project: Project) -> None:
    project.tests(
        HEAD
        + dedent("""
        @pytest.mark.llm(n_ctx=[128, 256])
        def test_ladder(llm, request):
            assert request.node.name == f"test_ladder[{llm.spec.name}-{at(llm)}]"

        @pytest.mark.llm(n_ctx=[128, 256], models="q4")
        @pytest.mark.parametrize("word", ["a"])
        def test_one(llm, word): pass
        """)
    )
    result = project.run("-v", "--llm-model", "all")
    result.assert_outcomes(passed=6)
    assert sorted(order(result)) == [
        "test_ladder[f16-128]",
        "test_ladder[f16-256]",
        "test_ladder[q4-128]",
        "test_ladder[q4-256]",
        "test_one[a-q4-128]",
        "test_one[a-q4-256]",
    ]
    lines = project.test_lines
    tests = {(line.test.partition("::")[2], line.model) for line in lines}
    assert tests == {
        ("test_ladder[128]", "f16"),
        ("test_ladder[256]", "f16"),
        ("test_ladder[128]", "q4"),
        ("test_ladder[256]", "q4"),
        ("test_one[a-128]", "q4"),
        ("test_one[a-256]", "q4"),
    }


@pytest.mark.parametrize("active", ["f16", "f16,q4"])
def test_each_length_has_its_own_baseline(project: Project, active: str) -> None:
    project.tests(
        "import pytest\n"
        "@pytest.mark.llm(n_ctx=[128, 256])\n"
        "def test_it(llm, llm_snapshot): assert llm.chat('one', max_tokens=4).text == llm_snapshot\n"
    )
    project.run("--llm-update", "--llm-model", "f16").assert_outcomes(passed=2)
    assert project.baselines == ["test_it/test_it[128].md", "test_it/test_it[256].md"]
    result = project.run("--llm-model", active)
    # The reference passes; the candidate is compared with the same files.
    assert result.parseoutcomes()["passed"] >= 2
    assert len(project.baselines) == 2


def test_where_a_mark_applies(project: Project) -> None:
    project.tests(
        HEAD
        + dedent("""
        pytestmark = pytest.mark.llm(n_ctx=[128, 256])

        def test_module(llm): assert at(llm) in ("128", "256")

        @pytest.mark.llm(n_ctx=384)
        def test_nearer(llm): assert at(llm) == "384"

        @pytest.mark.llm(n_ctx=[192, 320])
        class TestA:
            def test_class(self, llm): assert at(llm) in ("192", "320")

            @pytest.mark.llm(max_tokens=3)
            def test_both(self, llm):
                assert at(llm) in ("192", "320")
                assert llm.chat("one").fingerprint.max_tokens == 3
        """)
    )
    result = project.run("-v")
    result.assert_outcomes(passed=7)
    assert sorted(order(result)) == [
        "TestA::test_both[192]",
        "TestA::test_both[320]",
        "TestA::test_class[192]",
        "TestA::test_class[320]",
        "test_module[128]",
        "test_module[256]",
        "test_nearer",
    ]


def test_a_modules_fixture_is_made_for_each(project: Project) -> None:
    project.tests(
        HEAD
        + dedent("""
        pytestmark = pytest.mark.llm(n_ctx=[128, 256])

        @pytest.fixture(scope="module")
        def told(llm): return at(llm)

        def test_a(told, request): assert request.node.name == f"test_a[{told}]"
        def test_b(told, llm): assert told == at(llm)
        """)
    )
    result = project.run("-v")
    result.assert_outcomes(passed=4)
    # Contexts are not loaded in turns.
    assert order(result) == ["test_a[128]", "test_b[128]", "test_a[256]", "test_b[256]"]


@pytest.mark.parametrize(
    ("source", "where"),
    [
        (
            "import unittest\n"
            "@pytest.mark.usefixtures('llm')\n"
            "@pytest.mark.llm(n_ctx=[128, 256])\n"
            "class TestU(unittest.TestCase):\n"
            "    def test_it(self): pass\n",
            "TestU::test_it",
        ),
        (
            "@pytest.mark.llm(n_ctx=[128, 256])\n"
            "def test_it(request): request.getfixturevalue('llm').chat('one')\n",
            "test_it",
        ),
        (
            "@pytest.mark.parametrize('n', [pytest.param(1, marks=pytest.mark.llm(n_ctx=[128, 256]))])\n"
            "def test_it(n, llm): pass\n",
            "test_it[1]",
        ),
        (
            "pytestmark = pytest.mark.llm(n_ctx=[128, 256])\n"
            "@pytest.fixture(scope='module')\n"
            "def told(llm): return llm.chat('one')\n"
            "@pytest.mark.llm(n_ctx=384)\n"
            "def test_it(told): pass\n",
            "test_it.py",
        ),
    ],
    ids=["unittest", "getfixturevalue", "parameter", "fixture"],
)
def test_where_it_cannot_be_multiplied(project: Project, source: str, where: str) -> None:
    project.tests("import pytest\n" + source)
    result = project.run()
    assert result.ret == 1
    told = "\n".join(result.outlines)
    assert "@pytest.mark.llm(n_ctx=[128, 256]) of test_it.py" in told
    assert f"{where}: this cannot be run once for each of these context lengths" in told
    assert "Take `llm` or `llms` as an argument of a test function" in told


def test_a_parameters_mark_cannot_undo_it(project: Project) -> None:
    project.tests(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [1, pytest.param(2, marks=pytest.mark.llm(n_ctx=384))])\n"
        "@pytest.mark.llm(n_ctx=[128, 256])\n"
        "def test_it(n, llm): pass\n"
    )
    result = project.run()
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*mark of a single parameter cannot undo the several context lengths*"])


@pytest.mark.parametrize(
    ("lengths", "says"),
    [
        ("[]", "test_it.py::test_it: n_ctx=[[][]] names no context length"),
        ("[128, 128]", "test_it.py::test_it: n_ctx=[[]128, 128[]] names a context length twice"),
        ("[128, '256']", "test_it.py::test_it: n_ctx takes whole numbers of at least 16, got '256'"),
        ("[True]", "test_it.py::test_it: n_ctx takes whole numbers of at least 16, got True"),
        ("[0]", "test_it.py::test_it: n_ctx takes whole numbers of at least 16, got 0"),
    ],
)
def test_lengths_that_are_none(project: Project, hosts: list[str], lengths: str, says: str) -> None:
    project.tests(f"import pytest\n@pytest.mark.llm(n_ctx={lengths})\ndef test_it(llm): pass\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*@pytest.mark.llm of {says}"])
    assert hosts == []


def test_a_length_that_the_model_was_not_trained_for(project: Project) -> None:
    project.tests(HEAD + "@pytest.mark.llm(n_ctx=[128, 4096])\ndef test_it(llm): at(llm)\n")
    result = project.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    assert "4096" in "\n".join(result.outlines)


def test_off(project: Project) -> None:
    project.tests("import pytest\n@pytest.mark.llm(n_ctx=[128, 256])\ndef test_it(llm): pass\n")
    result = project.run("-v", "--llm-off")
    result.assert_outcomes(skipped=1)


def test_workers_of_xdist(project: Project) -> None:
    project.tests(
        HEAD
        + dedent("""
        @pytest.mark.llm(n_ctx=[256, 128])
        @pytest.mark.parametrize("word", ["a", "b"])
        def test_ladder(llm, word, request):
            assert request.node.name.endswith(f"-{at(llm)}]")
        """)
    )
    result = project.run("-n2", "--llm-model", "all", using=("xdist",), apart=True)
    result.assert_outcomes(passed=8)
