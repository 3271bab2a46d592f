"""Families of chat formats, by the marks of their turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FAMILIES: dict[str, tuple[str, ...]] = {
    "ChatML": ("<|im_start|>", "<|im_end|>"),
    "Llama 3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "Llama 4": ("<|header_start|>", "<|header_end|>", "<|eot|>"),
    "Gemma": ("<start_of_turn>", "<end_of_turn>"),
    "Gemma 4": ("<|turn>", "<turn|>"),
    "Phi-3": ("<|user|>", "<|assistant|>", "<|end|>"),
    "Zephyr": ("<|user|>", "<|assistant|>"),
    "Mistral": ("[INST]", "[/INST]"),
    "Command R": ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    "DeepSeek": ("<｜User｜>", "<｜Assistant｜>"),  # noqa: RUF001 - as its authors spell it
    "Granite": ("<|start_of_role|>", "<|end_of_role|>"),
    "Harmony": ("<|start|>", "<|message|>", "<|end|>"),
}
"""The tokens with which a family marks turns; a vocabulary with all of them was made for it."""

_TEXT_FAMILIES: dict[str, tuple[str, ...]] = {
    "Alpaca": ("### Instruction:", "### Response:"),
    "Vicuna": ("USER:", "ASSISTANT:"),
    "Llama 2 or Mistral": ("[INST]", "[/INST]"),
}
"""Families that mark turns with plain text."""

END_MARKS = frozenset(
    {
        "<|eot_id|>",
        "<|eot|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "</s>",
        "<|endoftext|>",
        "<|eom_id|>",
        "<|eom|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<eos>",
        "<turn|>",
        "<|tool_response>",
        "<｜end▁of▁sentence｜>",  # noqa: RUF001 - as DeepSeek spells it
        "[e~[",
    }
)
"""Names by which llama.cpp knows an end of a turn (`special_eog_ids` in its llama-vocab.cpp)."""


def families_of(tokens: Iterable[str]) -> tuple[str, ...]:
    """The families for whose turns a vocabulary has tokens."""
    known = set(tokens)
    return tuple(name for name, marks in FAMILIES.items() if known.issuperset(marks))


def resembles(prompt: str) -> str:
    """The family that a prompt looks like; empty for none."""
    looks = (*_TEXT_FAMILIES.items(), *FAMILIES.items())
    # A prompt that ends with the assistant's head has not written every end mark.
    return next((name for name, marks in looks if sum(mark in prompt for mark in marks) >= 2), "")
