"""Reasoning models, from the file to the run record: what they think is apart from what they answer."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.projects import errors
from tests.support.steered import PLAIN, steered_llama

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.projects import Project

THINKS = PLAIN + "{# #}{{ '' if true else '<think></think>' }}"
"""The template knows the markers, and leaves it to the model to open the thought."""

OPENS = (
    "{% for m in messages %}{{ m.role }}|{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}><think>{% if no_thinking %}</think>{% endif %}{% endif %}"
)
"""The template opens the thought itself, or closes it at once."""

MARKERS = ("<think>", "</think>")


@pytest.fixture(scope="module")
def thinkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that say exactly this; markers are control tokens of theirs where they are in `extra`."""
    folder = tmp_path_factory.mktemp("thinkers")
    said = {
        "control": ("<think>Hm!</think>\n\nYes.", THINKS),
        "endless": ("<think>Hm!", THINKS),
        "quits": ("<think>Hm!", THINKS),
        "answers": ("Yes.", THINKS),
    }
    for name, (text, template) in said.items():
        # No character may occur twice: one line break is enough.
        text = text.replace("\n\n", "\n")
        steered_llama(
            folder / f"{name}.gguf", text, extra=MARKERS, chat_template=template, endless=name == "endless"
        )
    return folder


def test_markers_that_are_control_tokens(project: Project, thinkers: Path) -> None:
    project.declare(control=thinkers / "control.gguf")
    project.tests(
        dedent("""
        from pytest_llmcheck import contains, thought

        def test_it(llm):
            reply = llm.chat("Is it so?")
            assert (reply.thinking, reply.text, reply.finish_reason) == ("Hm!", "Yes.", "stop")
            assert [token.text for token in reply.tokens[:2]] == ["<think>", "H"]
            reply.expect(contains("Yes"), thought(contains("Hm")))
        """)
    )
    # The second run is answered by the reply cache.
    for cached in (False, True):
        project.run("--llm-cache", "on").assert_outcomes(passed=1)
        (line,) = project.test_lines
        (reply,) = line.replies
        assert (reply.thinking, reply.text, reply.cached) == ("Hm!", "Yes.", cached)
        for record in project.records:
            record.unlink()


def test_a_snapshot_holds_the_answer_alone(project: Project, thinkers: Path) -> None:
    project.declare(control=thinkers / "control.gguf")
    project.tests("def test_it(llm, llm_snapshot):\n    assert llm.chat('So?') == llm_snapshot\n")
    project.run("--llm-update").assert_outcomes(passed=1)
    (name,) = project.baselines
    baseline = (project.path / "__llmcheck__" / name).read_text(encoding="utf-8")
    assert baseline.endswith("Yes.") or baseline.endswith("Yes.\n")
    assert "Hm!" not in baseline
    project.run().assert_outcomes(passed=1)


def test_a_thought_that_was_cut(project: Project, thinkers: Path) -> None:
    project.declare(endless=thinkers / "endless.gguf")
    project.tests(
        dedent("""
        from pytest_llmcheck import contains

        def test_it(llm):
            reply = llm.chat("So?", max_tokens=6)
            assert (reply.text, reply.finish_reason) == ("", "length")
            assert reply.thinking.startswith("Hm!")
            reply.expect(contains("Yes"))
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    told = "\n".join(errors(result))
    assert "it was cut at max_tokens before its thinking came to an answer" in told
    assert "thinking: 'Hm!" in told


def test_a_reply_that_ends_inside_its_thought(project: Project, thinkers: Path) -> None:
    project.declare(quits=thinkers / "quits.gguf")
    project.tests(
        dedent("""
        def test_it(llm):
            reply = llm.chat("So?")
            assert (reply.thinking, reply.text, reply.finish_reason) == ("Hm!", "", "thought")
            reply.expect()
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "it ended inside the thought, without an answer" in "\n".join(errors(result))
    (line,) = project.test_lines
    assert line.replies[0].finish_reason == "thought"


def test_a_model_that_does_not_think_this_time(project: Project, thinkers: Path) -> None:
    project.declare(answers=thinkers / "answers.gguf")
    project.tests(
        dedent("""
        from pytest_llmcheck import contains, thought

        def test_it(llm):
            reply = llm.chat("So?")
            assert (reply.thinking, reply.text, reply.finish_reason) == (None, "Yes.", "stop")
            reply.expect(thought(contains("Hm")))
        """)
    )
    project.run().assert_outcomes(skipped=1)
    (line,) = project.test_lines
    assert line.replies[0].thinking is None


def test_a_grammar_that_thinks(project: Project) -> None:
    """The markers are ordinary text here, and the model is random: the grammar says all."""
    project.declare("f16")
    project.write("think.jinja", OPENS)
    text = (project.path / "pyproject.toml").read_text(encoding="utf-8")
    project.write("pyproject.toml", text + 'chat_template = "think.jinja"\n')
    project.tests(
        dedent("""
        import pytest

        @pytest.mark.parametrize(("grammar", "told"), [
            ("<think>abc</think>\\\\n\\\\nanswer", ("abc", "answer", "stop")),
            ("abc</think>answer", ("abc", "answer", "stop")),
            ("<think>abc", ("abc", "", "thought")),
            ("answer", (None, "answer", "stop")),
        ])
        def test_it(llm, grammar, told):
            reply = llm.chat("So?", constrain=f'root ::= "{grammar}"')
            assert (reply.thinking, reply.text, reply.finish_reason) == told
            assert reply.prompt.text.endswith("<think>")

        def test_json_holds_no_thought(llm):
            reply = llm.chat("So?", constrain={"const": "a</think>b"})
            assert (reply.thinking, reply.json()) == (None, "a</think>b")

        def test_free(llm):
            reply = llm.chat("So?", max_tokens=3)
            assert (reply.text, reply.finish_reason in ("length", "thought")) == ("", True)
            reply = llm.chat("So?", max_tokens=3, no_thinking=True)
            assert reply.thinking is None
        """)
    )
    project.run("-v").assert_outcomes(passed=6)
