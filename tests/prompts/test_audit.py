"""Each finding with a file that has exactly that fault, and a sound file that has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcheck.models import ModelSpec, read_gguf
from pytest_llmcheck.prompts.audit import IDS, KINDS, Finding
from pytest_llmcheck.session.audits import examine
from tests.support.gguf_files import CHATML, tiny_llama

HEAD = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
TURN = "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
ANSWER = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def template(*, head: str = HEAD, turn: str = TURN, answer: str = ANSWER) -> str:
    """ChatML with tools, or with one part of it spoilt."""
    # The lines of a template that are tags alone leave no line break behind.
    return f"{head}{{% for message in messages %}}{turn}{{% endfor %}}{answer}"


SOUND = template()
LLAMA_3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
ALPACA = (
    "{{ tools | tojson if tools else '' }}{% for message in messages %}"
    "### {{ {'user': 'Instruction', 'assistant': 'Response', 'system': 'System'}[message.role] }}:\n"
    "{{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}"
)
LLAMA_3_VOCABULARY = {"control": LLAMA_3, "extra": ("<|eot_id|>",), "bos": 0, "eos": 259}


def findings(folder: Path, **given: Any) -> tuple[Finding, ...]:
    path = tiny_llama(folder / "model.gguf", **{"chat_template": SOUND, **given})
    return examine(read_gguf(path), ModelSpec(name="model", gguf=str(path)))


def only(folder: Path, **given: Any) -> Finding:
    (finding,) = findings(folder, **given)
    return finding


SPOILT: dict[str, list[dict[str, Any]]] = {
    "template-missing": [{"chat_template": None}],
    "template-broken": [
        {"chat_template": "{% if messages %}"},
        {"chat_template": SOUND + "{{ raise_exception('never') }}"},
        {"chat_template": SOUND + "{{ no_such_function() }}"},
        # Only a conversation of several turns breaks a limit.
        {
            "chat_template": SOUND
            + "{% if messages | length > 2 %}{{ (messages | length)**(10**8) }}{% endif %}"
        },
        {"chat_template": SOUND + "{% if tools %}{{ 'x' * 10**9 }}{% endif %}"},
    ],
    "sandbox-refused": [
        {"chat_template": SOUND + "{{ messages.append({}) }}"},
        {"chat_template": SOUND + "{{ ''.__class__.__mro__ }}"},
        # For some conversations only.
        {"chat_template": SOUND + "{% if tools %}{{ tools.pop() }}{% endif %}"},
        {"chat_template": SOUND + "{% if messages | length > 2 %}{{ messages.pop() }}{% endif %}"},
    ],
    "wrong-family": [
        {"chat_template": ALPACA, **LLAMA_3_VOCABULARY},
        {"chat_template": SOUND, **LLAMA_3_VOCABULARY},
        {"chat_template": SOUND.replace("<|im_start|>", "[INST]").replace("<|im_end|>", "[/INST]")},
        # Tokens for line breaks, as Gemma has them, are in every prompt and mark nothing.
        {"chat_template": ALPACA, **LLAMA_3_VOCABULARY, "extra": ("<|eot_id|>", "\n\n")},
        # The token that begins a text is none that marks turns.
        {"chat_template": "{{ bos_token }}" + ALPACA, **LLAMA_3_VOCABULARY},
    ],
    "end-of-turn-missing": [
        {"chat_template": SOUND.replace("<|im_end|>", "<|done|>"), "extra": ("<|done|>",)},
    ],
    "split-control-tokens": [
        {"chat_template": template(head="<|begin|>" + HEAD)},
        {"chat_template": SOUND.replace("<|im_end|>", "<|eot_id|>")},
        {"chat_template": template(head=HEAD.replace("<|im_end|>", "<｜end｜>"))},  # noqa: RUF001 - DeepSeek's
        {"chat_template": template(head="<s>" + HEAD)},
    ],
    "double-bos": [
        {"chat_template": template(head="{{ bos_token }}{{ bos_token }}" + HEAD), "bos": 0},
        # White space before it hides it from who adds one.
        {"chat_template": template(head="\n {{ bos_token }}" + HEAD), "bos": 0, "add_bos": True},
    ],
    "closed-prompt": [
        {"chat_template": template(answer="")},
        {"chat_template": template(answer=ANSWER.replace("\n", "<|im_end|>"))},
    ],
    "eos-added": [{"metadata": {"tokenizer.ggml.add_eos_token": True}}],
    "system-dropped": [
        {"chat_template": template(turn="{% if message.role != 'system' %}" + TURN + "{% endif %}")},
    ],
    "tools-dropped": [
        {"chat_template": template(head="{% if tools %}You have tools.\n{% endif %}")},
        {"chat_template": template(head="{% if tools and functions %}{{ tools | tojson }}{% endif %}")},
    ],
    "history-lost": [
        {"chat_template": template(turn="{% if message.role != 'assistant' %}" + TURN + "{% endif %}")},
        {"chat_template": template(turn=TURN.replace("content }}", "content[:40] }}"))},
        {"chat_template": template(turn=TURN.replace("content }}", "content | escape }}"))},
        {"chat_template": template(turn=TURN.replace("content }}", "content.split('</think>')[0] }}"))},
    ],
    "tools-unread": [{"chat_template": CHATML}],
    "bos-added": [{"add_bos": True, "bos": 0}],
    "odd-end-of-generation": [{"extra": ("<reponame>",)}, {"extra": ("<|fim_pad|>", "<|file_sep|>")}],
}


@pytest.mark.parametrize(
    ("kind", "given"), [(kind, given) for kind, all_given in SPOILT.items() for given in all_given]
)
def test_exactly_that_fault(tmp_path: Path, kind: str, given: dict[str, Any]) -> None:
    finding = only(tmp_path, **given)
    assert finding.id == kind
    assert (finding.severity, finding.fix) == KINDS[kind]
    assert finding.explanation


@pytest.mark.parametrize("override", ["tool_use", Path("nowhere.jinja")])
def test_an_override_that_leads_nowhere_is_to_be_corrected(tmp_path: Path, override: str | Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf", chat_template=SOUND)
    model = ModelSpec(name="model", gguf=str(path), chat_template=override)
    (finding,) = examine(read_gguf(path), model)
    assert finding.id == "template-missing"
    assert finding.fix.startswith("correct chat_template or --llm-template")


def test_every_kind_has_a_file() -> None:
    # The rest: below.
    assert {*SPOILT, "template-differs", "vocabulary-unreadable"} == {*IDS}


class TestSound:
    def test_chatml(self, tmp_path: Path) -> None:
        assert findings(tmp_path) == ()

    @pytest.mark.parametrize(
        "source",
        [
            # Thinking is dropped from earlier turns, as by Qwen3 and DeepSeek-R1.
            template(turn=TURN.replace("content }}", "content.split('</think>')[-1] }}")),
            template(turn=TURN.replace("content }}", "content | trim }}")),
            # One that says no to a system message is not silent.
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + SOUND,
            # Contents as JSON.
            template(turn=TURN.replace("content }}", "content | tojson }}")),
            # Harmony: earlier answers end in another way than the last one.
            template(
                turn="<|im_start|>{{ message.role }}\n{{ message.content }}"
                "{{ '<|im_end|>' if loop.last else '<|next|>' }}\n"
            ),
        ],
        ids=["thinking", "trim", "no-system", "json", "harmony"],
    )
    def test_what_honest_templates_do(self, tmp_path: Path, source: str) -> None:
        assert findings(tmp_path, chat_template=source, extra=("<|next|>",)) == ()

    def test_llama_3(self, tmp_path: Path) -> None:
        source = (
            "{{ bos_token }}{{ tools | tojson if tools else '' }}{% for message in messages %}"
            "<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n{{ message.content }}<|eot_id|>"
            "{% endfor %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
        )
        assert findings(tmp_path, chat_template=source, add_bos=True, **LLAMA_3_VOCABULARY) == ()

    def test_plain_text_where_the_vocabulary_knows_no_turns(self, tmp_path: Path) -> None:
        assert findings(tmp_path, chat_template=ALPACA, control=("<s>", "</s>", "<unk>"), bos=0, eos=1) == ()

    def test_an_end_that_the_file_names(self, tmp_path: Path) -> None:
        """GLM ends the assistant's turn with the head of the user's, and says so."""
        assert (
            findings(
                tmp_path,
                chat_template=SOUND.replace("<|im_end|>", "<|done|>"),
                extra=("<|done|>",),
                metadata={"tokenizer.ggml.eot_token_id": 259},
            )
            == ()
        )

    def test_smollm(self, smollm: Path) -> None:
        found = examine(read_gguf(smollm), ModelSpec(name="smollm", gguf=str(smollm)))
        assert [finding.id for finding in found] == ["tools-unread", "odd-end-of-generation"]
        assert "also ends a reply at <reponame>," in found[1].explanation


class TestWords:
    def test_two_families(self, tmp_path: Path) -> None:
        finding = only(tmp_path, chat_template=ALPACA, **LLAMA_3_VOCABULARY)
        assert finding.explanation == (
            "the vocabulary has the control tokens of Llama 3 (<|start_header_id|>, <|end_header_id|>, "
            "<|eot_id|>), but the chat template writes the text of Alpaca and none of them: the model sees a "
            "format that it was not trained on"
        )
        assert "the text of ChatML" in only(tmp_path, **LLAMA_3_VOCABULARY).explanation

    def test_split(self, tmp_path: Path) -> None:
        finding = only(tmp_path, chat_template=template(head="<|begin|>" + HEAD))
        assert "takes them apart: <|begin|> (9 tokens);" in finding.explanation

    def test_end_of_turn(self, tmp_path: Path) -> None:
        source = SOUND.replace("<|im_end|>", "<|done|>")
        finding = only(tmp_path, chat_template=source, extra=("<|done|>",))
        assert "with <|done|>, which does not end generation (these do: <|endoftext|>, <|im_end|>)" in (
            finding.explanation
        )

    def test_the_templates_own_words(self, tmp_path: Path) -> None:
        finding = only(tmp_path, chat_template=SOUND + "{{ raise_exception('never') }}")
        assert "it refuses these messages: never" in finding.explanation
        finding = only(tmp_path, chat_template=SOUND + "{% if tools %}{{ tools.pop() }}{% endif %}")
        assert finding.explanation.startswith(
            "a question with tools cannot be rendered: the chat template of"
        )


class TestOthers:
    def test_a_template_that_is_not_the_references(self, tmp_path: Path) -> None:
        path = tiny_llama(tmp_path / "model.gguf", chat_template=SOUND)
        header, spec = read_gguf(path), ModelSpec(name="q4", gguf=str(path))
        other = read_gguf(tiny_llama(tmp_path / "other.gguf", chat_template=CHATML))
        assert examine(header, spec, (header, replace(spec, name="f16"))) == ()
        (finding,) = examine(header, spec, (other, replace(spec, name="f16")))
        assert (finding.id, finding.severity) == ("template-differs", "warning")
        assert "is not that of the reference 'f16' (" in finding.explanation
        # A reference without a template has that told of itself.
        bare = read_gguf(tiny_llama(tmp_path / "bare.gguf", chat_template=None))
        assert examine(header, spec, (bare, replace(spec, name="f16"))) == ()

    def test_a_vocabulary_that_cannot_be_read(self, tmp_path: Path) -> None:
        path = tiny_llama(tmp_path / "odd.gguf", chat_template=SOUND)
        path.write_bytes(path.read_bytes().replace(b"gpt2", b"gptX", 1))
        (finding,) = examine(read_gguf(path), ModelSpec(name="odd", gguf=str(path)))
        assert finding.id == "vocabulary-unreadable"
        assert "unknown tokenizer: 'gptX'" in finding.explanation

    def test_an_override_is_what_is_judged(self, tmp_path: Path) -> None:
        own = tmp_path / "own.jinja"
        own.write_text(template(answer=""), encoding="utf-8")
        path = tiny_llama(tmp_path / "model.gguf", chat_template=SOUND)
        (finding,) = examine(read_gguf(path), ModelSpec(name="m", gguf=str(path), chat_template=own))
        assert finding.id == "closed-prompt"

    def test_the_template_for_tools_is_asked_about_tools(self, tmp_path: Path) -> None:
        both = [
            {"name": "default", "template": CHATML},
            {"name": "tool_use", "template": SOUND},
        ]
        assert findings(tmp_path, chat_template=both) == ()

    def test_silenced_by_id(self, tmp_path: Path) -> None:
        path = tiny_llama(tmp_path / "model.gguf", chat_template=CHATML, extra=("<reponame>",))
        header = read_gguf(path)
        spec = ModelSpec(name="m", gguf=str(path))
        assert [f.id for f in examine(header, spec)] == ["tools-unread", "odd-end-of-generation"]
        quiet = replace(spec, audit_ignore=("tools-unread",))
        assert [f.id for f in examine(header, quiet)] == ["odd-end-of-generation"]
