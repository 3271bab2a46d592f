from __future__ import annotations

from typing import Any

import pytest

from pytest_llmcheck.snapshots import Baseline, attribute
from tests.support.replies import make_reply, sha


def facts(**made: Any) -> dict[str, str]:
    return dict(Baseline.of_reply(make_reply("Hello", **made)).facts)


F16 = facts()
Q4 = {"model": "q4", "quant": "Q4_K_M"}


def short(seed: str) -> str:
    return sha(seed)[:6]


@pytest.mark.parametrize(
    ("made", "cause", "sentence"),
    [
        (Q4, "weights", f"the weights changed (f16 F16 {short('f16')} -> q4 Q4_K_M {short('q4')})"),
        (
            {"weights": sha("new"), "quant": "Q4_K_M"},
            "weights",
            f"the file of model 'f16' changed (F16 {short('f16')} -> Q4_K_M {short('new')})",
        ),
        (
            {"template": sha("new")},
            "template",
            f"the chat template changed ({short('chatml')} -> {short('new')})",
        ),
        (
            {"template": sha("new"), "prompt": "rendered otherwise"},
            "template",
            f"the chat template changed ({short('chatml')} -> {short('new')})",
        ),
        ({"adapters": ("ab12@0.5",)}, "adapters", "the LoRA adapters changed (none -> ab12@0.5)"),
        (
            {"adapters": (f"{sha('one')}@1", f"{sha('two')}@0.5")},
            "adapters",
            f"the LoRA adapters changed (none -> {short('one')}@1, {short('two')}@0.5)",
        ),
        (
            {"constraint": sha("schema")},
            "constraint",
            f"the schema or grammar of the constraint changed (none -> {short('schema')})",
        ),
        ({"settings": (("n_ctx", "512"),)}, "settings", "the settings changed (n_ctx 4096 -> 512)"),
        (
            {"settings": (("kv", "q8_0"), ("n_ctx", "4096"))},
            "settings",
            "the settings changed (kv unset -> q8_0)",
        ),
        (
            {"temperature": 0.7},
            "sampling",
            "the sampling changed (greedy -> temperature=0.7, top_k=40, top_p=0.95, min_p=0.05)",
        ),
        ({"max_tokens": 8}, "max_tokens", "max_tokens changed (64 -> 8)"),
        (
            {"prompt": "Another."},
            "prompt",
            f"the prompt changed ({F16['prompt'][:6]} -> {short('Another.')}) under an equal template: "
            "the test's own messages, or the system prompt",
        ),
        (
            {"numerics": {"width": 8, "processor": "AVX512"}},
            "numerics",
            "the numerics changed (processor AVX2 FMA -> AVX512, width 4 -> 8)",
        ),
        (
            {"numerics": {"library": sha("new")}, "build": "llama-cpp-python 0.3.37"},
            "numerics",
            f"the numerics changed (library {sha('library')[:12]} -> {sha('new')[:12]}; "
            "llama-cpp-python 0.3.36 -> llama-cpp-python 0.3.37)",
        ),
    ],
)
def test_one_that_differs_is_the_cause(made: dict[str, Any], cause: str, sentence: str) -> None:
    found = attribute(F16, facts(**made))
    assert (found.cause, found.sentence) == (cause, f"cause: {sentence}")


def test_the_seed_counts_where_both_were_sampled() -> None:
    found = attribute(facts(temperature=0.7, seed=1), facts(temperature=0.7, seed=2))
    assert found.sentence == "cause: the seed changed (1 -> 2)"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            {**Q4, "template": sha("new")},
            "weights and template differ; give 'q4' the chat_template of 'f16' and run again to "
            "separate them",
        ),
        (
            {**Q4, "adapters": ("a",), "settings": ()},
            "weights, adapters and settings differ; give 'q4' the adapters and settings of 'f16' and run "
            "again to separate them",
        ),
        (
            {"template": sha("new"), "settings": ()},
            "template and settings differ; give 'f16' the chat_template that it had before and run again to "
            "separate them",
        ),
        (
            {**Q4, "numerics": {"width": 8}},
            "weights and numerics differ; run with --llm-model f16, where only numerics should differ",
        ),
        (
            {"weights": sha("new"), "numerics": {"width": 8}},
            "weights and numerics differ; run the former file and settings of 'f16', where only numerics "
            "should differ",
        ),
        (
            {"prompt": "Another.", "numerics": {"width": 8}},
            "prompt and numerics differ; restore prompt in the test and run again to separate them",
        ),
        (
            {"prompt": "Another.", "max_tokens": 8},
            "max_tokens and prompt differ; change one at a time in the test to separate them",
        ),
    ],
)
def test_several_that_differ_are_not_separated(made: dict[str, Any], sentence: str) -> None:
    found = attribute(F16, facts(**made))
    assert found.cause is None
    assert found.sentence == f"not separated: {sentence}"


def test_names_and_builds_are_no_cause() -> None:
    same = facts(model="other name", weights=sha("f16"), quant="F32", build="another", device="GPU")
    assert attribute(F16, same).sentence == (
        "nothing that we fingerprint differs: model, prompt, sampling and numerics are equal"
    )


def test_an_unstable_engine_is_named_where_nothing_differs() -> None:
    unstable = facts(numerics={"stable": False})
    assert attribute(unstable, unstable).sentence.endswith(
        "are equal, but this engine cannot keep replies independent of their company"
    )


def test_rows_that_follow_from_the_weights_are_no_cause_of_their_own() -> None:
    """F16 is padded to two rows and Q4_K_M is not: one swap, one cause."""
    before = facts(model="f16", numerics={"rows": "2"})
    after = facts(model="q4", numerics={"rows": "1, 2 from 256"})
    assert attribute(before, after).cause == "weights"
    other = facts(model="q4", numerics={"rows": "1, 2 from 256", "width": 8})
    assert attribute(before, other).differing == ("weights", "numerics")
