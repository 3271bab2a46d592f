"""The audit of a run: once for each file and template, remembered, and silenced in the configuration."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.config import load_config
from pytest_llmcheck.engines.llama import words
from pytest_llmcheck.errors import ConfigError, EngineError
from pytest_llmcheck.models import ModelSpec, content_hash, read_gguf
from pytest_llmcheck.models.resolution import ResolvedModel
from pytest_llmcheck.prompts import renderer
from pytest_llmcheck.prompts.audit import IDS, KINDS
from pytest_llmcheck.session import audits
from tests.support.gguf_files import CHATML, tiny_llama

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.llama.words import Text, Words

DOCS = Path(__file__).parents[2] / "docs"


def resolved(path: Path, name: str = "q4", **given: object) -> ResolvedModel:
    spec = ModelSpec(name=name, gguf=str(path), **given)  # type: ignore[arg-type]  # each of its own type
    return ResolvedModel(spec, path, read_gguf(path), content_hash(path))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose vocabulary was read; the reading itself is real."""
    read: list[Path] = []

    def ask(path: Path, texts: Sequence[Text | str] = ()) -> Words:
        read.append(path)
        return real(path, texts)

    real = words.ask
    monkeypatch.setattr(words, "ask", ask)
    return read


class TestOnce:
    def test_remembered_by_file_and_template(self, tmp_path: Path, reads: list[Path]) -> None:
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        first = audits.audit_model(model, None, tmp_path / "cache")
        assert [finding.id for finding in first] == ["tools-unread"]
        assert audits.audit_model(model, model, tmp_path / "cache") == first
        assert reads == [model.path]
        own = tmp_path / "own.jinja"
        own.write_text(CHATML + "{{ tools }}", encoding="utf-8")
        other = resolved(model.path, chat_template=own)
        assert [f.id for f in audits.audit_model(other, None, tmp_path / "cache")] == []
        own.write_text(CHATML, encoding="utf-8")
        assert [f.id for f in audits.audit_model(other, None, tmp_path / "cache")] == ["tools-unread"]
        # The same text as the first one's, so it was known.
        assert len(reads) == 2

    def test_another_reference_is_another_question(self, tmp_path: Path, reads: list[Path]) -> None:
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        reference = resolved(tiny_llama(tmp_path / "other.gguf", chat_template=CHATML + " "), "f16")
        for _ in range(2):
            ids = [f.id for f in audits.audit_model(model, reference, tmp_path / "cache")]
            assert ids == ["template-differs", "tools-unread"]
        assert [f.id for f in audits.audit_model(model, None, tmp_path / "cache")] == ["tools-unread"]
        assert len(reads) == 2

    def test_what_is_ignored_is_not_forgotten(self, tmp_path: Path, reads: list[Path]) -> None:
        path = tiny_llama(tmp_path / "tiny.gguf")
        quiet = resolved(path, audit_ignore=("tools-unread",))
        assert audits.audit_model(quiet, None, tmp_path / "cache") == ()
        assert len(audits.audit_model(resolved(path), None, tmp_path / "cache")) == 1
        assert len(reads) == 1

    def test_a_damaged_entry_is_made_again(self, tmp_path: Path, reads: list[Path]) -> None:
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        first = audits.audit_model(model, None, tmp_path / "cache")
        (entry,) = (tmp_path / "cache" / "audits").glob("*.json")
        entry.write_bytes(entry.read_bytes()[:-5])
        assert audits.audit_model(model, None, tmp_path / "cache") == first
        assert len(reads) == 2

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file")
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        assert len(audits.audit_model(model, None, tmp_path / "cache")) == 1

    def test_who_comes_at_the_same_time_waits(self, tmp_path: Path, reads: list[Path]) -> None:
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        found: list[int] = []

        def look() -> None:
            found.append(len(audits.audit_model(model, None, tmp_path / "cache")))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [1, 1, 1, 1]
        assert len(reads) == 1

    def test_a_passing_trouble_is_not_remembered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        with monkeypatch.context() as patch:
            patch.setattr("pytest_llmcheck.engines.llama.words.SECONDS", 0.001)
            (finding, _) = audits.audit_model(model, None, tmp_path / "cache")
            assert finding.id == "vocabulary-unreadable"
            assert "within 0.001 s" in finding.explanation
        assert [f.id for f in audits.audit_model(model, None, tmp_path / "cache")] == ["tools-unread"]

    def test_a_renderer_that_was_stopped_is_not_remembered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = resolved(tiny_llama(tmp_path / "tiny.gguf"))
        with monkeypatch.context() as patch:
            renderer.RENDERER._end()
            patch.setattr(renderer, "_PROGRAM", "import os; os.abort()")
            (finding,) = audits.audit_model(model, None, tmp_path / "cache")
            assert finding.id == "template-broken"
            assert "was ended by SIGABRT" in finding.explanation
        assert [f.id for f in audits.audit_model(model, None, tmp_path / "cache")] == ["tools-unread"]


