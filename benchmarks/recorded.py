"""Replies that a model really made, with their tokens, for benchmarks of what looks at them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.looping import LIMIT, PROMPTS
from benchmarks.models import SOURCE
from pytest_llmcheck.config import Config
from pytest_llmcheck.session.recorder import Recorder
from pytest_llmcheck.session.run import Run
from tests.support.archive import fetch

if TYPE_CHECKING:
    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.verdict import Check

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
        },
    },
}
EXAMPLE = (
    {"role": "user", "content": "What will the weather be like in Rome in the next 2 days?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "type": "function",
                "function": {"name": "get_weather", "arguments": {"city": "Rome", "days": 2}},
            }
        ],
    },
)
"""Without it, so small a model calls nothing."""
JSON = (
    'Extract the person as a flat JSON object with the keys "name" and "age". Reply with JSON only.'
    "\n\nText: {}"
)
SENTENCES = (
    "Anna is 31 years old.",
    "Tom, who is 45, lives in Leeds.",
    "This is Laura. She is 19 years old.",
    "Our new colleague Nina is 38 years old.",
    "Sophie is a nurse and 24 years old.",
)
CITIES = ("Oslo", "Bergen", "Lisbon", "Nairobi", "Lima", "Osaka")


class Recorded(NamedTuple):
    """What was said.

    Attributes:
        plain: to the prompts of `looping`.
        json: to requests for a flat object, most of them JSON.
        with_tools: to questions that a tool answers, all of them calls.
    """

    plain: list[Reply]
    json: list[Reply]
    with_tools: list[Reply]


def recorded(health: tuple[Check, ...]) -> Recorded:
    """What SmolLM2-135M-Instruct, as it is shipped, says greedily.

    Asked once; later it comes from the reply cache, and no model is started. The model's own chat
    template has no tools, so those are given with that of Qwen2.5, which is the same otherwise.

    Args:
        health: checks that are part of every `expect` of these replies.
    """
    plain = replace(SOURCE, width=8)
    qwen = fetch() / "vendor" / "llama.cpp" / "models" / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja"
    tools = replace(plain, name="tools", chat_template=qwen)
    config = Config(
        models={spec.name: spec for spec in (plain, tools)}, reference=plain.name, timeout=4 * 3600.0
    )
    run = Run(config, (plain,), health=health, recorder=Recorder())
    question = "What will the weather be like in {} in the next 3 days?"
    try:
        return Recorded(
            run.llm(plain.name).chat_many(list(PROMPTS), max_tokens=LIMIT, temperature=0.0, seed=1),
            run.llm(plain.name).chat_many([JSON.format(sentence) for sentence in SENTENCES], max_tokens=64),
            run.llm(tools.name).chat_many(
                [[*EXAMPLE, {"role": "user", "content": question.format(city)}] for city in CITIES],
                tools=[WEATHER],
                max_tokens=LIMIT,
            ),
        )
    finally:
        run.close()
