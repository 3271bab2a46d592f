"""Files of prompts and responses: what is read, and what is refused in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcheck.checks.instructions import INSTRUCTIONS, no_commas, words
from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.ifeval import Response, read_examples, read_responses
from tests.support.ifeval_corpus import PROMPTS

GOOD = {"key": 7, "prompt": "Hi", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, *lines: dict[str, Any] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path = Path(name)
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


class TestPrompts:
    def test_a_file(self) -> None:
        path = write(
            "p.jsonl",
            GOOD,
            "",
            {
                "prompt": "Ho",
                "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
                "kwargs": [{"num_words": 60, "relation": "less than", "keywords": None}, {"letter": None}],
                "language": "left alone",
            },
        )
        first, second = read_examples(path)
        assert (first.key, first.prompt, first.ids) == (7, "Hi", ("punctuation:no_comma",))
        assert first.checks == (no_commas(),)
        assert second.checks == (words(at_most=59), no_commas())
        assert (second.key, second.source) == ("p.jsonl:3", "p.jsonl:3")
        assert read_examples(path, limit=1) == (first,)

    def test_ours_cover_all_types(self) -> None:
        examples = read_examples(PROMPTS)
        assert {id_ for example in examples for id_ in example.ids} == set(INSTRUCTIONS)
        assert all(1 <= len(example.ids) <= 3 for example in examples)

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (
                {"instruction_id_list": ["punctuation:no_coma"]},
                "no instruction of IFEval has the id 'punctuation:no_coma'; did you mean "
                "'punctuation:no_comma'?; mend the line",
            ),
            (
                {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": 3}]},
                "length_constraints:number_words needs relation; mend the line",
            ),
            (
                {"kwargs": []},
                "instruction_id_list has 1 entries and kwargs 0; each instruction needs one object of "
                "parameters, {} if it has none",
            ),
            (
                {"kwargs": [[]]},
                "kwargs must hold an object for each instruction, got []; write {} where it has no "
                "parameters",
            ),
            (
                {"instruction_id_list": [], "kwargs": []},
                "no instructions; give at least one, or take the line away",
            ),
            ({"instruction_id_list": [3]}, "an instruction id must be a text, got 3; mend the line"),
            ({"instruction_id_list": "x"}, "instruction_id_list must be a list, got 'x'; mend the line"),
            ({"prompt": 3}, "prompt must be a text, got 3; mend the line"),
            ({"key": 1.5}, "key must be a whole number or a text, got 1.5; mend the line"),
            ({"prompt": "Hi"}, "the same key as in p.jsonl:1, 7; give each its own"),
            (
                {"prompt": "One", "key": 8},
                "the same prompt as in p.jsonl:1; responses are found by their prompt, so take one of the "
                "two away",
            ),
        ],
    )
    def test_a_wrong_line(self, change: dict[str, Any], problem: str) -> None:
        path = write("p.jsonl", {**GOOD, "prompt": "One"}, {**GOOD, "key": 7, **{"prompt": "Two"}, **change})
        with pytest.raises(ConfigError) as refusal:
            read_examples(path)
        assert str(refusal.value) == f"p.jsonl:2: {problem}"

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("{", "not JSON at column 2: "),
            ("[]", "expected an object such as "),
            ('{"prompt": "Hi"}', "no field 'instruction_id_list', only prompt; add it"),
            ("{}", "no field 'prompt', only none at all; add it"),
        ],
    )
    def test_no_object_with_all_fields(self, line: str, problem: str) -> None:
        with pytest.raises(ConfigError) as refusal:
            read_examples(write("p.jsonl", line))
        assert str(refusal.value).startswith(f"p.jsonl:1: {problem}")

    def test_a_file_that_cannot_be_read(self) -> None:
        with pytest.raises(ConfigError) as missing:
            read_examples(Path("no.jsonl"))
        assert str(missing.value) == "no.jsonl cannot be read: No such file or directory; correct the path"
        Path("latin.jsonl").write_bytes(b'\n{"prompt": "\xe4"}')
        with pytest.raises(ConfigError) as latin:
            read_examples(Path("latin.jsonl"))
        assert str(latin.value).startswith("latin.jsonl:2: not UTF-8 (")
        with pytest.raises(ConfigError) as empty:
            read_examples(write("empty.jsonl", "", ""))
        assert str(empty.value) == (
            "empty.jsonl holds no prompts; write one to a line, as IFEval's input_data.jsonl does"
        )


class TestResponses:
    def test_found_by_prompt(self) -> None:
        examples = read_examples(write("p.jsonl", GOOD, {**GOOD, "key": 8, "prompt": "Ho"}))
        path = write(
            "r.jsonl",
            {"prompt": "Ho", "response": "2"},
            {"prompt": "He", "response": "0"},
            {"prompt": "Hi", "response": "1", "finish_reason": "length"},
            {"prompt": "Ho", "response": "2"},
        )
        assert read_responses(path, examples) == ((Response("1", "length"), Response("2")), 1)

    def test_cut_off(self) -> None:
        reasons = (None, "stop", "length", "context")
        assert [Response("", reason).cut_off for reason in reasons] == [None, False, True, True]

    @pytest.mark.parametrize(
        ("lines", "problem"),
        [
            (
                [{"prompt": "Ho", "response": "2"}],
                "r.jsonl has no response to the prompt of p.jsonl:1 ('Hi'); add it, or judge fewer prompts "
                "with --limit",
            ),
            (
                [{"prompt": "Hi", "response": "1"}, {"prompt": "Hi", "response": "2"}],
                "r.jsonl:2: another response to the prompt of r.jsonl:1; a file holds one to each prompt, so "
                "take one of the two away",
            ),
            ([{"prompt": "Hi"}], "r.jsonl:1: no field 'response', only prompt; add it"),
            (
                [{"prompt": "Hi", "response": "1", "finish_reason": 1}],
                "r.jsonl:1: finish_reason must be a text or null, got 1; mend the line",
            ),
        ],
    )
    def test_refused(self, lines: list[dict[str, Any]], problem: str) -> None:
        examples = read_examples(write("p.jsonl", GOOD))
        with pytest.raises(ConfigError) as refusal:
            read_responses(write("r.jsonl", *lines), examples)
        assert str(refusal.value) == problem
