"""`--llm-template`: the chat template itself on trial, and what of a model's declaration its prompts show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import errors

if TYPE_CHECKING:
    from tests.support.projects import Project

SEEN = (
    "def test_x(llm):\n"
    "    reply = llm.chat('one', max_tokens=4)\n"
    "    print('PROMPT', llm.spec.name, repr(reply.prompt.text))\n"
)
OWN = "own: {{ messages[-1]['content'] }}"


def prompts(result: pytest.RunResult) -> list[str]:
    return [line[7:] for line in result.outlines if line.startswith("PROMPT ")]


class TestOption:
    def test_a_name_for_all_active_models(self, project: Project) -> None:
        project.declare("f16", "q4")
        project.tests(SEEN)
        result = project.run("-rP", "--llm-model", "all", "--llm-template", "alpaca")
        result.assert_outcomes(passed=2)
        said = prompts(result)
        assert [line.partition(" ")[0] for line in said] == ["f16", "q4"]
        assert all("### Instruction:\\none\\n\\n### Response:\\n" in line for line in said)
        result.stdout.fnmatch_lines(
            ["llmcheck: f16 (reference, f16.gguf, chat template alpaca), q4 (q4.gguf, *"]
        )

    def test_a_file_relative_to_the_working_directory(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.declare("f16")
        project.tests(SEEN)
        folder = project.pytester.mkdir("sub")
        (folder / "own.jinja").write_text(OWN, encoding="utf-8")
        monkeypatch.chdir(folder)
        result = project.run(
            "-rP", "--rootdir", str(project.path), "--llm-template", "own.jinja", str(project.path)
        )
        result.assert_outcomes(passed=1)
        assert prompts(result) == ["f16 'own: one'"]

    def test_a_path_that_moves_the_rootdir_is_told(
        self, project: Project, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Before plugins are known, pytest takes the path behind their options for a place of tests."""
        project.declare("f16")
        project.tests(SEEN)
        own = tmp_path_factory.mktemp("elsewhere") / "own.jinja"
        own.write_text(OWN, encoding="utf-8")
        result = project.run("--llm-template", str(own), apart=True)
        result.stdout.fnmatch_lines(
            ["llmcheck: the models declared in * are not read, *--llm-template=FILE*"]
        )
        result = project.run("-rP", f"--llm-template={own}", apart=True)
        result.assert_outcomes(passed=1)
        assert prompts(result) == ["f16 'own: one'"]

    def test_an_empty_one_is_no_template(self, project: Project) -> None:
        project.declare("f16")
        project.tests(SEEN)
        result = project.run("--llm-template", "")
        result.stderr.fnmatch_lines(
            "*--llm-template is empty: give a jinja file or the name of a known format"
        )

    def test_variables_of_the_own_template_are_left_out(self, project: Project) -> None:
        project.write("declared.jinja", "{{ tone }}")
        project.write(
            "pyproject.toml",
            f"[tool.llmcheck.models.f16]\ngguf = '{project.models / 'f16.gguf'}'\n"
            "chat_template = 'declared.jinja'\ntemplate_variables = {tone = 'dry'}\n",
        )
        project.write("own.jinja", OWN)
        project.tests(SEEN)
        assert prompts(project.run("-rP")) == ["f16 'dry'"]
        assert prompts(project.run("-rP", "--llm-template=own.jinja")) == ["f16 'own: one'"]

    def test_it_wins_over_a_declared_one(self, project: Project) -> None:
        project.write("declared.jinja", "declared")
        project.declare(top="")
        project.write(
            "pyproject.toml",
            f"[tool.llmcheck.models.f16]\ngguf = '{project.models / 'f16.gguf'}'\n"
            "chat_template = 'declared.jinja'\n",
        )
        project.write("own.jinja", OWN)
        project.tests(SEEN)
        assert prompts(project.run("-rP")) == ["f16 'declared'"]
        assert prompts(project.run("-rP", "--llm-template", "own.jinja")) == ["f16 'own: one'"]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("chatmll", "--llm-template: 'chatmll' is no known chat format: did you mean 'chatml'?"),
            ("own.jinja", "own.jinja is no file; correct the path, or name a known format"),
        ],
    )
    def test_what_is_not_there_is_one_message(self, project: Project, given: str, said: str) -> None:
        project.declare("f16", "q4")
        project.tests(SEEN)
        result = project.run("--llm-template", given, "--llm-model", "all")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = (line for line in (*result.outlines, *result.errlines) if "--llm-template" in line)
        assert said in line

    def test_with_workers(self, project: Project) -> None:
        project.declare("f16")
        project.write("own.jinja", OWN)
        project.tests(SEEN + SEEN.replace("test_x", "test_y"))
        result = project.run("-rP", "-n", "2", "--llm-template", "own.jinja", using=("xdist",), apart=True)
        result.assert_outcomes(passed=2)
        assert prompts(result) == ["f16 'own: one'"] * 2

    def test_the_reply_cache_knows_the_difference(self, project: Project) -> None:
        project.declare("f16")
        project.write("own.jinja", OWN)
        project.tests(
            "def test_x(llm):\n    print('PROMPT', llm.chat('one', max_tokens=4, seed=11).cached)\n"
        )
        own = ("-rP", "--llm-cache", "on", "--llm-template", "own.jinja")
        assert prompts(project.run(*own)) == ["False"]
        assert prompts(project.run("-rP", "--llm-cache", "refresh")) == ["False"]
        assert prompts(project.run(*own)) == ["True"]
        assert prompts(project.run("-rP", "--llm-cache", "on")) == ["True"]

    def test_that_the_template_changed_is_said_first(self, project: Project) -> None:
        project.declare("f16", "q4")
        project.write("own.jinja", OWN)
        project.tests(
            "def test_a(llm, llm_snapshot):\n"
            "    assert llm.chat('one', max_tokens=8) == llm_snapshot(compare='text')\n"
        )
        project.run("--llm-update").assert_outcomes(passed=1)
        front = (project.path / "__llmcheck__/test_it/test_a.md").read_text()
        assert re.search(r"^template: [0-9a-f]{64}$", front, re.MULTILINE)
        assert re.search(r"^prompt_tokens: [0-9a-f]{64}$", front, re.MULTILINE)

        result = project.run("--llm-template", "own.jinja")
        result.assert_outcomes(failed=1)
        assert re.fullmatch(r"cause: the chat template changed \(\w{6} -> \w{6}\)", errors(result)[1])
        assert errors(result)[-1] == (
            'to keep this template: set chat_template = "own.jinja" for f16 and record all with --llm-update'
        )
        # A file with other weights and another template: the template is the first suspect.
        result = project.run("--llm-model", "q4", "--llm-template", "own.jinja")
        result.assert_outcomes(failed=1)
        assert re.fullmatch(
            r"the chat template changed \(\w{6} -> \w{6}\), and weights differ too: not separated; "
            r"give 'q4' the chat_template of 'f16' and run again to separate them",
            errors(result)[1],
        )

    def test_a_candidate_whose_template_changed_is_undecided_with_that_reason(self, project: Project) -> None:
        project.declare("f16", "q4")
        project.write("own.jinja", OWN)
        project.tests(
            "def test_a(llm, llm_snapshot):\n    assert llm.chat('one', max_tokens=8) == llm_snapshot\n"
        )
        project.run("--llm-update").assert_outcomes(passed=1)
        result = project.run("-rs", "--llm-model", "q4", "--llm-template", "own.jinja")
        result.stdout.fnmatch_lines(
            ["SKIPPED *: not applicable: *: the chat template changed (* -> *), and weights differ too; *"]
        )


