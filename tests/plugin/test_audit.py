"""The audit of a run: once per model, before its first prompt, told at its end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gguf_files import CHATML, tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.projects import Project

MUTE = (
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ASKS = "def test_one(llm): llm.chat('x', max_tokens=2)\n\ndef test_two(llm): llm.chat('y', max_tokens=2)\n"


@pytest.fixture
def mute(tmp_path: Path) -> Path:
    """A model whose template says nothing of system messages."""
    return tiny_llama(tmp_path / "mute.gguf", chat_template=MUTE, seed=6)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Command lines of the programs that read a vocabulary for a run in this process."""
    started: list[str] = []

    class Counting(subprocess.Popen[bytes]):
        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            if any(str(part).endswith("llama.words") for part in args):
                started.append(" ".join(map(str, args)))
            super().__init__(args, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", Counting)
    return started


def test_a_finding_is_told_once_and_fails_nothing(project: Project, mute: Path, readings: list[str]) -> None:
    project.declare("f16", mute=mute)
    project.tests(ASKS)
    result = project.run("--llm-model", "f16,mute")
    result.assert_outcomes(passed=4)
    told = [line for line in result.outlines if "model 'mute': warning" in line]
    assert len([line for line in told if "system-dropped" in line]) == 1
    assert len([line for line in told if "template-differs" in line]) == 1
    assert not any("model 'f16': " in line for line in result.outlines)
    assert "audit_ignore" in told[0]
    first = len(readings)
    assert first >= 1
    # Remembered: a later run reads no vocabulary, and tells the same.
    again = project.run("--llm-model", "f16,mute")
    assert len(readings) == first
    assert [line for line in again.outlines if "model 'mute': warning" in line] == told


def test_silenced_by_id(project: Project, mute: Path) -> None:
    project.declare("f16", top="audit_ignore = ['system-dropped']", mute=mute)
    project.tests(ASKS)
    result = project.run("--llm-model", "mute")
    result.assert_outcomes(passed=2)
    assert not any("warning system-dropped" in line for line in result.outlines)


def test_workers_tell_it_once(project: Project, mute: Path) -> None:
    project.declare(mute=mute)
    project.tests(ASKS)
    result = project.run("-n", "2", using=("xdist",))
    result.assert_outcomes(passed=2)
    assert len([line for line in result.outlines if "warning system-dropped" in line]) == 1


def test_a_run_that_asks_nothing_audits_nothing(project: Project, mute: Path, readings: list[str]) -> None:
    project.declare(mute=mute)
    project.tests("def test_spec(llm): assert llm.spec.name == 'mute'\n")
    project.run().assert_outcomes(passed=1)
    assert readings == []


def test_the_sound_model_is_told_nothing(project: Project, tmp_path: Path) -> None:
    project.declare(sound=tiny_llama(tmp_path / "sound.gguf", chat_template=CHATML, seed=6))
    project.tests(ASKS)
    result = project.run()
    result.assert_outcomes(passed=2)
    assert not any(word in line for line in result.outlines for word in ("warning", "audit"))


def test_another_template_than_the_baselines(project: Project) -> None:
    """Said although the prompts and the replies are the same; once, and not where it is ignored."""
    project.declare("f16")
    project.tests(
        "def test_one(llm, llm_snapshot): assert llm.chat('one') == llm_snapshot\n\n"
        "def test_no(llm, llm_snapshot): assert llm.chat('no') == llm_snapshot\n"
    )
    first = project.run("--llm-update")
    first.assert_outcomes(passed=2)
    assert "template-differs" not in first.stdout.str()
    assert "template-differs" not in project.run().stdout.str()
    project.write("same.jinja", "{# the same, said otherwise #}" + CHATML)
    result = project.run("--llm-template=same.jinja")
    assert result.parseoutcomes().get("failed", 0) == 0
    told = [line for line in result.outlines if "model 'f16': warning template-differs" in line]
    assert len(told) == 1
    assert "is not that of the baselines" in told[0]
    project.declare("f16", top="audit_ignore = ['template-differs']")
    assert "template-differs" not in project.run("--llm-template=same.jinja").stdout.str()
