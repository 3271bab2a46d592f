from __future__ import annotations

from typing import Any

import pytest

from pytest_llmcheck.snapshots import Baseline, attribute
from tests.support.replies import make_reply, sha


def facts(**made: Any) -> dict[str, str]:
    return dict(Baseline.of_reply(make_reply("Hello", **{"prompt_tokens": sha("ids"), **made})).facts)


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
            {"prompt_tokens": sha("other ids")},
            "prompt_tokens",
            "the tokeniser changed (an equal prompt, other token ids: "
            f"{short('ids')} -> {short('other ids')})",
        ),
        (
            {"prompt": "Another.", "prompt_tokens": sha("other ids")},
            "prompt",
            f"the prompt changed ({F16['prompt'][:6]} -> {short('Another.')}) under an equal template: "
            "the test's own messages, or the system prompt",
        ),
        (
            {
                "settings": (("date", "2025-01-31"), ("n_ctx", "4096")),
                "prompt": "31 Jan 2025",
                "prompt_tokens": sha("other ids"),
            },
            "settings",
            "the settings changed (date unset -> 2025-01-31)",
        ),
        (
            {
                "settings": (("n_ctx", "4096"), ("template_variables.enable_thinking", "false")),
                "prompt": "<think></think>",
            },
            "settings",
            "the settings changed (template_variables.enable_thinking unset -> false)",
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
            {**Q4, "adapters": ("a",), "settings": ()},
            "weights, adapters and settings differ; give 'q4' the adapters and settings of 'f16' and run "
            "again to separate them",
        ),
        (
            {"settings": (("n_ctx", "512"),), "prompt": "Another."},
            "settings and prompt differ; run the former file and settings of 'f16', where only prompt should "
            "differ",
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


TEMPLATE = f"the chat template changed ({short('chatml')} -> {short('new')})"
TOKENISER = (
    "the tokeniser changed (an equal prompt, other token ids: "
    f"{short('ids')} -> {short('other ids')}), and weights differ too: not separated; the tokeniser comes "
    "with the file, so no run separates them"
)
BOTH = (
    f"{TEMPLATE}, and weights differ too: not separated; give 'q4' the chat_template of 'f16' and run again "
    "to separate them"
)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            {**Q4, "template": sha("new"), "prompt": "rendered otherwise"},
            BOTH,
        ),
        (
            {"weights": sha("new"), "template": sha("new"), "prompt": "x", "numerics": {"width": 8}},
            f"{TEMPLATE}, and weights and numerics differ too: not separated; run the former file and "
            "settings of 'f16', where only numerics should differ",
        ),
        (
            {"template": sha("new"), "prompt": "rendered otherwise", "max_tokens": 8},
            f"{TEMPLATE}, and max_tokens differs too: not separated; run the former file and settings of "
            "'f16', where only max_tokens should differ",
        ),
        (
            {"template": sha("new"), "prompt": "rendered otherwise", "settings": ()},
            f"{TEMPLATE}, and settings differ too: not separated; give 'f16' the chat_template that it had "
            "before and run again to separate them",
        ),
        (
            {"weights": sha("new"), "prompt_tokens": sha("other ids")},
            TOKENISER,
        ),
        (
            {"numerics": {"library": sha("new")}, "prompt_tokens": sha("other ids")},
            TOKENISER.partition(", and")[0] + ", and numerics differ too: not separated; the tokeniser comes "
            "with the engine: run with the former build to see",
        ),
        (
            {**Q4, "template": sha("new"), "prompt": "x", "prompt_tokens": sha("other ids")},
            BOTH,
        ),
    ],
)
def test_what_decides_the_prompt_is_said_before_all_else(made: dict[str, Any], sentence: str) -> None:
    assert attribute(F16, facts(**made)).sentence == sentence


@pytest.mark.parametrize(
    ("made", "cause", "sentence"),
    [
        (
            {},
            None,
            "nothing else that we fingerprint differs: model, prompt, sampling and numerics are equal",
        ),
        (Q4, "weights", f"cause: the weights changed (f16 F16 {short('f16')} -> q4 Q4_K_M {short('q4')})"),
        (
            {"weights": sha("new"), "prompt_tokens": sha("other ids")},
            None,
            TOKENISER,
        ),
    ],
)
def test_a_template_that_makes_the_same_prompt_is_named_and_is_no_cause(
    made: dict[str, Any], cause: str | None, sentence: str
) -> None:
    """Such as a re-upload that changed how tools are printed, and a test without tools."""
    found = attribute(F16, facts(template=sha("new"), **made))
    assert found.sentence == f"{TEMPLATE}, but it renders this prompt as before; {sentence}"
    assert found.cause == cause


def test_a_baseline_from_before_the_token_hash_still_compares() -> None:
    old = {key: value for key, value in F16.items() if key != "prompt_tokens"}
    assert old != F16
    assert attribute(old, F16).differing == ()
    assert attribute(old, facts(**Q4)).cause == "weights"


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