class TestConfiguration:
    def configure(self, folder: Path, text: str) -> dict[str, tuple[str, ...]]:
        (folder / "llmcheck.toml").write_text(text, encoding="utf-8")
        return {name: spec.audit_ignore for name, spec in load_config(folder).models.items()}

    def test_for_all_and_for_one(self, tmp_path: Path) -> None:
        assert self.configure(
            tmp_path,
            'reference = "a"\naudit_ignore = ["bos-added"]\n[models.a]\ngguf = "a.gguf"\n'
            '[models.b]\nfrom = "a"\naudit_ignore = ["double-bos"]\n[models.c]\nfrom = "b"\n'
            '[models.d]\nfrom = "b"\naudit_ignore = []\n',
        ) == {
            "a": ("bos-added",),
            "b": ("bos-added", "double-bos"),
            "c": ("bos-added", "double-bos"),
            "d": ("bos-added",),
        }

    def test_without_a_model_or_for_a_file(self, tmp_path: Path) -> None:
        assert self.configure(tmp_path, 'audit_ignore = ["bos-added"]\n') == {"demo": ("bos-added",)}
        config = load_config(tmp_path)
        assert not config.configured
        (spec,) = config.select(["some/file.gguf"])
        assert spec.audit_ignore == ("bos-added",)

    @pytest.mark.parametrize("place", ["audit_ignore", "models.a.audit_ignore"])
    def test_an_unknown_id(self, tmp_path: Path, place: str) -> None:
        line = 'audit_ignore = ["doubel-bos"]\n'
        top, own = (line, "") if place == "audit_ignore" else ("", line)
        with pytest.raises(ConfigError) as caught:
            self.configure(tmp_path, f'{top}[models.a]\ngguf = "a.gguf"\n{own}')
        assert str(caught.value).endswith(
            f"llmcheck.toml: {place}: no finding has the id 'doubel-bos'; did you mean 'double-bos'?"
        )


def test_the_page_lists_every_finding() -> None:
    """In the order of the code, each under its id, with its severity."""
    page = (DOCS / "audit.md").read_text(encoding="utf-8").partition("## Findings")[2]
    sections = [line.split("`")[1] for line in page.splitlines() if line.startswith("### `")]
    assert sections == [*IDS]
    severities = [
        line.rpartition(": ")[2] for line in page.splitlines() if line.startswith("### `") and ": " in line
    ]
    assert severities == [kind.severity for kind in KINDS.values()]


def test_engine_errors_are_findings(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "odd.gguf")
    path.write_bytes(path.read_bytes().replace(b"gpt2", b"gptX", 1))
    with pytest.raises(EngineError):
        words.ask(path)
    ids = [f.id for f in audits.audit_model(resolved(path), None, tmp_path / "cache")]
    assert ids == ["vocabulary-unreadable", "tools-unread"]
