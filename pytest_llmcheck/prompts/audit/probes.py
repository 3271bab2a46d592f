"""Conversations that show what a template does, rendered, and the texts to be tokenised for the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.select import template_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.models import GGUFHeader, ModelSpec
    from pytest_llmcheck.prompts.template import ChatTemplate

SYSTEM = "You like the word kumquat."
QUESTION = "Which word do you like?"
NEXT_QUESTION = "And which other word?"
# What templates have been seen to mangle: line breaks, markup, quotes, double spaces.
ANSWER = 'First: rambutan.\n\nThen: "durian" & <b>jackfruit</b>,  both.'
THOUGHT = "They want a word for a fruit."
CONCLUSION = "The word is tamarind."
TOOL_NAME = "weigh_platypus"
TOOL = {
    "type": "function",
    "function": {
        "name": TOOL_NAME,
        "description": "Weigh the platypus in a river.",
        "parameters": {
            "type": "object",
            "properties": {"river": {"type": "string", "description": "Name of the river."}},
            "required": ["river"],
        },
    },
}

_USER = {"role": "user", "content": QUESTION}
_REPLY = {"role": "assistant", "content": ANSWER}
_AGAIN = {"role": "user", "content": NEXT_QUESTION}
_THOUGHTFUL = {"role": "assistant", "content": f"<think>\n{THOUGHT}\n</think>\n\n{CONCLUSION}"}

_PROBES: dict[str, tuple[list[dict[str, str]], bool]] = {
    # name: (messages, whether the assistant is to answer)
    "user": ([_USER], True),
    "system": ([{"role": "system", "content": SYSTEM}, _USER], True),
    "history": ([_USER, _REPLY, _AGAIN], True),
    "thought": ([_USER, _THOUGHTFUL, _AGAIN], True),
    "closed": ([_USER, _REPLY], False),
}

CONTROL_LIKE = re.compile(
    r"<\|[^\s<>|]{1,40}\|>"  # ChatML, Llama 3, Phi, ...
    r"|<｜[^\s<>｜]{1,40}｜>"  # noqa: RUF001 - DeepSeek writes them with fullwidth bars
    r"|<\|[a-z_]{1,40}>|<[a-z_]{1,40}\|>"  # Gemma 4
    r"|<(?:start|end)_of_turn>|</?s>|<(?:bos|eos|pad|unk)>"
)
"""Text that has the look of a control token."""


class Rendered(NamedTuple):
    """What a template made of a conversation: a text, or the reason why there is none."""

    text: str | None
    error: str = ""
    hostile: bool = False
    passing: bool = False


@dataclass(frozen=True)
class Prompts:
    """A model's template and what it makes of the probes.

    Attributes:
        missing: why there is no template; empty where there is one.
        overridden: whether the declaration names one that replaces what is in the file.
        sha256: of its source; empty where there is none.
        reads_tools: whether the template that is used with tools reads them.
        rendered: by probe: ``user``, ``system``, ``history``, ``thought``, ``closed``, ``tools``.
    """

    missing: str = ""
    overridden: bool = False
    sha256: str = ""
    reads_tools: bool = False
    rendered: Mapping[str, Rendered] = field(default_factory=dict)

    def text(self, probe: str) -> str:
        """What a probe became; empty where it could not be rendered."""
        return self.rendered.get(probe, Rendered(None)).text or ""

    @property
    def lasting(self) -> bool:
        """Whether the same would come of another try: the machine was no trouble."""
        return not any(rendered.passing for rendered in self.rendered.values())

    @property
    def prompt(self) -> str:
        """The simplest prompt: one question."""
        return self.text("user")

    @property
    def control_like(self) -> tuple[str, ...]:
        """What looks like a control token in any of the prompts, sorted."""
        return tuple(
            sorted({mark for probe in self.rendered for mark in CONTROL_LIKE.findall(self.text(probe))})
        )

    @property
    def endings(self) -> tuple[str, ...]:
        """What the template writes after an assistant's words: before a next question, and at the end."""
        history = self.text("history").partition(ANSWER)[2].partition(NEXT_QUESTION)[0]
        closed = self.text("closed").partition(ANSWER)[2]
        return tuple(ending for ending in (history, closed) if ending)

    @property
    def parts(self) -> tuple[str, ...]:
        """The texts whose tokens the rules need, control tokens parsed and nothing added, each once."""
        return tuple(dict.fromkeys(filter(None, (self.prompt, *self.control_like, *self.endings))))


def read_prompts(header: GGUFHeader, spec: ModelSpec) -> Prompts:
    """Render the probes as `llm.chat` would render them for this model."""
    try:
        plain = template_of(header, spec, tools=False)
        tools = template_of(header, spec, tools=True)
    except PromptError as error:
        return Prompts(missing=str(error), overridden=spec.chat_template is not None)
    own = spec.template_variables
    rendered = {}
    for name, (messages, answer) in _PROBES.items():
        rendered[name] = _render(plain, messages, {**own, "add_generation_prompt": answer})
        if rendered["user"].text is None or rendered[name].hostile:
            # A hostile template would spend its whole time limit on each of the others too.
            return Prompts(sha256=plain.sha256, rendered=rendered)
    rendered["tools"] = _render(tools, [_USER], {**own, "tools": [TOOL]})
    return Prompts(sha256=plain.sha256, reads_tools=_reads_tools(tools), rendered=rendered)


def _reads_tools(template: ChatTemplate) -> bool:
    try:
        return "tools" in template.variables
    except PromptError:
        return False  # told by the probes, which fail in the same way


def _render(template: ChatTemplate, messages: list[dict[str, str]], given: Mapping[str, Any]) -> Rendered:
    try:
        return Rendered(template.render(messages, **given))
    except PromptError as error:
        return Rendered(None, str(error), error.hostile, error.passing)