class TestDeclared:
    """Variables and the date of a model."""

    def declare(self, project: Project, lines: str) -> None:
        project.write(
            "pyproject.toml",
            f"[tool.llmcheck]\nmax_tokens = 4\n[tool.llmcheck.models.f16]\n"
            f"gguf = '{project.models / 'f16.gguf'}'\nchat_template = 'own.jinja'\n{lines}\n",
        )

    @pytest.fixture(autouse=True)
    def _template(self, project: Project) -> None:
        project.write(
            "own.jinja",
            "{{ strftime_now('%d %b %Y') }} {{ mood | default('none') }} {{ messages[-1]['content'] }}",
        )

    def test_they_reach_the_prompt_and_a_call_wins(self, project: Project) -> None:
        self.declare(project, "date = 2025-01-31\ntemplate_variables = {mood = 'calm'}")
        project.tests(
            "def test_x(llm):\n"
            "    print('PROMPT', llm.render('one').text)\n"
            "    print('PROMPT', llm.render('one', mood='wild').text)\n"
        )
        assert prompts(project.run("-rP")) == ["31 Jan 2025 calm one", "31 Jan 2025 wild one"]

    def test_one_that_is_never_read_fails_the_test_plainly(self, project: Project) -> None:
        self.declare(project, "template_variables = {mod = 'calm'}")
        project.tests("def test_x(llm):\n    llm.chat('one')\n")
        result = project.run()
        result.assert_outcomes(failed=1)
        said = " ".join(errors(result))
        assert "template_variables.mod of model 'f16': its chat template never reads that" in said
        assert "did you mean 'mood'?" in said

    @pytest.mark.parametrize(
        ("before", "after", "cause"),
        [
            ("", "date = 2025-01-31", "date unset -> 2025-01-31"),
            (
                "template_variables = {mood = 'calm'}",
                "template_variables = {mood = 'wild'}",
                'template_variables.mood "calm" -> "wild"',
            ),
        ],
    )
    def test_a_change_is_the_cause(self, project: Project, before: str, after: str, cause: str) -> None:
        project.tests(
            "def test_a(llm, llm_snapshot):\n"
            "    assert llm.chat('one', max_tokens=8) == llm_snapshot(compare='text')\n"
        )
        self.declare(project, before)
        project.run("--llm-update").assert_outcomes(passed=1)
        self.declare(project, after)
        result = project.run()
        result.assert_outcomes(failed=1)
        assert errors(result)[1] == f"cause: the settings changed ({cause})"
