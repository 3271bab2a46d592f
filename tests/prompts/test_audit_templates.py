"""No false alarms: every rule over the real templates of the llama-cpp-python source archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.models import ModelSpec, read_gguf
from pytest_llmcheck.prompts.audit import read_prompts
from pytest_llmcheck.prompts.audit.probes import CONTROL_LIKE
from pytest_llmcheck.session.audits import examine
from tests.support.archive import archive
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

# Looked at by hand: each of these is so.
KNOWN = {
    # Made for a call with tools, and named so in their repositories: without tools they fail.
    "CohereForAI-c4ai-command-r-plus-tool_use": {"template-broken"},
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": {"template-broken"},
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": {"template-broken"},
    # It wants a variable `functions`.
    "fireworks-ai-llama-3-firefunction-v2": {"template-broken"},
    # It reads `xml_tools` and `python_tools`.
    "HuggingFaceTB-SmolLM3-3B": {"tools-unread"},
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": {"tools-unread"},
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": {"tools-unread"},
    "deepseek-ai-DeepSeek-V3.1": {"tools-unread"},
    "google-gemma-2-2b-it": {"tools-unread"},
    "llama-cpp-rwkv-world": {"tools-unread"},
    "microsoft-Phi-3.5-mini-instruct": {"tools-unread"},
}

# It opens the next turn even where none is asked for.
ENDS = {"CohereForAI-c4ai-command-r7b-12-2024-tool_use": "<|END_OF_TURN_TOKEN|>"}

# A template on the vocabulary that its model was trained with, so far as the archive has that.
PAIRS = [
    ("llama-bpe", "meta-llama-Llama-3.1-8B-Instruct", set()),
    ("llama-bpe", "meta-llama-Llama-3.3-70B-Instruct", set()),
    ("qwen2", "Qwen-QwQ-32B", set()),
    ("qwen2", "Qwen-Qwen2.5-7B-Instruct", set()),
    ("qwen2", "Qwen-Qwen3-0.6B", set()),
    ("qwen35", "Qwen3.5-4B", set()),
    ("gemma-4", "google-gemma-4-31B-it", set()),
    ("phi-3", "microsoft-Phi-3.5-mini-instruct", {"tools-unread", "bos-added"}),
    # And on one that it was not.
    ("llama-bpe", "Qwen-Qwen2.5-7B-Instruct", {"wrong-family", "bos-added"}),
    ("llama-bpe", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", {"wrong-family", "tools-unread"}),
    ("qwen2", "meta-llama-Llama-3.1-8B-Instruct", {"wrong-family"}),
    ("gemma-4", "Qwen-Qwen3-0.6B", {"wrong-family", "bos-added"}),
]


@pytest.fixture(scope="module")
def models() -> Path:
    return archive() / "vendor" / "llama.cpp" / "models"


def test_generated_vocabularies(models: Path, tmp_path: Path) -> None:
    """With all that looks like a control token as one, and the last that closes a conversation as the end."""
    plain = ("<|endoftext|>", "<beginning>", "<end>")
    bare = read_gguf(tiny_llama(tmp_path / "bare.gguf", control=plain, bos=0, eos=0))
    found: dict[str, set[str]] = {}
    for template in sorted((models / "templates").glob("*.jinja")):
        prompts = read_prompts(bare, ModelSpec(name="m", gguf="m.gguf", chat_template=template))
        marks = [mark for mark in prompts.control_like if mark not in plain]
        ends = [mark for ending in prompts.endings for mark in CONTROL_LIKE.findall(ending) if mark in marks]
        # GLM closes no conversation; the next turn's head is the end.
        path = tiny_llama(
            tmp_path / "model.gguf",
            control=plain,
            bos=0,
            eos=259 + marks.index(ENDS.get(template.stem, ends[-1])) if ends else 0,
            extra=marks,
        )
        spec = ModelSpec(name="m", gguf=str(path), chat_template=template)
        ids = {finding.id for finding in examine(read_gguf(path), spec)}
        if ids:
            found[template.stem] = ids
    assert found == KNOWN


@pytest.mark.parametrize(("vocabulary", "template", "ids"), PAIRS)
def test_real_vocabularies(models: Path, vocabulary: str, template: str, ids: set[str]) -> None:
    path = models / f"ggml-vocab-{vocabulary}.gguf"
    spec = ModelSpec(name="m", gguf=str(path), chat_template=models / "templates" / f"{template}.jinja")
    # They also end replies at tokens of other purposes, most of them.
    assert {finding.id for finding in examine(read_gguf(path), spec)} - {"odd-end-of-generation"} == ids
