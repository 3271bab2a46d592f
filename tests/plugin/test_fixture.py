"""The fixture `llm`: how long it lives, and how it lives beside what users call `llm` themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.projects import order

if TYPE_CHECKING:
    from tests.support.projects import Project


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare("f16", "q4")


class TestScope:
    def test_a_module_builds_one_reply_for_several_tests(self, project: Project) -> None:
        project.tests(
            "import pytest\n"
            "@pytest.fixture(scope='module')\n"
            "def reply(llm):\n"
            "    return llm.chat('one')\n"
            "def test_a(reply): assert reply.text\n"
            "def test_b(reply): assert reply.fingerprint.model in ('f16', 'q4')\n"
            "class TestC:\n"
            "    def test_c(self, reply): assert reply.finish_reason == 'stop'\n"
        )
        result = project.run("-v")
        result.assert_outcomes(passed=3)
        assert order(result) == ["test_a", "test_b", "TestC::test_c"]
        assert project.tests_asked() == {"test_a": 1, "test_b": 0, "TestC::test_c": 0}

    def test_once_for_each_model(self, project: Project) -> None:
        project.tests(
            "import pytest\n"
            "@pytest.fixture(scope='session')\n"
            "def reply(llm):\n"
            "    return llm.chat('one')\n"
            "def test_a(reply, llm): assert reply.fingerprint.model == llm.spec.name\n"
            "def test_b(reply, llm): assert reply.fingerprint.model == llm.spec.name\n"
        )
        project.run("--llm-model", "all").assert_outcomes(passed=4)
        assert project.tests_asked() == {"test_a[f16]": 1, "test_b[f16]": 0, "test_a[q4]": 1, "test_b[q4]": 0}

    def test_handles_can_be_used_by_threads(self, project: Project) -> None:
        project.tests(
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def test_a(llm):\n"
            "    with ThreadPoolExecutor(4) as threads:\n"
            "        replies = list(threads.map(llm.chat, ['one', 'no', 'x'] * 4))\n"
            "    assert [r.text for r in replies[:3]] * 4 == [r.text for r in replies]\n"
            "    assert len({r.text for r in replies}) == 3\n"
        )
        project.run().assert_outcomes(passed=1)
        assert project.tests_asked() == {"test_a": 12}

    def test_llms_gives_any_declared_model(self, project: Project) -> None:
        project.tests(
            "def test_a(llms):\n"
            "    assert list(llms) == ['f16', 'q4']\n"
            "    assert llms['f16'].chat('one').text != llms['q4'].chat('one').text\n"
            "def test_unknown(llms):\n"
            "    llms['q44']\n"
        )
        result = project.run("-v", "--llm-model", "all")
        assert order(result) == ["test_a", "test_unknown"]
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["E *ConfigError: no model is called 'q44': did you mean 'q4'?"])
        result.stdout.no_fnmatch_line("*session/run.py*")

    def test_mistakes_in_a_call_show_the_users_line_alone(self, project: Project) -> None:
        project.tests(
            "def test_a(llm):\n    llm.chat('one', max_token=3)\n"
            "def test_b(llm):\n    llm.chat('one', max_tokens=0)\n"
            "def test_c(llm):\n    llm.chat('one', temperature=-1)\n"
            "def test_d(llm):\n    llm.chat([{'role': 'user'}])\n"
            "def test_e(llm):\n    llm.render('one', sistem='x')\n"
            "def test_f(llm):\n    llm.chat('word ' * 9000)\n"
            "def test_g(llm):\n    llm.chat_many(['one'], messages='two')\n"
        )
        result = project.run()
        result.assert_outcomes(failed=7)
        result.stdout.fnmatch_lines(
            [
                "E *ConfigError: 'max_token' is neither an argument of chat nor a variable of the "
                "chat template of model 'f16': did you mean 'max_tokens'?",
                "test_it.py:2: ConfigError",
                "E *PromptError: max_tokens must be at least 1, got 0",
                "test_it.py:4: PromptError",
                "E *ConfigError: temperature must be at least 0, got -1",
                "test_it.py:6: ConfigError",
                "test_it.py:8: PromptError",
                "test_it.py:10: ConfigError",
                "test_it.py:12: PromptError",
                "E *ConfigError: 'messages' is no variable of a chat template: give them *",
                "test_it.py:14: ConfigError",
            ]
        )
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")


class TestUsersOwn:
    def test_a_fixture_of_the_user_is_untouched(self, project: Project, hosts: list[str]) -> None:
        project.write(
            "conftest.py",
            "import pytest\n@pytest.fixture\ndef llm(): return 'mine'\n",
        )
        project.tests("def test_a(llm): assert llm == 'mine'\n")
        result = project.run("-v", "--llm-model", "all")
        assert order(result) == ["test_a"]
        result.assert_outcomes(passed=1)
        result = project.run("-m", "llm")
        result.assert_outcomes(deselected=1)
        assert (hosts, project.records) == ([], [])

    def test_a_fixture_of_the_user_may_wrap_ours(self, project: Project) -> None:
        project.write(
            "conftest.py",
            "import pytest\n"
            "@pytest.fixture(scope='module')\n"
            "def llm(llm):\n"
            "    return lambda text: llm.chat(text, system='Be brief.')\n",
        )
        project.tests(
            "def test_a(llm):\n"
            "    reply = llm('one')\n"
            "    assert 'Be brief.' in reply.prompt.text\n"
            "    print('from', reply.fingerprint.model)\n"
        )
        result = project.run("-v", "-s", "--llm-model", "all")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["*test_a?f16? from f16", "*test_a?q4? from q4"])

    def test_parametrize_replaces_it(self, project: Project, hosts: list[str]) -> None:
        project.tests(
            "import pytest\n"
            "@pytest.mark.parametrize('llm', ['a', 'b'])\n"
            "def test_a(llm): assert llm in 'ab'\n"
            "@pytest.mark.parametrize('llm', ['a', 'b'])\n"
            "class TestB:\n"
            "    def test_b(self, llm): assert llm in 'ab'\n"
        )
        result = project.run("-v", "--llm-model", "all")
        assert order(result) == ["test_a[a]", "test_a[b]", "TestB::test_b[a]", "TestB::test_b[b]"]
        result.assert_outcomes(passed=4)
        assert hosts == []

    def test_so_does_a_hook_that_parametrizes(self, project: Project, hosts: list[str]) -> None:
        project.write(
            "conftest.py",
            "def pytest_generate_tests(metafunc):\n"
            "    if 'llm' in metafunc.fixturenames:\n"
            "        metafunc.parametrize('llm', ['a', 'b'])\n",
        )
        project.tests("def test_a(llm): assert llm in 'ab'\n")
        result = project.run("-v")
        assert order(result) == ["test_a[a]", "test_a[b]"]
        result.assert_outcomes(passed=2)
        assert order(project.run("-v", "-m", "llm")) == []
        assert hosts == []

    def test_indirect_parameters_of_a_wrapping_fixture(self, project: Project) -> None:
        project.write(
            "conftest.py",
            "import pytest\n"
            "@pytest.fixture\n"
            "def llm(request, llm):\n"
            "    return lambda: llm.chat('one', system=request.param)\n",
        )
        project.tests(
            "import pytest\n"
            "@pytest.mark.parametrize('llm', ['Be brief.', 'Be kind.'], indirect=True, ids=['a', 'b'])\n"
            "def test_a(llm): assert 'Be ' in llm().prompt.text\n"
        )
        result = project.run("-v", "--llm-model", "all")
        result.assert_outcomes(passed=4)
        assert order(result) == [f"test_a[{how}-{m}]" for m in ("f16", "q4") for how in "ab"]

    def test_an_option_of_the_user_called_llm(self, project: Project) -> None:
        project.write(
            "conftest.py", "def pytest_addoption(parser): parser.addoption('--llm', default='none')\n"
        )
        project.tests("def test_a(pytestconfig): assert pytestconfig.getoption('--llm') == 'gpt'\n")
        project.run("--llm", "gpt").assert_outcomes(passed=1)
        project.run("--llm=gpt").assert_outcomes(passed=1)


class TestMarkAsTag:
    TAGGED = (
        "import pytest\n"
        "@pytest.mark.llm\n"
        "def test_tag(): pass\n"
        "@pytest.mark.llm('gpt', modle='x', flaky=True)\n"
        "def test_words(): pass\n"
        "def test_plain(): pass\n"
    )

    def test_a_bare_mark_is_a_tag_without_our_fixture(self, project: Project, hosts: list[str]) -> None:
        project.tests(self.TAGGED)
        result = project.run("-v", "--strict-markers")
        result.assert_outcomes(passed=3)
        assert order(project.run("-v", "-m", "llm")) == ["test_tag", "test_words"]
        assert order(project.run("-v", "-m", "not llm")) == ["test_plain"]
        assert (hosts, project.records) == ([], [])

    def test_tests_with_our_fixture_carry_it_by_themselves(self, project: Project, hosts: list[str]) -> None:
        project.tests(
            "import pytest\n"
            "@pytest.fixture\n"
            "def reply(llm): return llm.chat('one')\n"
            "def test_direct(llm): assert llm\n"
            "def test_through(reply): assert reply\n"
            "def test_both(llms): assert llms\n"
            "def test_plain(): pass\n"
        )
        result = project.run("-v", "-m", "not llm")
        assert order(result) == ["test_plain"]
        result.assert_outcomes(passed=1, deselected=3)
        assert (hosts, project.records) == ([], [])
        result = project.run("-v", "-m", "llm", "--strict-markers")
        assert order(result) == ["test_direct", "test_through", "test_both"]

    def test_pytest_explains_the_mark(self, project: Project) -> None:
        project.run("--markers").stdout.fnmatch_lines(
            ["@pytest.mark.llm(system, max_tokens, n_ctx, models): *"]
        )


class TestNotMultipliable:
    UNITTEST = (
        "import unittest, pytest\n"
        "class TestTicket(unittest.TestCase):\n"
        "    @pytest.fixture(autouse=True)\n"
        "    def _llm(self, llm): self.llm = llm\n"
        "    def test_a(self): self.assertTrue(self.llm.chat('one').text)\n"
        "    def test_b(self): self.llm.chat('one')\n"
    )
    DYNAMIC = (
        "def test_a(request): assert request.getfixturevalue('llm').chat('one').text\n"
        "def test_b(request): request.getfixturevalue('llm').chat('one')\n"
    )

    @pytest.mark.parametrize("source", [UNITTEST, DYNAMIC])
    def test_with_one_model_they_work(self, project: Project, source: str) -> None:
        project.tests(source)
        project.run("--llm-model", "q4").assert_outcomes(passed=2)
        assert list(project.tests_asked().values()) == [1, 1]

    @pytest.mark.parametrize(("source", "outcome"), [(UNITTEST, "errors"), (DYNAMIC, "failed")])
    def test_with_several_the_error_names_the_way_out(
        self, project: Project, hosts: list[str], source: str, outcome: str
    ) -> None:
        project.tests(source)
        result = project.run("--llm-model", "all")
        assert result.parseoutcomes() == {outcome: 2}
        says = (
            "this test cannot be run once for each of the active models (f16, q4): unittest classes and "
            'getfixturevalue("llm") cannot be multiplied. Take `llm` as an argument of a test function, use '
            'llms["name"], or select one model with --llm-model'
        )
        assert result.outlines.count(says) == 2
        result.stdout.no_fnmatch_line("*plugin.py*")
        assert hosts == []

    def test_unittest_is_skipped_with_llm_off(self, project: Project) -> None:
        project.tests(self.UNITTEST)
        result = project.run("--llm-off", "-rs")
        result.assert_outcomes(skipped=2)
        result.stdout.fnmatch_lines(["SKIPPED *needs a model (--llm-off)"])
