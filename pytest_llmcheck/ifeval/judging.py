"""From responses to verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.checks.instructions import Judgement
    from pytest_llmcheck.ifeval.reading import Example, Response


@dataclass(frozen=True, slots=True)
class Judged:
    """How a response follows the instructions of its prompt."""

    example: Example
    response: Response
    judgement: Judgement


def judge_all(examples: Sequence[Example], responses: Sequence[Response]) -> tuple[Judged, ...]:
    """Judge each response by the instructions of its prompt.

    A reply that was cut off is judged by what came, as the official code does.

    Args:
        examples: the prompts.
        responses: one to each, in the same order.

    Raises:
        ValueError: not as many responses as prompts.
    """
    return tuple(
        Judged(example, response, judge(response.text, example.checks))
        for example, response in zip(examples, responses, strict=True)
    )
