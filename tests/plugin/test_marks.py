"""`@pytest.mark.llm(...)`: what it sets, where it applies, and how mistakes in it are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.projects import order

if TYPE_CHECKING:
    from tests.support.projects import Project


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4", "q2")


def test_what_it_sets(project: Project) -> None:
    project.tests(
        "import pytest\n"
        "@pytest.mark.llm(system='Be brief.', max_tokens=2, n_ctx=256)\n"
        "def test_a(llm):\n"
        "    reply = llm.chat('one')\n"
        "    assert 'system\\nBe brief.' in reply.prompt.text\n"
        "    assert reply.fingerprint.max_tokens == 2 >= len(reply.tokens)\n"
        "    assert dict(reply.fingerprint.settings)['n_ctx'] == '256'\n"
        "    assert 'Be brief.' in llm.render('one').text\n"
        "@pytest.mark.llm(system='Be brief.', max_tokens=2)\n"
        "def test_call_wins(llm):\n"
        "    reply = llm.chat('one', system='Be kind.', max_tokens=3)\n"
        "    assert 'Be kind.' in reply.prompt.text\n"
        "    assert 'Be brief.' not in reply.prompt.text\n"
        "    assert reply.fingerprint.max_tokens == 3 >= len(reply.tokens)\n"
        "def test_without(llm):\n"
        "    reply = llm.chat('one')\n"
        "    assert 'system' not in reply.prompt.text\n"
        "    assert dict(reply.fingerprint.settings)['n_ctx'] == '512'\n"
    )
    project.run().assert_outcomes(passed=3)


def test_the_closest_mark_wins_keyword_by_keyword(project: Project) -> None:
    project.tests(
        "import pytest\n"
        "pytestmark = pytest.mark.llm(system='module', max_tokens=2)\n"
        "def seen(llm):\n"
        "    reply = llm.chat('one')\n"
        "    system = next(w for w in ('module', 'class', 'test') if w in reply.prompt.text)\n"
        "    return system, reply.fingerprint.max_tokens\n"
        "def test_module(llm): assert seen(llm) == ('module', 2)\n"
        "@pytest.mark.llm(system='class')\n"
        "class TestA:\n"
        "    def test_class(self, llm): assert seen(llm) == ('class', 2)\n"
        "    @pytest.mark.llm(max_tokens=3)\n"
        "    def test_both(self, llm): assert seen(llm) == ('class', 3)\n"
        "    @pytest.mark.llm(system='class', max_tokens=4)\n"
        "    @pytest.mark.llm(system='test')\n"
        "    def test_own(self, llm): assert seen(llm) == ('test', 4)\n"
        "@pytest.mark.parametrize('n', [3, pytest.param(5, marks=pytest.mark.llm(max_tokens=5))])\n"
        "@pytest.mark.llm(max_tokens=3)\n"
        "def test_param(n, llm): assert seen(llm) == ('module', n)\n"
    )
    project.run().assert_outcomes(passed=6)


@pytest.mark.parametrize("first", ["marked", "plain"])
def test_a_modules_fixture_asks_with_the_modules_marks_whichever_test_comes_first(
    project: Project, first: str
) -> None:
    tests = {
        "marked": "@pytest.mark.llm(system='test')\ndef test_marked(reply, llm):\n"
        "    assert seen(reply) == ['module']\n    assert seen(llm.chat('one')) == ['test']\n",
        "plain": "def test_plain(reply, llm):\n"
        "    assert seen(reply) == ['module']\n    assert seen(llm.chat('one')) == ['module']\n",
    }
    head = (
        "import pytest\n"
        "pytestmark = pytest.mark.llm(system='module')\n"
        "def seen(reply): return [w for w in ('module', 'test') if w in reply.prompt.text]\n"
        "@pytest.fixture(scope='module')\n"
        "def reply(llm): return llm.chat('one')\n"
    )
    second = next(name for name in tests if name != first)
    project.tests(head + tests[first] + tests[second])
    result = project.run("-v")
    assert order(result) == [f"test_{first}", f"test_{second}"]
    result.assert_outcomes(passed=2)


def test_fixtures_of_the_session_the_class_and_the_test(project: Project) -> None:
    project.tests(
        "import pytest\n"
        "pytestmark = pytest.mark.llm(max_tokens=2)\n"
        "@pytest.fixture(scope='session')\n"
        "def of_session(llm): return llm.chat('one').fingerprint.max_tokens\n"
        "@pytest.fixture(scope='class')\n"
        "def of_class(llm): return llm.chat('one').fingerprint.max_tokens\n"
        "@pytest.fixture\n"
        "def of_test(llm): return llm.chat('one').fingerprint.max_tokens\n"
        "@pytest.mark.llm(max_tokens=3)\n"
        "class TestA:\n"
        "    @pytest.mark.llm(max_tokens=4)\n"
        "    def test_a(self, of_session, of_class, of_test, llm):\n"
        "        assert (of_session, of_class, of_test) == (60, 3, 4)\n"
        "        assert llm.chat('one').fingerprint.max_tokens == 4\n"
    )
    project.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("sistem='x'", "has an unknown keyword 'sistem': did you mean 'system'?"),
        ("tokens=3", "has an unknown keyword 'tokens': did you mean 'max_tokens'?"),
        ("zzz=3", "has an unknown keyword 'zzz': known: max_tokens, models, n_ctx, system"),
        ("'gpt'", "takes keywords only (system, max_tokens, n_ctx, models), got ('gpt',)"),
        ("max_tokens='9'", ": max_tokens takes a whole number, got '9'"),
        ("n_ctx='9'", ": n_ctx takes a whole number, or a list of some, got '9'"),
        ("system=3, max_tokens=2", ": system takes a text, got 3"),
        ("n_ctx=8", ": n_ctx must be at least 16, got 8"),
        ("models=['q44']", "(models=...) of test_it.py::test_bad: no model 'q44': did you mean 'q4'?"),
    ],
)
@pytest.mark.parametrize("active", ["f16", "f16,q4"])
def test_a_mistake_errors_that_test_alone(
    project: Project, hosts: list[str], mark: str, says: str, active: str
) -> None:
    project.tests(
        f"import pytest\n@pytest.mark.llm({mark})\ndef test_bad(llm): pass\n"
        "@pytest.mark.llm\ndef test_good(llm): pass\n"
    )
    result = project.run("-v", "--llm-model", active)
    count = active.count(",") + 1
    result.assert_outcomes(errors=1 if "models" in mark else count, passed=count)
    told = [line for line in result.outlines if line.startswith("@pytest.mark.llm")]
    assert told[0].endswith(says)
    assert "test_it.py::test_bad" in told[0]
    result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
    assert hosts == []


class TestModels:
    SOURCE = (
        "import pytest\n"
        "@pytest.mark.llm(models=['f16', 'q4'])\n"
        "def test_two(llm): assert llm.spec.name in ('f16', 'q4')\n"
        "@pytest.mark.llm(models='q4')\n"
        "def test_one(llm): assert llm.spec.name == 'q4'\n"
        "def test_all(llm): pass\n"
    )

    def test_of_several_only_those(self, project: Project) -> None:
        project.tests(self.SOURCE)
        result = project.run("-v", "--llm-model", "all")
        assert sorted(order(result)) == sorted(
            ["test_two[f16]", "test_two[q4]", "test_one[q4]", "test_all[f16]", "test_all[q4]", "test_all[q2]"]
        )
        result.assert_outcomes(passed=6)

    def test_the_only_one_is_not_among_them(self, project: Project) -> None:
        project.tests(self.SOURCE)
        result = project.run("-v", "-rs", "--llm-model", "q2")
        result.assert_outcomes(passed=1, skipped=2)
        result.stdout.fnmatch_lines(
            [
                "SKIPPED [[]1] *: for models f16, q4; active is q2",
                "SKIPPED [[]1] *: for models q4; active is q2",
            ]
        )

    def test_none_of_several_is_among_them(self, project: Project) -> None:
        project.tests(self.SOURCE)
        result = project.run("-v", "-rs", "--llm-model", "f16,q2")
        assert sorted(order(result)) == ["test_all[f16]", "test_all[q2]", "test_one", "test_two[f16]"]
        result.assert_outcomes(passed=3, skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED [[]1] *: for models q4; active are f16, q2"])

    def test_a_file_named_on_the_command_line_can_be_among_them(self, project: Project) -> None:
        project.declare("f16")
        project.tests("import pytest\n@pytest.mark.llm(models=['q4'])\ndef test_one(llm): pass\n")
        project.run("--llm-model", str(project.models / "q4.gguf")).assert_outcomes(passed=1)
