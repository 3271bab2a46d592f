"""`@pytest.mark.llm_cases("cases.jsonl")`: one test a case, and what goes wrong with that test alone."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import order

if TYPE_CHECKING:
    from tests.support.projects import Project

CAPITALS = [
    {"id": "france", "prompt": "Capital of France?", "expected": "Paris"},
    {"id": "peru", "prompt": "Capital of Peru?", "expected": "Lima"},
]
ONE = """
import pytest

@pytest.mark.llm_cases("cases.jsonl")
def test_one(prompt): assert prompt.startswith("Capital")

def test_other(): pass
"""


@pytest.fixture(autouse=True)
def _strict(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\naddopts = --strict-markers\n")


def write_cases(project: Project, *cases: object, name: str = "cases.jsonl") -> None:
    project.write(name, "".join(f"{case if isinstance(case, str) else json.dumps(case)}\n" for case in cases))


def in_file(project: Project, source: str) -> None:
    project.tests("import pytest\n" + dedent(source))


def told(result: pytest.RunResult) -> list[str]:
    """What the errors of setups say."""
    lines = result.outlines
    starts = [i for i, line in enumerate(lines) if line.startswith("_") and "ERROR at setup of" in line]
    return [lines[i + 1] for i in starts]


class TestArguments:
    def test_fields_by_their_names_and_the_whole_case(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        in_file(
            project,
            """
            from pytest_llmcheck import Case

            EXPECTED = {"Capital of France?": "Paris", "Capital of Peru?": "Lima"}

            @pytest.mark.llm_cases("cases.jsonl")
            def test_fields(prompt, expected): assert EXPECTED[prompt] == expected

            @pytest.mark.llm_cases("cases.jsonl")
            def test_case(case: Case, request):
                assert isinstance(case, Case)
                assert request.node.name == f"test_case[{case.id}]"
                assert {*case} == {"id", "prompt", "expected"}
                assert case.source == f"cases.jsonl:{'france peru'.split().index(case.id) + 1}"

            @pytest.mark.llm_cases("cases.jsonl")
            def test_both(case, prompt, id): assert (case["prompt"], case.id) == (prompt, id)
            """,
        )
        result = project.run("-v")
        result.assert_outcomes(passed=6)
        assert order(result) == [
            f"{test}[{id_}]"
            for test in ("test_fields", "test_case", "test_both")
            for id_ in ("france", "peru")
        ]

    def test_a_fixture_may_ask_for_them(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        in_file(
            project,
            """
            @pytest.fixture
            def question(prompt, case): return f"{case.id}: {prompt}"

            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(question): assert question in ("france: Capital of France?", "peru: Capital of Peru?")
            """,
        )
        project.run().assert_outcomes(passed=2)

    def test_json_keeps_its_types_and_csv_has_texts(self, project: Project) -> None:
        write_cases(project, {"id": 1, "n": 4, "all": [1.5, None, {"a": True}]})
        project.write("cases.csv", "id;n;all\n1;4;\n")
        project.write("cases.tsv", "id\tn\tall\n1\t4\t;\n")
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_json(n, all): assert (n, all) == (4, [1.5, None, {"a": True}])

            @pytest.mark.llm_cases("cases.csv")
            def test_csv(n, all): assert (n, all) == ("4", "")

            @pytest.mark.llm_cases("cases.tsv")
            def test_tsv(n, all): assert (n, all) == ("4", ";")
            """,
        )
        project.run().assert_outcomes(passed=3)

    def test_what_one_test_does_to_a_case_no_other_sees(self, project: Project) -> None:
        project.declare("f16", "q4")
        write_cases(project, {"id": "a", "messages": [{"role": "user", "content": "one"}]})
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(llm, messages, case):
                assert [m["role"] for m in messages] == [m["role"] for m in case["messages"]] == ["user"]
                messages.append({"role": "assistant", "content": "one"})
                case["messages"].clear()
            """,
        )
        project.run("--llm-model", "all").assert_outcomes(passed=2)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ("promt", "which has no field 'promt': did you mean 'prompt'?"),
            (
                "llm",
                "and uses nothing of them; give it the argument `case`, or one of the fields: "
                "expected, id, prompt, request",
            ),
            (
                "prompt, expected",
                "and there is a fixture or parameter 'expected' besides; rename the one or the other, or "
                "take `case` and use case['expected']",
            ),
            (
                "prompt, request",
                "and there is a fixture or parameter 'request' besides; rename the one or the other, or take "
                "`case` and use case['request']",
            ),
            (
                "case, prompt=None",
                "and its argument 'prompt' has a default value, which would always win; take `case` and use "
                "case['prompt']",
            ),
        ],
    )
    def test_an_argument_that_the_file_cannot_give(self, project: Project, arguments: str, says: str) -> None:
        write_cases(project, {**CAPITALS[0], "request": "x"})
        in_file(
            project,
            f"""
            @pytest.fixture
            def expected(): return "Rome"

            @pytest.mark.llm_cases("cases.jsonl")
            def test_it({arguments}): pass

            def test_other(expected): pass
            """,
        )
        result = project.run()
        result.assert_outcomes(errors=1, passed=1)
        assert told(result) == [f"test_it.py::test_it takes cases from cases.jsonl, {says}"]

    def test_an_argument_of_another_mark(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            @pytest.mark.parametrize("case", [1, 2])
            def test_it(prompt, case): pass
            """,
        )
        result = project.run()
        assert {*told(result)} == {
            "test_it.py::test_it takes cases from cases.jsonl, and there is a fixture or parameter 'case' "
            "besides; rename that"
        }
        result.assert_outcomes(errors=2)

    def test_a_fixture_deeper_down_is_not_replaced(self, project: Project) -> None:
        """Only what the test names itself can be meant for the case."""
        write_cases(project, {"prompt": "Hello", "tmp_path": "nowhere", "request": "x"})
        in_file(
            project,
            """
            @pytest.fixture
            def file(tmp_path, request): return tmp_path / request.node.originalname

            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(prompt, file): assert file.parent.is_dir()
            """,
        )
        project.run().assert_outcomes(passed=1)


