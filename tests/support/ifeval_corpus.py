"""Replies that SmolLM2-135M-Instruct and quants of it gave to prompts in IFEval's format.

``python -m benchmarks.ifeval_replies`` makes them.
"""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parents[1] / "data"
PROMPTS = DATA / "ifeval_prompts.jsonl"
REPLIES = DATA / "ifeval_replies.jsonl.gz"


class Asked(NamedTuple):
    """An instruction of a prompt, and a reply to that prompt.

    Attributes:
        id: IFEval's id.
        parameters: IFEval's own.
        model: who replied.
        text: the reply.
    """

    id: str
    parameters: Mapping[str, Any]
    model: str
    text: str


@functools.cache
def replies() -> tuple[dict[str, Any], ...]:
    """The recorded replies, as `benchmarks.ifeval_replies` writes them."""
    lines = gzip.decompress(REPLIES.read_bytes()).decode().splitlines()
    return tuple(json.loads(line) for line in lines)


@functools.cache
def prompts() -> dict[int, dict[str, Any]]:
    """The prompts by their keys."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return {prompt["key"]: prompt for prompt in map(json.loads, lines)}


@functools.cache
def asked() -> tuple[Asked, ...]:
    """Every instruction of every recorded reply's prompt."""
    return tuple(
        Asked(id_, parameters, reply["model"], reply["response"])
        for reply in replies()
        for id_, parameters in zip(
            prompts()[reply["key"]]["instruction_id_list"], prompts()[reply["key"]]["kwargs"], strict=True
        )
    )
