"""What a model's declaration gives its chat template besides the messages: variables and a date."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.prompts.override import RENDERED
from pytest_llmcheck.prompts.template import FIXED_DATE, ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.models import GGUFHeader, ModelSpec

CLOCK = "strftime_now"
"""The function by which a template asks for the date."""

_SHOWN = 40


def model_variables(header: GGUFHeader, spec: ModelSpec, template: ChatTemplate) -> Mapping[str, Any]:
    """The variables of a model, checked against its templates.

    Args:
        header: of the model's file.
        spec: its declaration.
        template: the one that is used now. Another one in the file, such as ``tool_use``, may read a variable
            that this one does not.

    Raises:
        ConfigError: no template of the model reads one of them.
        PromptError: a template cannot be compiled.
    """
    given = spec.template_variables
    if not given or not (unused := template.unused(given)):
        return given
    if spec.template_on_trial:
        return {name: value for name, value in given.items() if name not in unused}
    if spec.chat_template is None:
        for source in header.chat_templates.values():
            unused = ChatTemplate(source, bos_token=None, eos_token=None).unused(unused)
    if unused:
        raise ConfigError(
            f"template_variables.{unused[0]} of model {spec.name!r}: its chat template never reads that: "
            f"{nearest(unused[0], template)}; correct the name or take it away (template_variables = {{}} "
            "drops inherited ones)"
        )
    return given


def readable(template: ChatTemplate) -> frozenset[str]:
    """The names that may be set in a template: what it reads, without what every prompt brings.

    Raises:
        PromptError: the template cannot be compiled.
    """
    return template.variables - RENDERED


def nearest(name: str, template: ChatTemplate) -> str:
    """A hint for a name that the template does not read: the one that may be meant, or all that there are.

    Raises:
        PromptError: the template cannot be compiled.
    """
    known = readable(template)
    return did_you_mean(name, known) if known else "it reads no variables"


def prompt_settings(spec: ModelSpec, template: ChatTemplate) -> dict[str, str]:
    """What decides a model's prompts besides the template, for its fingerprint: name to value in short.

    Only what the template reads counts: a date that nobody asks for makes no other model.
    """
    found = {
        f"template_variables.{name}": _short(value)
        for name, value in spec.template_variables.items()
        if name in template.variables
    }
    # The functions that every template has are not among its variables.
    if spec.date is not None and spec.date != FIXED_DATE and CLOCK in template.source:
        found["date"] = spec.date.isoformat()
    return found


def _short(value: Any) -> str:
    """A value as JSON, or the start of its hash where that is long or could not be told from two settings."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if len(text) <= _SHOWN and text.isprintable() and ", " not in text:
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:12]
