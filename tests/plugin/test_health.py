"""The health of every reply, as a project meets it: what fails, how it is left out, what is added."""

from __future__ import annotations

from textwrap import dedent
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pluggy
import pytest

from pytest_llmcheck import contains, finished, hookspecs, no_commas
from pytest_llmcheck.checks import HEALTH
from pytest_llmcheck.checks.health import Finished
from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.health import health_checks
from tests.support.steered import steered_llama

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.projects import Project

POLITE = """
from dataclasses import dataclass

from pytest_llmcheck import Status, Verdict


@dataclass(frozen=True)
class Polite:
    name = "polite"

    def __call__(self, reply):
        said = "please" in reply.text
        return Verdict(Status.PASSED if said else Status.FAILED, "polite()", "expected a 'please'")


def pytest_llmcheck_health_checks(config):
    return [Polite()]
"""


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that loop, and that write a control token into their answer."""
    folder = tmp_path_factory.mktemp("sick")
    steered_llama(folder / "loops.gguf", "Ha! ", endless=True)
    steered_llama(folder / "leaks.gguf", "Yes.<x>no", extra=["<x>"])
    return folder


def test_a_loop_fails_and_says_which(project: Project, sick: Path) -> None:
    project.declare(loops=sick / "loops.gguf")
    project.tests("def test_it(llm):\n    llm.chat('Is it so?', max_tokens=120).expect()\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       pytest_llmcheck.CheckFailed: 2 checks failed on loops, *",
            "E         finished(): expected the model to end its reply, but it was cut at max_tokens: *",
            "E         no_repetition(): expected a reply that goes on; got a loop: 'Ha!' 30 times in a row, "
            "from line 1, column 1 to the end",
            "E           Ha! Ha! Ha! Ha! Ha! Ha! Ha! Ha",
            "E           ^",
            "E           the last time it was begun by 'H' 1.00, *",
        ]
    )


def test_a_control_token_that_the_text_does_not_show(project: Project, sick: Path) -> None:
    project.declare(leaks=sick / "leaks.gguf")
    project.tests(
        dedent("""
        def test_it(llm):
            reply = llm.chat("Is it so?")
            assert reply.text == "Yes.no"
            reply.expect()

        def test_that_talks_of_it(llm):
            # As letters it is free where the messages have it; the token itself never is.
            llm.chat("Say <x>?").expect(without=["no_control_tokens"])
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E         no_control_tokens(): expected no control tokens in the reply; got '<x>', at line 1, "
            "column 5",
            "E           Yes.<x>no",
            "E               ^",
            "E           written by '<x>' 1.00, *",
        ]
    )


class TestLeftOut:
    def test_for_one_call(self, project: Project, sick: Path) -> None:
        project.declare(loops=sick / "loops.gguf")
        project.tests(
            "def test_it(llm):\n"
            "    llm.chat('Is it so?', max_tokens=120).expect(without=['finished', 'repetition'])\n"
        )
        project.run().assert_outcomes(passed=1)

    @pytest.mark.parametrize("inherited", [False, True])
    def test_for_a_model(self, project: Project, sick: Path, inherited: bool) -> None:
        project.write(
            "llmcheck.toml",
            f"reference = 'one'\ndefault = ['two']\n[models.one]\ngguf = '{sick / 'loops.gguf'}'\n"
            + ("without = ['repetition', 'finished']\n[models.two]\nfrom = 'one'\n" if inherited else "")
            + ("" if inherited else "[models.two]\nfrom = 'one'\nwithout = ['repetition', 'finished']\n"),
        )
        project.tests("def test_it(llm):\n    llm.chat('Is it so?', max_tokens=120).expect()\n")
        project.run().assert_outcomes(passed=1)

    def test_for_all_models(self, project: Project, sick: Path) -> None:
        project.declare("f16", top="without = ['repetition', 'finished']", loops=sick / "loops.gguf")
        project.tests("def test_it(llms):\n    llms['loops'].chat('Is it so?', max_tokens=120).expect()\n")
        project.run().assert_outcomes(passed=1)

    def test_an_unknown_name_stops_the_run(self, project: Project) -> None:
        project.declare("f16", top="without = ['repetitions']")
        project.tests("def test_it(llm):\n    pass\n")
        assert project.run().errlines[:1] == [
            f"ERROR: {project.path / 'pyproject.toml'}: tool.llmcheck.without: no health check has the name "
            "'repetitions'; did you mean 'repetition'?"
        ]