class TestPlace:
    def test_beside_the_test_file(self, project: Project) -> None:
        folder = project.path / "deep"
        folder.mkdir()
        write_cases(project, {"id": "root", "n": 1})
        write_cases(project, {"id": "deep", "n": 2}, name="deep/cases.jsonl")
        project.write(
            "deep/test_deep.py",
            "import pytest\nfrom pathlib import Path\n"
            "@pytest.mark.llm_cases('cases.jsonl')\n"
            "def test_beside(case): assert case.source == 'deep/cases.jsonl:1'\n"
            "@pytest.mark.llm_cases(Path('../cases.jsonl'))\n"
            "def test_above(case): assert case.source == 'cases.jsonl:1'\n"
            f"@pytest.mark.llm_cases({str(project.path / 'cases.jsonl')!r})\n"
            "def test_absolute(case): assert case.source == 'cases.jsonl:1'\n",
        )
        result = project.run("-v")
        assert order(result) == ["test_beside[deep]", "test_above[root]", "test_absolute[root]"]
        result.assert_outcomes(passed=3)

    def test_classes_and_modules_and_the_closest_mark(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        write_cases(project, {"id": "own", "prompt": "Hi"}, name="own.jsonl")
        in_file(
            project,
            """
            pytestmark = pytest.mark.llm_cases("cases.jsonl")

            def test_module(prompt): pass

            class TestA:
                def test_class(self, case): pass

                @pytest.mark.llm_cases("own.jsonl")
                def test_own(self, prompt): pass

            @pytest.mark.llm_cases("own.jsonl")
            class TestB:
                def test_class(self, case): pass
            """,
        )
        result = project.run("-v")
        assert order(result) == [
            "test_module[france]",
            "test_module[peru]",
            "TestA::test_class[france]",
            "TestA::test_class[peru]",
            "TestA::test_own[own]",
            "TestB::test_class[own]",
        ]

    def test_a_file_is_read_once(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        project.write(
            "conftest.py",
            "import sys\nread = []\n"
            "sys.addaudithook(lambda event, args: event == 'open' and 'cases.jsonl' in str(args[0])"
            " and read.append(1))\n"
            "def pytest_sessionfinish(): print('READ', len(read), file=sys.__stderr__)\n",
        )
        project.tests(ONE + ONE.replace("test_one", "test_two").replace("test_other", "test_another"))
        result = project.run(apart=True)
        result.assert_outcomes(passed=6)
        assert "READ 1" in result.errlines


class TestMistakes:
    def test_a_bad_line_is_an_error_of_its_own(self, project: Project) -> None:
        write_cases(
            project, CAPITALS[0], '{"id": "peru", prompt: "Hi"}', {"id": "x", "promt": "Hi"}, CAPITALS[1]
        )
        project.tests(ONE)
        result = project.run("-v")
        result.assert_outcomes(passed=3, errors=2)
        assert order(result) == [
            "test_one[france]",
            "test_one[line_2]",
            "test_one[x]",
            "test_one[peru]",
            "test_other",
        ]
        result.stdout.fnmatch_lines(
            [
                "*_ ERROR at setup of test_one[[]line_2[]] _*",
                "cases.jsonl:2: not JSON at column 16: expected a key in double quotes",
                '{"id": "peru", prompt: "Hi"}',
                "               ^",
                "*_ ERROR at setup of test_one[[]x[]] _*",
                "cases.jsonl:3: has no field 'prompt', which the test takes; it has id, promt",
            ],
            consecutive=True,
        )
        result.stdout.no_fnmatch_line("*pytest_llmcheck*")

    def test_a_bad_line_asks_no_model_and_runs_no_fixture(self, project: Project, hosts: list[str]) -> None:
        project.declare("f16")
        write_cases(project, CAPITALS[0], "{")
        in_file(
            project,
            """
            @pytest.fixture
            def asked(llm, prompt):
                assert isinstance(prompt, str)
                return prompt

            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(asked): pass
            """,
        )
        result = project.run("-k", "line_2")
        result.assert_outcomes(errors=1, deselected=1)
        assert hosts == []

    @pytest.mark.parametrize(
        ("mark", "says"),
        [
            ("'case.jsonl'", "case.jsonl does not exist: did you mean 'cases.jsonl'?"),
            ("'../gone/x.csv'", "../gone/x.csv does not exist, nor does its folder 'gone'"),
            ("'empty.jsonl'", "empty.jsonl holds no cases; write one to a line"),
            (
                "'x.yaml'",
                "x.yaml: cases are read from files that end in .jsonl, .ndjson, .csv, .tsv, not '.yaml'",
            ),
            ("'latin.csv'", "latin.csv:2: not UTF-8 (invalid start byte); save the file as UTF-8"),
            ("", '{} takes the path of one file, such as "cases.jsonl", got nothing'),
            ("3", '{} takes the path of one file, such as "cases.jsonl", got 3'),
            (
                "'a.csv', 'b.csv'",
                "{} takes the path of one file, such as \"cases.jsonl\", got 'a.csv', 'b.csv'",
            ),
            ("'cases.jsonl', ids='n'", "{} has an unknown keyword 'ids': did you mean 'id'?"),
            ("'cases.jsonl', id=3", "{}: id takes the name of a field, got 3"),
        ],
    )
    def test_a_file_or_mark_that_is_wrong(self, project: Project, mark: str, says: str) -> None:
        write_cases(project, *CAPITALS)
        write_cases(project, name="empty.jsonl")
        (project.path / "latin.csv").write_bytes("id,prompt\n1,größer\n".encode("latin-1"))
        project.tests(ONE.replace('"cases.jsonl"', mark))
        result = project.run("-v")
        result.assert_outcomes(passed=1, errors=1)
        assert order(result) == ["test_one", "test_other"]
        assert told(result) == [says.format("@pytest.mark.llm_cases of test_it.py::test_one")]

    def test_a_test_that_is_skipped_anyway_tells_no_mistake(self, project: Project) -> None:
        in_file(
            project,
            """
            @pytest.mark.skip
            @pytest.mark.llm_cases("missing.jsonl")
            def test_file(prompt): pass

            @pytest.mark.skip
            @pytest.mark.llm(unknown=1)
            def test_mark(llm): pass
            """,
        )
        project.run().assert_outcomes(skipped=2)

    def test_given_twice(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        project.tests(ONE.replace("def test_one", "@pytest.mark.llm_cases('own.jsonl')\ndef test_one"))
        result = project.run()
        result.assert_outcomes(passed=1, errors=1)
        assert told(result) == [
            "@pytest.mark.llm_cases of test_it.py::test_one: given twice; a test takes its cases from one "
            "file"
        ]

    def test_unittest_classes(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        in_file(
            project,
            """
            import unittest

            class TestIt(unittest.TestCase):
                @pytest.mark.llm_cases("cases.jsonl")
                def test_it(self): pass
            """,
        )
        result = project.run()
        result.assert_outcomes(errors=1)
        assert told(result) == [
            "@pytest.mark.llm_cases of test_it.py::TestIt::test_it: only test functions and methods of plain "
            "classes can be run once for each case; unittest classes cannot"
        ]

    def test_ids_of_another_field(self, project: Project) -> None:
        project.write("cases.csv", "name,prompt\nAnna,Capital\nTom,Capital\nAnna,Capital\n")
        project.tests(ONE.replace('"cases.jsonl"', '"cases.csv", id="name"'))
        result = project.run("-v")
        assert order(result) == ["test_one[Anna]", "test_one[Tom]", "test_one[line_4]", "test_other"]
        assert told(result) == ["cases.csv:4: the id 'Anna' is also that of line 2; give each case its own"]

    def test_a_failing_test_says_where_its_case_stands(self, project: Project) -> None:
        write_cases(project, *CAPITALS)
        project.tests(ONE.replace('"Capital"', '"Capital of F"'))
        result = project.run()
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(["*- llmcheck case -*", "peru, cases.jsonl:2"], consecutive=True)


class TestChecks:
    def test_are_made_of_the_field(self, project: Project) -> None:
        write_cases(
            project,
            {"id": "a", "checks": {"contains": ["Paris"], "words": {"at_most": 60}}},
            {"id": "b", "checks": ["no_commas", {"not_": {"contains": "sorry"}}]},
        )
        project.write("cases.csv", 'id,checks\na,no_commas\nb,"[{""contains"": ""Paris""}]"\n')
        in_file(
            project,
            """
            MADE = {
                "cases.jsonl:1": "(contains('Paris'), words(at_most=60))",
                "cases.jsonl:2": "(no_commas(), not_(contains('sorry')))",
                "cases.csv:2": "(no_commas(),)",
                "cases.csv:3": "(contains('Paris'),)",
            }

            @pytest.mark.llm_cases("cases.jsonl")
            def test_json(checks, case): assert repr(checks) == repr(case.checks) == MADE[case.source]

            @pytest.mark.llm_cases("cases.csv")
            def test_csv(checks, case): assert repr(checks) == repr(case.checks) == MADE[case.source]
            """,
        )
        project.run().assert_outcomes(passed=4)

    def test_a_mistake_is_told_before_the_model_is_asked(self, project: Project, hosts: list[str]) -> None:
        project.declare("f16")
        write_cases(
            project, {"id": "a", "checks": {"contians": "Paris"}}, {"id": "b", "checks": []}, {"id": "c"}
        )
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(llm, checks): llm.chat("one").expect(*checks)
            """,
        )
        result = project.run()
        result.assert_outcomes(errors=3)
        assert told(result) == [
            "cases.jsonl:1: checks: no check is called 'contians': did you mean 'contains'?",
            'cases.jsonl:2: checks: no check is named; for example {"contains": "Paris"}',
            "cases.jsonl:3: has no field 'checks', which the test takes; it has id",
        ]
        assert hosts == []

    def test_an_empty_cell_is_no_check(self, project: Project) -> None:
        project.write("cases.csv", "id,checks\na,\nb,finished\n")
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.csv")
            def test_it(case, checks): assert len(checks) == {"a": 0, "b": 1}[case.id]
            """,
        )
        project.run().assert_outcomes(passed=2)

    def test_a_schema_stands_beside_the_file_of_cases(self, project: Project) -> None:
        (project.path / "data").mkdir()
        write_cases(project, {"checks": {"matches_schema": "a.json"}}, name="data/cases.jsonl")
        project.write("data/a.json", "{}")
        in_file(
            project,
            """
            @pytest.mark.llm_cases("data/cases.jsonl")
            def test_it(checks): assert repr(checks) == "(matches_schema('data/a.json'),)"
            """,
        )
        project.run().assert_outcomes(passed=1)

    def test_a_line_without_the_field_says_where_it_stands(self, project: Project) -> None:
        write_cases(project, {"id": "a", "checks": {"contains": "x"}}, {"id": "b", "prompt": "Hi"})
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(case): assert case.checks
            """,
        )
        result = project.run()
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            ["E  *pytest_llmcheck.ConfigError: cases.jsonl:2: has no field 'checks'; it has id, prompt"]
        )
        result.stdout.no_fnmatch_line("*cases/case.py*")

    def test_a_field_of_that_name_may_be_something_else(self, project: Project) -> None:
        write_cases(project, {"prompt": "Hi", "checks": 3})
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(prompt, case): assert case["checks"] == 3
            """,
        )
        project.run().assert_outcomes(passed=1)


class TestTogether:
    def test_with_models_lengths_and_other_parameters(self, project: Project) -> None:
        project.declare("f16", "q4")
        write_cases(project, {"id": "a", "prompt": "one"}, {"id": "b", "prompt": "two"})
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            @pytest.mark.parametrize("word", ["x"])
            @pytest.mark.llm(n_ctx=[128, 256])
            def test_it(llm, prompt, word): assert llm.spec
            """,
        )
        result = project.run("-v", "--llm-model", "all")
        assert {*order(result)} == {
            f"test_it[{word}-{case}-{model}-{n_ctx}]"
            for word in "x"
            for case in "ab"
            for model in ("f16", "q4")
            for n_ctx in (128, 256)
        }
        result.assert_outcomes(passed=8)
        # One model after the other.
        models = [name.split("-")[2] for name in order(result)]
        assert models == sorted(models)
        assert {(line.test.partition("::")[2], line.model) for line in project.test_lines} == {
            (f"test_it[{word}-{case}-{n_ctx}]", model)
            for word in "x"
            for case in "ab"
            for model in ("f16", "q4")
            for n_ctx in (128, 256)
        }

    def test_baselines_stay_with_their_cases(self, project: Project) -> None:
        project.declare("f16")
        cases = [{"prompt": "one"}, {"id": "../what is/it?", "prompt": "two"}, {"id": "ä", "prompt": "three"}]
        write_cases(project, *cases)
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_it(llm, prompt, llm_snapshot): assert llm.chat(prompt, max_tokens=4) == llm_snapshot
            """,
        )
        first = project.run("--llm-update", "-v")
        first.assert_outcomes(passed=3)
        assert len(project.baselines) == 3
        assert all(name.isascii() and name.startswith("test_it/test_it[") for name in project.baselines)
        write_cases(project, {"prompt": "four"}, *reversed(cases))
        second = project.run("-v")
        assert set(order(first)) < set(order(second))
        assert second.parseoutcomes()["passed"] == 3

    def test_last_failed_and_keywords(self, project: Project) -> None:
        write_cases(project, *({"prompt": f"Question {n} about life"} for n in range(5)))
        project.write("test_it.py", ONE.replace('"Capital"', '("Question 1", "Question 3")'))
        project.run().assert_outcomes(passed=3, failed=3)
        write_cases(
            project, {"prompt": "A new one"}, *({"prompt": f"Question {n} about life"} for n in range(5))
        )
        result = project.run("--lf", "-v", "-k", "question_2 or question_3 or new")
        assert [name.rpartition("_")[0] for name in order(result)] == ["test_one[question_2_about_life"]

    def test_workers_agree_on_the_ids(self, project: Project) -> None:
        cases = [{"prompt": f"Capital {n}, {'ä' * n}", "n": n} for n in range(8)]
        write_cases(project, *cases, "broken")
        project.tests(ONE)
        result = project.run("-n2", "-v", using=("xdist",))
        result.assert_outcomes(passed=9, errors=1)
        alone = order(project.run("-v"))
        here = [line.rpartition("::")[2].strip() for line in result.outlines if "PASSED" in line]
        assert sorted(here) == sorted(set(alone) - {"test_one[line_9]"})

    def test_without_models(self, project: Project) -> None:
        project.declare("f16")
        write_cases(project, *CAPITALS)
        in_file(
            project,
            """
            @pytest.mark.llm_cases("cases.jsonl")
            def test_model(llm, prompt): llm.chat(prompt)

            @pytest.mark.llm_cases("cases.jsonl")
            def test_plain(prompt): pass
            """,
        )
        project.run("--llm-off").assert_outcomes(passed=2, skipped=2)
        project.run("-m", "not llm").assert_outcomes(passed=2, deselected=2)


def test_the_mark_is_documented_and_nothing_is_read_without_it(project: Project) -> None:
    result = project.run("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.llm_cases(path, id): run the test once for each case of *"])
    project.write(
        "conftest.py",
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    rooms = [name for name in sys.modules if 'pytest_llmcheck.case' in name]\n"
        "    print('ROOMS', rooms, file=sys.__stderr__)\n",
    )
    project.tests("def test_a(): pass\n")
    assert "ROOMS []" in project.run(apart=True).errlines
