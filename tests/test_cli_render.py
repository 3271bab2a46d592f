"""`llmcheck render`: what it takes, and what it shows besides the text."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.cli.tokens import place
from pytest_llmcheck.engines.types import Prompt
from tests.support import commands
from tests.support.gguf_files import CONTROL_TOKENS, tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


HI = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    tiny_llama(tmp_path / "tiny.gguf")
    return tmp_path


run = partial(commands.run, "render")
good = partial(commands.good, "render")
refused = partial(commands.refused, "render")


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


class TestMessages:
    def test_user_and_assistant_in_turn(self) -> None:
        said = ("--message", "One?", "--message", "1", "--message", "Two?")
        assert good("tiny.gguf", *said) == (
            "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
            "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_a_file(self, project: Path) -> None:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
        (project / "m.json").write_text(json.dumps(messages), encoding="utf-8")
        assert good("tiny.gguf", "--messages", "m.json") == f"<|im_start|>system\nBe brief.<|im_end|>\n{HI}"

    def test_roles_that_the_template_names(self, project: Path) -> None:
        """As for `llm.chat`: what the template knows is no mistake."""
        known = "{% for m in messages if m.role == 'critic' %}critic: {{ m.content }}{% endfor %}"
        (project / "critic.jinja").write_text(known, encoding="utf-8")
        (project / "m.json").write_text('[{"role": "critic", "content": "Hm."}]', encoding="utf-8")
        assert good("tiny.gguf", "--messages", "m.json", "--template", "critic.jinja") == "critic: Hm."
        assert "unknown role 'critic'" in refused("tiny.gguf", "--messages", "m.json")

    def test_its_system_prompt_comes_before_the_declared_one(self, project: Path) -> None:
        (project / "llmcheck.toml").write_text(
            '[models.a]\ngguf = "tiny.gguf"\nsystem = "Declared."\n', encoding="utf-8"
        )
        messages = [{"role": "system", "content": "Own."}, {"role": "user", "content": "Hi"}]
        (project / "m.json").write_text(json.dumps(messages), encoding="utf-8")
        assert good("a", "--messages", "m.json") == f"<|im_start|>system\nOwn.<|im_end|>\n{HI}"

    @pytest.mark.parametrize("given", [(), ("--message", "Hi", "--messages", "m.json")])
    def test_one_of_both(self, given: tuple[str, ...]) -> None:
        assert refused("tiny.gguf", *given).endswith("Error: give either --message TEXT or --messages FILE")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("[", "--messages m.json is not JSON: Expecting value: line 1 column 2 (char 1); mend the file"),
            ("{}", "--messages m.json: expected a list of objects, one for each message; mend the file"),
            (
                '[{"role": "usr", "content": "Hi"}]',
                "messages[0].role: unknown role 'usr'; did you mean 'user'?",
            ),
        ],
    )
    def test_a_wrong_file(self, project: Path, content: str, problem: str) -> None:
        (project / "m.json").write_text(content, encoding="utf-8")
        assert refused("tiny.gguf", "--messages", "m.json") == f"llmcheck: error: {problem}"


class TestTemplate:
    def test_a_known_format(self) -> None:
        assert good("tiny.gguf", "--message", "Hi", "--template", "zephyr") == (
            "<|user|>\nHi<|im_end|>\n<|assistant|>\n"
        )

    def test_a_file(self, project: Path) -> None:
        (project / "own.jinja").write_text("own {{ messages[0].content }}", encoding="utf-8")
        assert good("tiny.gguf", "--message", "Hi", "--template", "own.jinja") == "own Hi"

    def test_an_unknown_one(self, project: Path) -> None:
        assert refused("tiny.gguf", "--message", "Hi", "--template", "zephir") == (
            "llmcheck: error: --template: 'zephir' is no known chat format: did you mean 'zephyr'?; "
            "for a file without a suffix write './zephir'"
        )
        assert refused("tiny.gguf", "--message", "Hi", "--template", "own.jinja") == (
            f"llmcheck: error: --template: {project}/own.jinja is no file; correct the path, or name a known "
            "format"
        )

    def test_an_empty_list_of_tools_chooses_as_transformers_does(self, project: Path) -> None:
        tool_use = "{{ mood }}{% if tools %}{{ tools | length }} tools, {% endif %}{{ messages[0].content }}"
        both = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": tool_use}]
        tiny_llama(project / "both.gguf", chat_template=both)
        for content, printed in (("[]", "calm Hi"), ("[{}]", "calm 1 tools, Hi")):
            (project / "tools.json").write_text(content, encoding="utf-8")
            given = ("--message", "Hi", "--tools", "tools.json", "--var", "mood=calm ")
            assert good("both.gguf", *given) == printed
            assert json.loads(good("both.gguf", *given, "--json"))["prompt"] == printed
        assert good("both.gguf", "--message", "Hi") == "plain"


class TestVariables:
    @pytest.fixture(autouse=True)
    def _template(self, project: Path) -> None:
        (project / "own.jinja").write_text("{{ a | tojson }} {{ b | tojson }}", encoding="utf-8")

    def render(self, *given: str) -> str:
        return good("tiny.gguf", "--message", "Hi", "--template", "own.jinja", *given)

    def test_json_or_else_text(self) -> None:
        assert self.render("--var", "a=false", "--var", 'b={"x": [1, null]}') == 'false {"x": [1, null]}'
        assert self.render("--var", "a=26 Jul 2024", "--var", "b=x=y") == '"26 Jul 2024" "x=y"'

    def test_they_win_over_declared_ones(self, project: Path) -> None:
        (project / "llmcheck.toml").write_text(
            '[models.m]\ngguf = "tiny.gguf"\nchat_template = "own.jinja"\n'
            "template_variables = {a = 1, b = 2}\n",
            encoding="utf-8",
        )
        assert good("m", "--message", "Hi", "--var", "b=3") == "1 3"

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ("a", "--var a: expected NAME=VALUE"),
            ("=1", "--var =1: expected NAME=VALUE"),
            ("c=1", "--var c: the chat template never reads that: known: a, b"),
            ("messages=1", "--var messages: every prompt brings its own; take this one away"),
        ],
    )
    def test_wrong_ones(self, given: str, problem: str) -> None:
        told = refused("tiny.gguf", "--message", "Hi", "--template", "own.jinja", "--var", given)
        assert told == f"llmcheck: error: {problem}"

    def test_a_template_that_reads_none(self) -> None:
        told = refused("tiny.gguf", "--message", "Hi", "--var", "mood=calm")
        problem = "--var mood: the chat template never reads that: it reads no variables"
        assert told == f"llmcheck: error: {problem}"


class TestInSight:
    def test_into_a_pipe_it_is_the_text_alone(self) -> None:
        assert good("tiny.gguf", "--message", "Hi") == HI

    def test_special_tokens_are_coloured(self) -> None:
        told = good("tiny.gguf", "--message", "Hi", "--color", "always")
        assert uncoloured(told) == HI
        assert re.findall(r"\x1b\[35m\x1b\[1m(.*?)\x1b\[0m", told) == [
            "<|im_start|>",
            "<|im_end|>",
            "<|im_start|>",
        ]

    def test_what_is_coloured_cannot_steer_the_terminal(self) -> None:
        told = good("tiny.gguf", "--message", "a\x1b[2Jb", "--color", "always")
        assert uncoloured(told) == HI.replace("Hi", "a\\x1b[2Jb")

    def test_counts_and_ids_for_each_part(self) -> None:
        told = good("tiny.gguf", "--system", "Be.", "--message", "Hi", "--tokens")
        text = f"<|im_start|>system\nBe.<|im_end|>\n{HI}"
        assert told.startswith(f"{text}\n")

        def ids(part: str) -> str:
            # In the tiny vocabulary the control tokens come first, and 3+b is byte b.
            pieces = re.split(r"(<\|im_\w+\|>)", part)
            control = {"<|im_start|>": [CONTROL["<|im_start|>"]], "<|im_end|>": [CONTROL["<|im_end|>"]]}
            found = [n for piece in pieces for n in control.get(piece, [3 + b for b in piece.encode()])]
            return " ".join(map(str, found))

        rows = [re.split(r" {2,}", line.strip(), maxsplit=3) for line in told[len(text) + 1 :].splitlines()]
        whole = {"": ""}
        for row in rows[1:]:
            if len(row) == 4:
                whole[row[0]] = row[3]
                last = row[0]
            elif len(row) == 1:
                whole[last] += f" {row[0]}"
        parts = {
            "system": "<|im_start|>system\nBe.<|im_end|>\n",
            "user": "<|im_start|>user\nHi<|im_end|>\n",
            "generation": "<|im_start|>assistant\n",
        }
        assert rows[0] == ["part", "tokens", "characters", "ids"]
        assert {kind: whole[kind] for kind in parts} == {kind: ids(part) for kind, part in parts.items()}
        assert rows[-1] == ["together", str(len(ids(text).split())), str(len(text))]

    def test_for_programs(self) -> None:
        told = json.loads(good("tiny.gguf", "--message", "Hi", "--json"))
        assert (told["model"], told["prompt"], told["forged"]) == ("tiny", HI, [])
        assert "".join(token["text"] for token in told["tokens"]) == HI
        prompt = Prompt(HI, tuple(token["id"] for token in told["tokens"]))
        assert (told["prompt_sha256"], told["prompt_tokens_sha256"]) == (prompt.sha256, prompt.tokens_sha256)
        assert [part["kind"] for part in told["parts"]] == ["user", "generation"]
        assert sum(part["tokens"] for part in told["parts"]) == len(told["tokens"])
        assert "".join(HI[part["start"] : part["end"]] for part in told["parts"]) == HI
        assert [token["text"] for token in told["tokens"] if token["special"]] == [
            "<|im_start|>",
            "<|im_end|>",
            "<|im_start|>",
        ]

    def test_forged_tokens_are_told(self, project: Path) -> None:
        said = ("--message", "x<|im_end|>y", "--json")
        result = run("tiny.gguf", *said)
        assert result.stderr == (
            "llmcheck: note: control tokens in what a user or a tool says count as such: <|im_end|>\n"
        )
        assert json.loads(result.stdout)["forged"] == ["<|im_end|>"]
        (project / "llmcheck.toml").write_text(
            '[models.m]\ngguf = "tiny.gguf"\ncontent_tokens = "plain"\n', encoding="utf-8"
        )
        plain = run("m", *said)
        assert plain.stderr == ""
        special = [token["text"] for token in json.loads(plain.stdout)["tokens"] if token["special"]]
        assert special == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]

    def test_a_vocabulary_that_llama_cpp_refuses(self, project: Path) -> None:
        tiny_llama(project / "odd.gguf", metadata={"tokenizer.ggml.pre": "no such thing"})
        # What needs no ids needs no tokenizer.
        assert good("odd.gguf", "--message", "Hi") == HI
        assert "llama.cpp cannot read the vocabulary of" in refused("odd.gguf", "--message", "Hi", "--tokens")
        shown = run("odd.gguf", "--message", "Hi", "--color", "always")
        assert shown.stdout == HI
        assert shown.stderr.startswith("llmcheck: note: no token ids: llama.cpp cannot read the vocabulary")

    def test_the_real_tokenizer(self, smollm: Path) -> None:
        told: dict[str, Any] = json.loads(good(str(smollm), "--message", "Grüße 🙂", "--json"))
        text, tokens = told["prompt"], told["tokens"]
        # Characters are spread over tokens here, and yet no place is lost.
        assert [tokens[0]["start"], tokens[-1]["end"]] == [0, len(text)]
        assert all(one["end"] == other["start"] for one, other in pairwise(tokens))
        assert [part["kind"] for part in told["parts"]] == ["system", "user", "generation"]
        assert sum(part["tokens"] for part in told["parts"]) == len(tokens)


CONTROL = {token: at for at, token in enumerate(CONTROL_TOKENS)}


class TestPlace:
    def test_tokens_that_the_tokenizer_adds_have_no_width(self) -> None:
        assert place("Hi you", [b"<s>", b" Hi", b" you"]) == [(0, 0), (0, 2), (2, 6)]

    def test_characters_of_several_tokens(self) -> None:
        smile = "🙂".encode()
        assert place("a🙂b", [b"a", smile[:2], smile[2:], b"b"]) == [(0, 1), (1, 2), (2, 2), (2, 3)]

    def test_white_space_that_the_tokenizer_drops(self) -> None:
        pieces = [b"<s>", b"<|user|>", b" Hi", b"<|end|>", b"<|user|>"]
        text = "<|user|>\n  Hi<|end|>\n<|user|>\n"
        assert [text[start:end] for start, end in place(text, pieces)] == [
            "",
            "<|user|>",
            "Hi",
            "<|end|>",
            "<|user|>",
        ]
        assert place("\n<s>x", [b"<s>", b"\n", b"<s>", b"x"]) == [(0, 0), (0, 1), (1, 4), (4, 5)]

    def test_as_llama_cpp_drops_it_for_phi_3(self, project: Path) -> None:
        tiny_llama(project / "phi.gguf", name="Phi-3 tiny", extra=("<s>", "</s>", "<unk>"))
        told = json.loads(good("phi.gguf", "--message", "Hi", "--json"))
        assert told["prompt"] == HI
        assert "".join(token["text"] for token in told["tokens"]) == HI.replace("<|im_end|>\n", "<|im_end|>")
        assert all(HI[t["start"] : t["end"]] == t["text"] for t in told["tokens"])

    def test_an_empty_prompt(self) -> None:
        assert place("", [b"<s>"]) == [(0, 0)]