class TestAdded:
    def test_fails_and_is_left_out(self, project: Project) -> None:
        project.declare("f16")
        project.write("conftest.py", POLITE)
        project.tests(
            dedent("""
            def test_it(llm):
                llm.chat("one").expect()

            def test_without(llm):
                llm.chat("one").expect(without=["polite"])
            """)
        )
        result = project.run()
        result.assert_outcomes(failed=1, passed=1)
        result.stdout.fnmatch_lines("E         polite(): expected a 'please'")

    def test_with_workers(self, project: Project) -> None:
        project.declare("f16")
        project.write("conftest.py", POLITE)
        project.tests(
            "import pytest\n"
            "@pytest.mark.parametrize('without', [[], ['polite']])\n"
            "def test_it(llm, without):\n"
            "    llm.chat('one').expect(without=without)\n"
        )
        result = project.run("-n2", using=("xdist",))
        result.assert_outcomes(failed=1, passed=1)

    def test_left_out_by_the_settings(self, project: Project) -> None:
        project.declare("f16", top="without = ['polite']")
        project.write("conftest.py", POLITE)
        project.tests("def test_it(llm):\n    llm.chat('one').expect()\n")
        project.run().assert_outcomes(passed=1)

    def test_nonsense_is_said_once(self, project: Project) -> None:
        project.declare("f16")
        project.write("conftest.py", POLITE.replace("return [Polite()]", "return 7"))
        project.tests("def test_it(llm):\n    pass\n")
        result = project.run("-n2", using=("xdist",))
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert list(filter(None, result.errlines)) == [
            f"ERROR: pytest_llmcheck_health_checks of {project.path / 'conftest.py'} returned 7; it must "
            "return a list of checks"
        ]

    def test_what_the_hook_raises_is_one_line(self, project: Project) -> None:
        project.declare("f16")
        project.write("conftest.py", POLITE.replace("return [Polite()]", "return {}['a']"))
        project.tests("def test_it(llm):\n    pass\n")
        result = project.run()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        where, line = project.path / "conftest.py", POLITE.count("\n")
        assert list(filter(None, result.errlines)) == [
            f"ERROR: pytest_llmcheck_health_checks of {where} raised KeyError: 'a' ({where}:{line})"
        ]

    def test_a_project_without_models_is_not_stopped(self, project: Project) -> None:
        project.write("conftest.py", POLITE.replace("return [Polite()]", "return 7"))
        project.tests("def test_it():\n    pass\n")
        project.run().assert_outcomes(passed=1)


class Returns:
    """A plugin whose hook returns this."""

    def __init__(self, value: object) -> None:
        self.value = value

    @pytest.hookimpl
    def pytest_llmcheck_health_checks(self, config: object) -> object:
        return self.value


def collected(*returned: object) -> list[str]:
    """Names of all health checks, where plugins return these; by pluggy itself, without a run."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    for number, value in enumerate(returned):
        manager.register(Returns(value), f"plugin{number}")
    config: Any = SimpleNamespace(pluginmanager=manager)
    return [check.name for check in health_checks(config)]


class TestCollected:
    def test_ours_come_first(self) -> None:
        ours = [check.name for check in HEALTH]
        assert collected() == collected(None, []) == ours
        # The plugin that came last is called first, as pluggy does it.
        assert collected([contains("a")], [no_commas()]) == [*ours, "no_commas", "contains"]

    @pytest.mark.parametrize(
        ("returned", "told"),
        [
            ("polite", " returned 'polite'; it must return a list of checks"),
            (7, " returned 7; it must return a list of checks"),
            (
                [len],
                ": it takes checks such as contains('refund'), got a function: write @check('len') above it",
            ),
            (
                [finished],
                ": it takes checks such as contains('refund'), got a function: write finished()",
            ),
            (
                [Finished],
                ": it takes checks such as contains('refund'), got <class "
                "'pytest_llmcheck.checks.health.Finished'>",
            ),
        ],
    )
    def test_nonsense_names_the_plugin(self, returned: object, told: str) -> None:
        with pytest.raises(ConfigError) as caught:
            collected([], returned)
        assert str(caught.value) == f"pytest_llmcheck_health_checks of plugin1{told}"

    @pytest.mark.parametrize(
        ("returned", "told"),
        [
            ([[finished()]], "plugin0: the name 'finished' is taken by pytest-llmcheck"),
            ([[contains("a"), contains("b")]], "plugin0: the name 'contains' is taken by plugin0"),
            ([[contains("a")], [contains("b")]], "plugin0: the name 'contains' is taken by plugin1"),
        ],
    )
    def test_a_name_that_is_taken(self, returned: list[object], told: str) -> None:
        with pytest.raises(ConfigError) as caught:
            collected(*returned)
        hook = "pytest_llmcheck_health_checks of "
        assert str(caught.value) == f"{hook}{told}; give the check another one"
