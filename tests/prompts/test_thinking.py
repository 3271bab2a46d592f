"""Thought and answer apart, by the markers that each chat template has."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.prompts.thinking import Markers, Split, markers_of, segments, split
from tests.support.archive import archive

TEMPLATES = Path("vendor/llama.cpp/models/templates")

THINK = Markers("<think>", "</think>")
HARMONY = markers_of("{{ '<|start|>assistant<|channel|>analysis<|message|>' }}")
COHERE = markers_of("<|START_THINKING|> <|END_THINKING|>")
APRIEL = markers_of("[BEGIN FINAL RESPONSE]")
assert HARMONY is not None
assert COHERE is not None
assert APRIEL is not None

TAGS = ("<think>", "</think>")
FAMILIES = {
    "Apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "Apriel": ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    "ByteDance": ("<seed:think>", "</seed:think>"),
    "Cohere2MoE": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "c4ai-command-r7b": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "Kimi-K3": ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    "MiniMax-M3": ("<mm:think>", "</mm:think>"),
    "gemma-4": ("<|channel>thought", "<channel|>"),
    "Ministral": ("[THINK]", "[/THINK]"),
    "muse": (" to=self<|message|>", "<|eom|>"),
    "gpt-oss": ("<|channel|>analysis<|message|>", "<|end|>"),
    "Hy3": ("<think:opensource>", "</think:opensource>"),
    "Solar": ("<|think|>", "<|end|>"),
}
"""Markers of the templates whose names contain the key; others have `TAGS`, or none."""

THOUGHTLESS = re.compile(
    r"c4ai-command-r-plus|GigaChat3|Kimi-K2(\.|-Instruct)|LFM2-8B|MiMo|MiniMax-M1|Mistral-Small|Hermes|Qwen2\.5"
    r"|Qwen3-Coder|firefunction|gemma-2|granite-4|functionary|Llama-3\.[123]-\d|Phi-3\.5|Nemo-Instruct|Devstral"
)


def test_markers_of_every_template_of_llama_cpp() -> None:
    files = sorted((archive() / TEMPLATES).glob("*.jinja"))
    assert len(files) == 70
    wrong = []
    for file in files:
        found = markers_of(file.read_text(encoding="utf-8"))
        expected = next((markers for name, markers in FAMILIES.items() if name in file.name), TAGS)
        none = THOUGHTLESS.search(file.name)
        if (found and (found.open, found.close)) != (None if none else expected):
            wrong.append((file.name, found))
    assert wrong == []


def test_a_comment_has_no_markers() -> None:
    assert markers_of("{# prints <think> and </think> #}{{ messages }}") is None


@pytest.mark.parametrize("part", ["{#", "</", "</a:", "</think", "{% set a = '", "</think{}>{% set a = "])
def test_a_hostile_template_takes_no_time(part: str) -> None:
    source = part * 100_000
    before = time.process_time()
    markers_of(source)
    assert time.process_time() - before < 1


def test_a_template_that_only_cuts_thoughts_out() -> None:
    assert markers_of("{{ content.split('</thought>')[-1] }}") == Markers("<thought>", "</thought>")


QUESTION = "<|user|>Why?<|assistant|>"
OPENED = f"{QUESTION}<think>\n"
CLOSED = f"{QUESTION}<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("text", "prompt", "thinking", "answer", "closed"),
    [
        ("Because.", QUESTION, None, "Because.", True),
        ("  \nBecause.\n", QUESTION, None, "  \nBecause.\n", True),
        ("", QUESTION, None, "", True),
        ("<think>\nHm.\n</think>\n\nBecause.", QUESTION, "Hm.", "Because.", True),
        ("\n<think>Hm.</think> Because.\n", QUESTION, "Hm.", " Because.\n", True),
        ("<think></think>Because.", QUESTION, "", "Because.", True),
        ("<think>Hm", QUESTION, "Hm", "", False),
        ("<think>", QUESTION, "", "", False),
        ("<think>Hm.</think>", QUESTION, "Hm.", "", True),
        ("<think>Hm.</think>\n\n<think>Oh.</think>Because.", QUESTION, "Hm.\n\nOh.", "Because.", True),
        # The template has no opening marker in its generation prompt, nor does the model write one.
        ("Hm.\n</think>\n\nBecause.", QUESTION, "Hm.", "Because.", True),
        # It is talked about: only the first closing marker counts.
        ("<think>Hm.</think>It ends with </think>.", QUESTION, "Hm.", "It ends with </think>.", True),
        ("A tag <think> opens.", QUESTION, None, "A tag <think> opens.", True),
        # The prompt has opened the thought.
        ("Hm.\n</think>\n\nBecause.", OPENED, "Hm.", "Because.", True),
        ("<think>\nHm.</think>Because.", OPENED, "Hm.", "Because.", True),
        ("Hm. <think> is a tag", OPENED, "Hm. <think> is a tag", "", False),
        ("", OPENED, "", "", False),
        # The prompt has closed it: thinking is off.
        ("It ends with </think>.", CLOSED, None, "It ends with </think>.", True),
        ("<think>Hm.</think>Because.", CLOSED, "Hm.", "Because.", True),
    ],
)
def test_tags(text: str, prompt: str, thinking: str | None, answer: str, closed: bool) -> None:
    assert split(text, THINK, prompt) == Split(thinking, answer, closed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Because.",
            Split("Hm.", "Because.", closed=True),
        ),
        ("<|channel|>final<|message|>Because.", Split(None, "Because.", closed=True)),
        ("<|channel|>analysis<|message|>Hm.", Split("Hm.", "", closed=False)),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>analysis<|message|>Oh.<|end|>"
            "<|start|>assistant<|channel|>final <|constrain|>json<|message|>{}",
            Split("Hm.\n\nOh.", "{}", closed=True),
        ),
        # It forgot to end the thought.
        (
            "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>Because.",
            Split("Hm.", "Because.", closed=True),
        ),
        # Every turn ends with <|end|>: alone it closes no thought.
        ("Because.<|end|>", Split(None, "Because.<|end|>", closed=True)),
    ],
)
def test_channels(text: str, expected: Split) -> None:
    assert HARMONY is not None
    assert split(text, HARMONY, "<|start|>user<|message|>Why?<|end|><|start|>assistant") == expected


def test_headers_of_the_answer() -> None:
    assert COHERE is not None
    assert APRIEL is not None
    text = "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Because.<|END_RESPONSE|>"
    assert split(text, COHERE, "?<|CHATBOT_TOKEN|>") == Split("Hm.", "Because.", closed=True)
    text = "First this.\n[BEGIN FINAL RESPONSE]\nBecause.\n[END FINAL RESPONSE]\n"
    for prompt in ("<|begin_assistant|>\nHere are my reasoning steps:\n", "<|assistant|>\n"):
        assert split(text, APRIEL, prompt) == Split("First this.", "Because.", closed=True)


def test_control_tokens_are_dropped_from_both_sides() -> None:
    text = "<think>Hm<|pad|>.</think>Be<|pad|>cause."
    spans = [(at, at + 7) for at in range(len(text)) if text.startswith("<|pad|>", at)]
    spans = sorted([(0, 7), (text.index("</think>"), text.index("</think>") + 8), *spans])
    assert split(text, THINK, QUESTION, controls=spans) == Split("Hm.", "Because.", closed=True)


def test_a_grammar_says_itself_how_the_text_begins() -> None:
    assert split('{"a": 1}', THINK, OPENED, begun=False) == Split(None, '{"a": 1}', closed=True)
    assert split("Hm.</think>{}", THINK, OPENED, begun=False) == Split("Hm.", "{}", closed=True)


MARKERS = st.sampled_from([THINK, HARMONY, COHERE, APRIEL])
PIECES = [
    *(
        piece
        for m in (THINK, HARMONY, COHERE, APRIEL)
        for piece in (m.open, m.close, m.turn, *m.answers, m.end)
    ),
    "\n",
    " ",
    "Hm.",
    "é",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8).map("".join)


@given(text=TEXTS, prompt=TEXTS, markers=MARKERS, begun=st.booleans())
def test_the_parts_cover_every_text(text: str, prompt: str, markers: Markers, begun: bool) -> None:
    found = segments(text, markers, prompt, begun=begun)
    assert "".join(text[part.start : part.end] for part in found) == text
    assert [part.start for part in found] == [0, *(part.end for part in found[:-1])]
    kinds = [part.kind for part in found]
    assert kinds.count("answer") == (kinds[-1] != "thought")
    # What stands between the parts of the reply is markers and nothing of the model's own words.
    known = [markers.open, markers.close, markers.turn, *markers.answers, markers.end]
    for part in found:
        if part.kind == "marker":
            rest = text[part.start : part.end]
            for marker in sorted(filter(None, known), key=len, reverse=True):
                rest = rest.replace(marker, "")
            assert rest.strip() == ""
    told = split(text, markers, prompt, begun=begun)
    # The last part is the answer, its end, or a thought that was not closed.
    assert told.closed == (kinds[-1] != "thought")
    assert (told.thinking is not None) == ("thought" in kinds)
    assert told.closed or told.answer == ""


@given(
    thought=st.text(max_size=20).filter(lambda t: "<" not in t),
    answer=st.text(max_size=20).filter(lambda t: "<" not in t),
    opened=st.booleans(),
)
def test_what_was_put_together_comes_apart(thought: str, answer: str, opened: bool) -> None:
    text = f"{'' if opened else '<think>'}{thought}</think>{answer}"
    told = split(text, THINK, OPENED if opened else QUESTION)
    assert told == Split(thought.strip("\n"), answer.lstrip("\n"), closed=True)


@given(text=st.text(max_size=30).filter(lambda t: "<" not in t and "[" not in t), markers=MARKERS)
def test_a_reply_without_markers_is_the_answer_verbatim(text: str, markers: Markers) -> None:
    if markers.open not in text:
        assert split(text, markers, QUESTION) == Split(None, text, closed=True)
