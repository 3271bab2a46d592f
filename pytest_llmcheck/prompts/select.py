"""Which of a model's chat templates is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.formats import format_source
from pytest_llmcheck.prompts.override import IN_FILES
from pytest_llmcheck.prompts.template import FIXED_DATE, ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_llmcheck.models import GGUFHeader, ModelSpec


def template_of(header: GGUFHeader, spec: ModelSpec, *, tools: bool) -> ChatTemplate:
    """The template that a model's prompts are rendered with.

    Args:
        header: of the model's file.
        spec: its declaration, which may override the template.
        tools: whether tools are offered.

    Raises:
        PromptError: as `choose_template`. The template is compiled when it is first rendered.
    """
    return ChatTemplate(
        choose_template(header.chat_templates, spec.chat_template, model=spec.name, tools=tools),
        bos_token=header.bos_token,
        eos_token=header.eos_token,
        special_tokens=header.special_tokens,
        date=FIXED_DATE if spec.date is None else spec.date,
        origin=f"the chat template of model {spec.name!r}",
    )


def choose_template(
    header_templates: Mapping[str, str], override: Path | str | None, *, model: str, tools: bool
) -> str:
    """The source of the chat template to render with, chosen as ``transformers`` chooses.

    Args:
        header_templates: the templates in the GGUF by name; the plain ``tokenizer.chat_template`` is
            ``default``, and ``tokenizer.chat_template.NAME`` is ``NAME``.
        override: what replaces all of them (``chat_template`` in the configuration): a jinja file, the name
            of one of these templates, or that of a known format.
        model: the model's name, for messages.
        tools: whether tools are given, if only an empty list; then ``tool_use`` is preferred.

    Raises:
        PromptError: there is none, none that fits, or the override cannot be read.
        ConfigError: the override is a name that is not known.
    """
    if isinstance(override, str):
        if override in header_templates:
            return header_templates[override]
        if override in IN_FILES:
            names = ", ".join(sorted(header_templates)) or "none"
            message = f"model {model!r} has no chat template {override!r} in its file, only: {names}"
            raise PromptError(f"{message}; correct chat_template, or take it away")
        return format_source(override)
    if override is not None:
        return _read(override, model)
    remedy = f'chat_template = "file.jinja" in [tool.llmcheck.models.{model}]'
    if not header_templates:
        message = (
            f"model {model!r} has no chat template in its file, as is usual for a base model: "
            f"use an instruct model, or set {remedy}"
        )
        raise PromptError(message)
    if tools and "tool_use" in header_templates:
        return header_templates["tool_use"]
    if "default" not in header_templates:
        names = ", ".join(sorted(header_templates))
        message = f"model {model!r} has no default chat template, only: {names}; set {remedy}"
        raise PromptError(message)
    return header_templates["default"]


def _read(file: Path, model: str) -> str:
    setting = f"chat_template of model {model!r}: {file}"
    try:
        # A byte order mark would become the first character of every prompt.
        source = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"{setting}: cannot be read: {error.strerror}; the path is relative to the declaring file"
        raise PromptError(message) from None
    except UnicodeDecodeError as error:
        message = f"{setting}: not UTF-8 (byte {error.start}), so no jinja template; correct the path"
        raise PromptError(message) from None
    if not source.strip():
        message = f"{setting}: the file is empty, so every prompt would be"
        raise PromptError(message)
    return source
