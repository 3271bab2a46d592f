"""A file of prompts in IFEval's format, and how far replies to them follow the instructions in it.

The format of the files, the strict and the loose verdict and the four numbers are those of Zhou et al. 2023,
"Instruction-Following Evaluation for Large Language Models" (arXiv:2311.07911). Nothing here runs a model, or
downloads anything: who has no replies yet asks a model first, as ``llmcheck ifeval`` does.
"""

from pytest_llmcheck.ifeval.judging import Judged, judge_all
from pytest_llmcheck.ifeval.numbers import METRICS, Change, Rate, Summary, compare, summarise
from pytest_llmcheck.ifeval.reading import Example, Response, read_examples, read_responses

__all__ = [
    "METRICS",
    "Change",
    "Example",
    "Judged",
    "Rate",
    "Response",
    "Summary",
    "compare",
    "judge_all",
    "read_examples",
    "read_responses",
    "summarise",
]
