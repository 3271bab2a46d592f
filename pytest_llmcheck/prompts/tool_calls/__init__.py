"""Calls of tools in what a model wrote, by the format that its chat template defines."""

from __future__ import annotations

from pytest_llmcheck.prompts.tool_calls.call import BrokenCall, Found, ToolCall, ToolFormat, schemas_of

__all__ = ["BrokenCall", "Found", "ToolCall", "ToolFormat", "schemas_of"]
