"""Variables and a date that a model's declaration gives its template."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.errors import ConfigError, PromptError
from pytest_llmcheck.models import ModelSpec, read_gguf
from pytest_llmcheck.prompts import ChatTemplate, choose_template, template_of
from pytest_llmcheck.prompts.formats import format_source
from pytest_llmcheck.prompts.template import FIXED_DATE
from pytest_llmcheck.prompts.variables import model_variables, prompt_settings
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.models import GGUFHeader

ASKED = [{"role": "user", "content": "Hi"}]
DATED = "{{ strftime_now('%d %b %Y %H:%M') }}{{ enable_thinking }}"


def spec(**given: Any) -> ModelSpec:
    return ModelSpec(name="m", gguf="m.gguf", **given)


def head(folder: Path, templates: Any) -> GGUFHeader:
    return read_gguf(tiny_llama(folder / "m.gguf", chat_template=templates))


class TestDate:
    @pytest.mark.parametrize(
        ("given", "printed"),
        [
            (None, "26 Jul 2024 00:00"),
            (date(2025, 1, 31), "31 Jan 2025 00:00"),
            (datetime(2025, 1, 31, 9, 30), "31 Jan 2025 09:30"),
        ],
    )
    def test_what_the_template_prints(self, tmp_path: Path, given: date | None, printed: str) -> None:
        template = template_of(head(tmp_path, DATED), spec(date=given), tools=False)
        assert template.render(ASKED) == printed

    def test_the_fingerprint_has_it_where_it_is_printed(self, tmp_path: Path) -> None:
        template = template_of(head(tmp_path, DATED), spec(), tools=False)
        assert prompt_settings(spec(date=date(2025, 1, 31)), template) == {"date": "2025-01-31"}
        assert prompt_settings(spec(), template) == {}
        assert prompt_settings(spec(date=FIXED_DATE), template) == {}
        chatml = ChatTemplate(format_source("chatml"), bos_token=None, eos_token=None)
        assert prompt_settings(spec(date=date(2025, 1, 31)), chatml) == {}


class TestVariables:
    def test_what_a_template_reads_is_given(self, tmp_path: Path) -> None:
        found = head(tmp_path, DATED)
        declared = spec(template_variables={"enable_thinking": False})
        assert model_variables(found, declared, template_of(found, declared, tools=False)) == {
            "enable_thinking": False
        }

    def test_a_misspelt_one_is_an_error_with_a_hint(self, tmp_path: Path) -> None:
        found = head(tmp_path, DATED)
        declared = spec(template_variables={"enable_thinkin": False})
        with pytest.raises(ConfigError) as caught:
            model_variables(found, declared, template_of(found, declared, tools=False))
        assert str(caught.value) == (
            "template_variables.enable_thinkin of model 'm': its chat template never reads that: "
            "did you mean 'enable_thinking'?; correct the name or take it away "
            "(template_variables = {} drops inherited ones)"
        )

    def test_another_template_of_the_file_may_read_it(self, tmp_path: Path) -> None:
        """Tools are offered in some tests and not in others; the declaration is for both."""
        templates = [
            {"name": "default", "template": "plain"},
            {"name": "tool_use", "template": "{{ tool_style }}{{ tools }}"},
        ]
        found = head(tmp_path, templates)
        declared = spec(template_variables={"tool_style": "short"})
        template = template_of(found, declared, tools=False)
        assert template.source == "plain"
        assert model_variables(found, declared, template) == {"tool_style": "short"}
        assert prompt_settings(declared, template) == {}
        # With one template in place of all, nothing else will ever read it.
        overridden = spec(template_variables={"tool_style": "short"}, chat_template="chatml")
        with pytest.raises(ConfigError, match=r"template_variables\.tool_style of model 'm'"):
            model_variables(found, overridden, template_of(found, overridden, tools=False))

    def test_the_fingerprint_has_their_values(self) -> None:
        template = ChatTemplate("{{ a }}{{ b }}{{ c }}", bos_token=None, eos_token=None)
        declared = spec(template_variables={"a": False, "b": {"x": [1, "y"]}, "c": "one, two", "d": 1})
        found = prompt_settings(declared, template)
        assert found.keys() == {"template_variables.a", "template_variables.b", "template_variables.c"}
        assert found["template_variables.a"] == "false"
        assert found["template_variables.b"] == '{"x":[1,"y"]}'
        # Settings are listed with ", " between them.
        assert re.fullmatch("[0-9a-f]{12}", found["template_variables.c"])


class TestNames:
    FILE = {"default": "d", "rag": "r"}  # noqa: RUF012 - read only

    def test_a_template_of_the_file_by_its_name(self) -> None:
        assert choose_template(self.FILE, "rag", model="m", tools=False) == "r"

    def test_one_that_the_file_lacks(self) -> None:
        with pytest.raises(PromptError) as caught:
            choose_template(self.FILE, "tool_use", model="m", tools=False)
        assert str(caught.value) == (
            "model 'm' has no chat template 'tool_use' in its file, only: default, rag; "
            "correct chat_template, or take it away"
        )

    def test_a_format(self) -> None:
        assert choose_template(self.FILE, "chatml", model="m", tools=True) == format_source("chatml")
