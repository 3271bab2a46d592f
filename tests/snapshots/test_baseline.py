from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.snapshots.baseline import Baseline, Kind, SnapshotError, parse, serialise
from tests.support.replies import make_reply, sha

REPLY = "Refunds take 14 days.\n"


def test_the_file_is_front_matter_then_the_reply_verbatim() -> None:
    reply = make_reply(REPLY, adapters=("ab12@1.0",))
    made = reply.fingerprint
    assert serialise(Baseline.of_reply(reply)) == (
        "---\n"
        "llmcheck: 1\n"
        "kind: reply\n"
        "model: f16\n"
        "quant: F16\n"
        f"weights: {sha('f16')}\n"
        "adapters: ab12@1.0\n"
        f"template: {sha('chatml')}\n"
        "settings: n_ctx=4096\n"
        "sampling: greedy\n"
        "max_tokens: 64\n"
        f"prompt: {made.prompt}\n"
        "build: llama-cpp-python 0.3.36\n"
        f"numerics: {made.numerics.digest}\n"
        f"numerics_parts: library={sha('library')[:12]}; processor=AVX2 FMA; grid=64; width=4; rows=pad2; "
        "cache=f16/f16; flash_attention=yes; stable=yes\n"
        "finish_reason: stop\n"
        "---\n"
        "Refunds take 14 days.\n"
        "\n"
    )


def test_the_seed_is_told_of_sampled_replies_only() -> None:
    greedy = Baseline.of_reply(make_reply("a", seed=7)).facts
    sampled = Baseline.of_reply(make_reply("a", seed=7, temperature=0.5)).facts
    assert "seed" not in greedy
    assert sampled["seed"] == "7"
    assert sampled["sampling"] == "temperature=0.5, top_k=40, top_p=0.95, min_p=0.05"


def test_no_path_time_or_device_is_told() -> None:
    facts = Baseline.of_reply(make_reply("a", device="Some CPU @ 3 GHz")).facts
    assert not any("GHz" in value for value in facts.values())


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        "\n\n",
        "\r\n",
        "a\r\nb\r",
        "---",
        "---\n",
        "\n---\n",
        "a\n---\nb",
        "\u2028\x85",
        "\0",
        "\U0001f600",
    ],
)
def test_awkward_bodies_come_back(body: str) -> None:
    baseline = Baseline(body, "reply", {"model": "f16"})
    assert parse(serialise(baseline)) == baseline


FACTS = st.dictionaries(
    st.from_regex("[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(lambda key: key not in ("llmcheck", "kind")),
    st.text(),
)


@given(body=st.text(), kind=st.sampled_from(["reply", "text", "json"]), facts=FACTS)
def test_parse_is_the_inverse_of_serialise(body: str, kind: Kind, facts: dict[str, str]) -> None:
    baseline = Baseline(body, kind, facts)
    written = serialise(baseline)
    read = parse(written.encode().decode())
    assert read == baseline
    assert list(read.facts.items()) == list(facts.items())
    assert serialise(read) == written
    assert written.endswith("\n")


@given(st.text())
def test_whatever_parse_reads_serialise_would_write(text: str) -> None:
    try:
        read = parse(f"---\nllmcheck: 1\nkind: reply\n{text}")
    except SnapshotError:
        return
    assert serialise(read) == f"---\nllmcheck: 1\nkind: reply\n{text}"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(JSON_VALUES) | st.dictionaries(st.text(), JSON_VALUES))
def test_a_value_is_its_body(value: list[object] | dict[str, object]) -> None:
    assert json.loads(parse(serialise(Baseline.of_value(value))).body) == value


def test_a_value_is_written_for_people() -> None:
    value = {"b": "\xe9", "a": [1]}
    assert Baseline.of_value(value).body == '{\n  "a": [\n    1\n  ],\n  "b": "\xe9"\n}'


def test_a_value_may_hold_a_lone_surrogate() -> None:
    baseline = Baseline.of_value(["\ud83d"])
    serialise(baseline).encode()
    assert json.loads(baseline.body) == ["\ud83d"]


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": {1}}])
def test_what_json_cannot_say_is_refused(value: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Baseline.of_value(value)


def test_a_lone_surrogate_is_refused_by_name_and_place() -> None:
    with pytest.raises(SnapshotError, match=r"character 2 is a lone surrogate \(U\+D800\)"):
        serialise(Baseline.of_text("ab\ud800"))


WHOLE = serialise(Baseline.of_reply(make_reply("Hello")))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "does not stand between"),
        ("Hello\n", "does not stand between"),
        (WHOLE.replace("---\nllm", "llm"), "does not stand between"),
        (WHOLE.replace("quant: F16", "quant F16"), "line 5 of its front matter is not `name: value`"),
        (WHOLE.replace("quant: F16", "model: F16"), "line 5 of its front matter is not `name: value`"),
        (
            WHOLE.replace("quant: F16", "quant: {F16}"),
            "the value in line 5 of its front matter is not quoted",
        ),
        (WHOLE.replace("quant: F16", 'quant: "F16"'), "was edited"),
        (WHOLE.replace("kind: reply", "kind: poem"), "its kind is 'poem', not one of reply, text, json"),
        (WHOLE[:-1], "was edited"),
        (WHOLE.replace("Hello", "Hell\udcff"), "it is not UTF-8"),
    ],
)
def test_a_damaged_file_names_itself_and_the_remedy(text: str, what: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        parse(text, "tests/x.md")
    message = str(caught.value)
    assert message.startswith("tests/x.md is damaged: ")
    assert what in message
    assert message.endswith("restore it from version control, or record it again with --llm-update")


def test_converted_line_endings_are_named() -> None:
    with pytest.raises(SnapshotError, match=r"converted to CRLF.*\.gitattributes"):
        parse(WHOLE.replace("\n", "\r\n"), "x.md")


@pytest.mark.parametrize(("line", "told"), [("llmcheck: 2\n", "2"), ("", "not given")])
def test_another_format_is_named(line: str, told: str) -> None:
    with pytest.raises(SnapshotError, match=f"its format is {told}, this version of pytest-llmcheck reads 1"):
        parse(WHOLE.replace("llmcheck: 1\n", line))
