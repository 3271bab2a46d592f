"""From what a test hands over to the prompt of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.errors import ConfigError, PromptError, did_you_mean
from pytest_llmcheck.prompts import ChatTemplate, normalise, template_of, with_system
from pytest_llmcheck.prompts.forged import ControlTexts, control_texts, forged_in, hide
from pytest_llmcheck.prompts.variables import model_variables
from pytest_llmcheck.session.arguments import ARGUMENTS

if TYPE_CHECKING:
    from pytest_llmcheck.models import ResolvedModel
    from pytest_llmcheck.models.spec import ContentTokens
    from pytest_llmcheck.prompts import Messages
    from pytest_llmcheck.prompts.forged import Spans


class Rendered(NamedTuple):
    """A rendered prompt.

    Attributes:
        text: as the model sees it.
        template: what made it.
        messages: what it was made of, the system prompt among them.
        tools: definitions, as given.
        variables: what else the template was given.
        forged: control tokens in what users and tools say, each once.
        plain: where in `text` they are letters only, in characters.
    """

    text: str
    template: ChatTemplate
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None
    variables: Mapping[str, Any]
    forged: tuple[str, ...] = ()
    plain: Spans = ()

    def says(self, text: str) -> bool:
        """Whether what the template was given holds this text."""
        return holds((self.messages, self.tools, self.variables), text)


def holds(given: object, text: str) -> bool:
    """Whether a text stands in one of the texts in lists and mappings, however deep."""
    if isinstance(given, str):
        return text in given
    if isinstance(given, Mapping):
        return any(holds(key, text) or holds(value, text) for key, value in given.items())
    return isinstance(given, Sequence) and any(holds(item, text) for item in given)


class Prompts:
    """Renders messages with the chat template of a model."""

    def __init__(self, model: ResolvedModel) -> None:
        self._model = model
        self._templates: dict[bool, ChatTemplate] = {}
        header = model.header
        self.control = ControlTexts(lambda: control_texts(header))

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
        content_tokens: ContentTokens | None = None,
    ) -> Rendered:
        """The text, and the template that made it.

        Args:
            messages: as for `LLM.chat`.
            system: the system prompt; None takes that of the messages, else that of the model.
            tools: definitions for the template.
            variables: what else the template reads; they win over those of the model.
            content_tokens: how control tokens in what users and tools say are taken; None as the model says.

        Raises:
            ConfigError: a variable, of the call or of the model, that the template never reads.
            PromptError: the messages make no prompt, or the template never reads tools.
        """
        spec = self._model.spec
        # An empty list counts as tools, as in transformers.
        template = self.template(tools=tools is not None)
        if "messages" in variables:
            raise ConfigError("'messages' is no variable of a chat template: give them as the first argument")
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
        variables = {**model_variables(self._model.header, spec, template), **variables}
        conversation = normalise(messages, template_source=template.source)
        if system is not None:
            conversation = with_system(conversation, system)
        elif spec.system is not None and not any(m["role"] == "system" for m in conversation):
            conversation = with_system(conversation, spec.system)
        forged = forged_in(conversation, self.control)
        text = template.render(conversation, tools=tools, **variables)
        # What a reply is judged by later, whatever the test does with its list until then.
        given = None if tools is None else deepcopy(tools)
        if not forged or (content_tokens or spec.content_tokens) == "special":
            return Rendered(text, template, conversation, given, variables, forged)
        hidden = hide(conversation, self.control)
        text, plain = hidden.reveal(template.render(hidden.messages, tools=tools, **variables), text)
        return Rendered(text, template, conversation, given, variables, forged, plain)
