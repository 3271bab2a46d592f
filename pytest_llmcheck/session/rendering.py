"""From what a test hands over to the prompt of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.errors import ConfigError, PromptError, did_you_mean
from pytest_llmcheck.prompts import ChatTemplate, normalise, template_of, with_system
from pytest_llmcheck.session.arguments import ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.models import ResolvedModel
    from pytest_llmcheck.prompts import Messages


class Rendered(NamedTuple):
    """A rendered prompt.

    Attributes:
        text: as the model sees it.
        template: what made it.
    """

    text: str
    template: ChatTemplate


class Prompts:
    """Renders messages with the chat template of a model."""

    def __init__(self, model: ResolvedModel) -> None:
        self._model = model
        self._templates: dict[bool, ChatTemplate] = {}

    def template(self, *, tools: bool) -> ChatTemplate:
        """The model's template, or the one that it has for tools."""
        found = self._templates.get(tools)
        if found is None:
            found = template_of(self._model.header, self._model.spec, tools=tools)
            self._templates[tools] = found
        return found

    def render(
        self,
        messages: Messages,
        system: str | None,
        tools: Sequence[dict[str, Any]] | None,
        variables: dict[str, Any],
    ) -> Rendered:
        """The text, and the template that made it.

        Args:
            messages: as for `LLM.chat`.
            system: the system prompt; None takes that of the messages, else that of the model.
            tools: definitions for the template.
            variables: what else the template reads.

        Raises:
            ConfigError: a variable that the template never reads.
            PromptError: the messages make no prompt, or the template never reads tools.
        """
        spec = self._model.spec
        template = self.template(tools=bool(tools))
        if unused := template.unused(variables):
            name = unused[0]
            hint = did_you_mean(name, [*ARGUMENTS, *template.variables])
            raise ConfigError(
                f"{name!r} is neither an argument of chat nor a variable of the chat template of model "
                f"{spec.name!r}: {hint}"
            )
        if tools and "tools" not in template.variables:
            raise PromptError(
                f"the chat template of model {spec.name!r} never reads `tools`: the model would not see "
                "them. Use a model that was trained with tools, or describe them in the system prompt"
            )
        conversation = normalise(messages)
        if system is not None:
            conversation = with_system(conversation, system)
        elif spec.system is not None and not any(m["role"] == "system" for m in conversation):
            conversation = with_system(conversation, spec.system)
        return Rendered(template.render(conversation, tools=tools, **variables), template)
