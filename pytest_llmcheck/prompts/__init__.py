"""From messages to the text that a model sees. jinja2 is imported when a template is first used."""

from pytest_llmcheck.prompts.messages import Messages, normalise, with_system
from pytest_llmcheck.prompts.select import choose_template, template_of
from pytest_llmcheck.prompts.template import ChatTemplate

__all__ = ["ChatTemplate", "Messages", "choose_template", "normalise", "template_of", "with_system"]
