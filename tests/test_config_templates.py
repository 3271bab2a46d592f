"""Keys of a model that decide its prompts: chat_template, template_variables, date, content_tokens."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.config import load_config, with_template
from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, lines: str, *more: str) -> dict[str, ModelSpec]:
    tables = [f'[models.base]\ngguf = "base.gguf"\n{lines}\n', *more]
    (folder / "llmcheck.toml").write_text('reference = "base"\n' + "".join(tables), encoding="utf-8")
    return load_config(folder).models


def problem(folder: Path, lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, lines)
    return str(caught.value).removeprefix(f"{folder / 'llmcheck.toml'}: models.base.")


class TestChatTemplate:
    @pytest.mark.parametrize(
        ("text", "file"),
        [
            ("own.jinja", "own.jinja"),
            ("./chatml", "chatml"),
            ("templates/own", "templates/own"),
            ("chatml.txt", "chatml.txt"),
            ("/somewhere/own", "/somewhere/own"),
        ],
    )
    def test_a_separator_or_a_suffix_makes_a_file(self, tmp_path: Path, text: str, file: str) -> None:
        assert read(tmp_path, f'chat_template = "{text}"')["base"].chat_template == tmp_path / file

    def test_a_backslash_is_a_separator(self, tmp_path: Path) -> None:
        found = read(tmp_path, "chat_template = 'templates\\own'")["base"].chat_template
        assert found == tmp_path / "templates\\own"

    def test_the_home_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        assert str(read(tmp_path, 'chat_template = "~/own"')["base"].chat_template) == "/home/me/own"

    def test_the_home_folder_of_nobody(self, tmp_path: Path) -> None:
        assert "'~no such user/own': there is no such home directory" in problem(
            tmp_path, 'chat_template = "~no such user/own"'
        )

    @pytest.mark.parametrize(
        ("text", "name"),
        [("chatml", "chatml"), ("ChatML", "chatml"), ("llama3", "llama-3"), ("mistral", "mistral-v3")],
    )
    def test_else_it_is_a_format(self, tmp_path: Path, text: str, name: str) -> None:
        assert read(tmp_path, f'chat_template = "{text}"')["base"].chat_template == name

    @pytest.mark.parametrize("name", ["default", "tool_use", "rag"])
    def test_or_a_template_in_the_file(self, tmp_path: Path, name: str) -> None:
        assert read(tmp_path, f'chat_template = "{name}"')["base"].chat_template == name

    def test_an_unknown_name(self, tmp_path: Path) -> None:
        assert problem(tmp_path, 'chat_template = "chat-ml"') == (
            "chat_template: 'chat-ml' is no known chat format: did you mean 'chatml'?; "
            "for a file without a suffix write './chat-ml'"
        )

    def test_a_version_is_no_suffix(self, tmp_path: Path) -> None:
        assert "'granite-4.0' is no known chat format: did you mean 'granite'?" in problem(
            tmp_path, 'chat_template = "granite-4.0"'
        )


class TestWithTemplate:
    """What `--llm-template` does to the active models."""

    MODELS = (ModelSpec(name="a", gguf="a.gguf", chat_template="gemma"), ModelSpec(name="b", gguf="b.gguf"))

    def test_all_models_get_it(self, tmp_path: Path) -> None:
        assert [spec.chat_template for spec in with_template(self.MODELS, "chatml", tmp_path)] == [
            "chatml"
        ] * 2

    def test_a_file_is_relative_to_the_working_directory(self, tmp_path: Path) -> None:
        (tmp_path / "own.jinja").write_text("{{ messages }}", encoding="utf-8")
        (spec, _) = with_template(self.MODELS, "own.jinja", tmp_path)
        assert spec.chat_template == tmp_path / "own.jinja"

    def test_a_missing_file_is_told_before_any_test(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            with_template(self.MODELS, "own.jinja", tmp_path)
        assert str(caught.value) == (
            f"--llm-template: {tmp_path}/own.jinja is no file; correct the path, or name a known format"
        )

    def test_an_unknown_name(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"^--llm-template: 'chatmll' is no .* did you mean 'chatml'"):
            with_template(self.MODELS, "chatmll", tmp_path)


class TestVariables:
    def test_values_may_be_nested(self, tmp_path: Path) -> None:
        table = (
            "[models.base.template_variables]\nenable_thinking = false\ndate_string = '26 Jul 2024'\n"
            "documents = [{title = 'Rooms', text = 'Twelve.'}]\n"
        )
        assert read(tmp_path, "", table)["base"].template_variables == {
            "enable_thinking": False,
            "date_string": "26 Jul 2024",
            "documents": [{"title": "Rooms", "text": "Twelve."}],
        }

    def test_they_are_inherited_and_replaced_whole(self, tmp_path: Path) -> None:
        models = read(
            tmp_path,
            "template_variables = {enable_thinking = false, x = 1}",
            '[models.same]\nfrom = "base"\n',
            '[models.other]\nfrom = "base"\ntemplate_variables = {x = 2}\n',
            '[models.none]\nfrom = "other"\ntemplate_variables = {}\n',
        )
        assert [models[name].template_variables for name in ("same", "other", "none")] == [
            {"enable_thinking": False, "x": 1},
            {"x": 2},
            {},
        ]

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ("template_variables = 1", "template_variables: expected a table, got 1"),
            (
                "template_variables = {messages = []}",
                "template_variables.messages: every prompt brings its own; take this one away",
            ),
            (
                "template_variables = {today = 2025-01-31}",
                "template_variables.today: a template takes texts, numbers, lists and tables; "
                "put quotes around 2025-01-31",
            ),
            (
                "template_variables = {a = [{b = 07:30:00}]}",
                "template_variables.a[0].b: a template takes texts, numbers, lists and tables; "
                "put quotes around 07:30:00",
            ),
            ("template_variables = {x = nan}", "template_variables.x: expected a finite number, got nan"),
        ],
    )
    def test_what_a_template_cannot_be_given(self, tmp_path: Path, lines: str, expected: str) -> None:
        assert problem(tmp_path, lines) == expected

    def test_a_name_with_a_dot_is_still_told_apart(self, tmp_path: Path) -> None:
        """`[models.qwen2.5]` is a table "5" in a table "qwen2"; the tables that a model may have are not."""
        (tmp_path / "llmcheck.toml").write_text('[models.qwen2.5]\ngguf = "a.gguf"\n', encoding="utf-8")
        with pytest.raises(ConfigError, match="unknown table; a name with a dot needs quotes"):
            load_config(tmp_path)

    def test_a_spec_can_be_hashed(self, tmp_path: Path) -> None:
        models = read(tmp_path, "template_variables = {x = [1]}")
        assert hash(models["base"]) == hash(load_config(tmp_path).models["base"])


class TestDate:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("2025-01-31", date(2025, 1, 31)),
            ("2025-01-31T09:30:00", datetime(2025, 1, 31, 9, 30)),
            ("2025-01-31T09:30:00Z", datetime(2025, 1, 31, 9, 30, tzinfo=UTC)),
        ],
    )
    def test_a_date_or_a_moment(self, tmp_path: Path, text: str, value: date) -> None:
        assert read(tmp_path, f"date = {text}")["base"].date == value

    @pytest.mark.parametrize(("text", "shown"), [("'2025-01-31'", "'2025-01-31'"), ("2025", "2025")])
    def test_nothing_else(self, tmp_path: Path, text: str, shown: str) -> None:
        assert problem(tmp_path, f"date = {text}") == (
            f"date: expected a date without quotes (2025-01-31), got {shown}"
        )

    def test_it_is_inherited(self, tmp_path: Path) -> None:
        models = read(tmp_path, "date = 2025-01-31", '[models.q4]\nfrom = "base"\n')
        assert models["q4"].date == date(2025, 1, 31)


class TestContentTokens:
    def test_special_unless_told_otherwise(self, tmp_path: Path) -> None:
        models = read(tmp_path, "", '[models.plain]\nfrom = "base"\ncontent_tokens = "plain"\n')
        assert [spec.content_tokens for spec in models.values()] == ["special", "plain"]

    def test_nothing_else(self, tmp_path: Path) -> None:
        assert problem(tmp_path, 'content_tokens = "text"') == (
            "content_tokens: expected one of 'special', 'plain', got 'text'"
        )
