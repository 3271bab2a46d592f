"""A call of a tool as a model wrote it, and what can read calls out of a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call of a tool.

    Attributes:
        name: of the tool.
        arguments: by their names.
        id: that the model gave it; empty where the format has none.
        text: the call as the model wrote it, its markers included.
        start: where in `Reply.raw` it begins, in characters.
        end: where it ends.
    """

    name: str
    arguments: dict[str, Any]
    id: str = ""
    text: str = ""
    start: int = 0
    end: int = 0


class BrokenCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """What begins like a call in the format of the template, and is none.

    Attributes:
        problem: what is wrong with it.
        name: of the tool, as far as it can be told.
        text: as the model wrote it.
        start: where in `Reply.raw` it begins, in characters.
        end: where it ends.
        position: where in `Reply.raw` it went wrong.
    """

    problem: str
    name: str = ""
    text: str = ""
    start: int = 0
    end: int = 0
    position: int = 0


Found = ToolCall | BrokenCall


class ToolFormat(Protocol):
    """How one family of chat templates has its models write calls.

    Plugins add their own with the hook ``pytest_llmcheck_tool_formats``.
    """

    @property
    def name(self) -> str:
        """For messages and records, such as ``hermes``."""

    @property
    def example(self) -> str:
        """How a call looks, for messages."""

    def recognises(self, template: str) -> bool:
        """Whether the source of a chat template may be of this format.

        Where the template can show how it writes a call, it is asked to: the format is taken only if it
        reads that call.
        """

    def parse(self, text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterable[Found]:
        """The calls in a reply, and what begins like one and is none; in order.

        It must not raise, whatever the text says, and take a time in proportion to its length.

        Args:
            text: what the model wrote after its thought, control tokens by their names, the token that
                ended the reply included.
            tools: the JSON Schemas of the parameters of the tools given, by the tools' names.

        Returns:
            Calls and broken calls, whose places count from the beginning of `text`.
        """


def schemas_of(tools: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The schemas of the parameters, by the names of the tools.

    Args:
        tools: as OpenAI's API defines them, ``{"type": "function", "function": {...}}``, or the inner part
            alone. What has no name is left out; a tool without parameters has the empty schema.
    """
    found: dict[str, dict[str, Any]] = {}
    for tool in tools:
        inner = tool.get("function", tool)
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            parameters = inner.get("parameters")
            found[inner["name"]] = parameters if isinstance(parameters, dict) else {}
    return found
