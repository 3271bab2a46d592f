"""`llmcheck ifeval`: what it asks, prints, writes and refuses."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import commands
from tests.support.ifeval_corpus import PROMPTS as ALL
from tests.support.ifeval_corpus import prompts, replies
from tests.support.steered import steered_llama

PROMPTS = [
    {"key": "a", "prompt": "One", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {
        "key": "b",
        "prompt": "Two",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"relation": "at least", "num_words": 2}],
    },
    {
        "key": "c",
        "prompt": "Three",
        "instruction_id_list": ["language:response_language"],
        "kwargs": [{"language": "de"}],
    },
]

run = partial(commands.run, "ifeval")
good = partial(commands.good, "ifeval")


def refused(*arguments: str) -> str:
    """The error of a run that is refused, which prints nothing else."""
    told = commands.refused("ifeval", *arguments)
    return told.rpartition("\n")[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all tests: each model is loaded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models, one of which says a comma."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(cache))
    steered_llama(tmp_path / "plain.gguf", "1 2345")
    steered_llama(tmp_path / "comma.gguf", "1, 2345")
    (tmp_path / "llmcheck.toml").write_text(
        'reference = "plain"\naudit_ignore = ["wrong-family"]\n'
        '[models.plain]\ngguf = "plain.gguf"\n[models.comma]\ngguf = "comma.gguf"\n'
    )
    write("prompts.jsonl", *PROMPTS)
    return tmp_path


def write(name: str, *lines: dict[str, Any]) -> None:
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def record(name: str, *texts: str) -> None:
    """A file of responses in the official format."""
    lines = ({"prompt": p["prompt"], "response": text} for p, text in zip(PROMPTS, texts, strict=True))
    write(name, *lines)


class TestModels:
    def test_one(self) -> None:
        """It says two words without a comma, in no language.

        By hand: of clusters of 1, 2 and 1 verdicts 1, 2 and 0 are good, so the rate is 0.75, its clustered
        variance 0.08203, and the effective number of verdicts 4 * 0.0625 / 0.08203 = 3.048.
        """
        result = run("prompts.jsonl", "--model", "plain")
        assert result.exit_code == 0, result.stderr
        assert result.stderr == "llmcheck: plain answers 3 prompts ...\n"
        assert (
            result.stdout
            == """\
3 prompts with 4 instructions

                                           plain
prompt level, strict       66.7 % (20.8 to 93.9)
instruction level, strict  75.0 % (25.8 to 96.3)
prompt level, loose        66.7 % (20.8 to 93.9)
instruction level, loose   75.0 % (25.8 to 96.3)
replies cut off                                0
undecided, strict                              1
undecided, loose                               1
"""
        )

    def test_two(self) -> None:
        table = good("prompts.jsonl", "--model", "plain", "--model", "comma").partition("\ncomma against ")[2]
        assert (
            table
            == """\
plain

                           right->wrong  wrong->right                      difference  p (McNemar)
prompt level, strict                  2             0    -66.7 points (-93.9 to +5.9)          0.5
instruction level, strict             2             0  -50.0 points (-100.0 to +43.2)
prompt level, loose                   2             0    -66.7 points (-93.9 to +5.9)          0.5
instruction level, loose              2             0  -50.0 points (-100.0 to +43.2)
"""
        )

    def test_a_bound_and_the_first_prompts(self) -> None:
        told = json.loads(
            good("prompts.jsonl", "--model", "plain", "--limit", "2", "--max-tokens", "1", "--json")
        )
        assert (told["prompts"], told["instructions"]) == (2, 3)
        (side,) = told["sides"]
        assert side["cut_off"] == 2
        assert side["types"]["length_constraints:number_words"] == {"strict": 0, "loose": 0, "of": 1}

    def test_a_file_that_is_not_declared(self, project: Path) -> None:
        """What is wrong with its prompts is told, as at the end of a test run."""
        (project / "plain.gguf").rename("other.gguf")
        (project / "llmcheck.toml").unlink()
        result = run("prompts.jsonl", "--model", "other.gguf", "--json")
        (side,) = json.loads(result.stdout)["sides"]
        assert (side["name"], side["model"]["quant"]) == ("other", "F16")
        assert "\nllmcheck: note: model 'other': error wrong-family: " in result.stderr

    def test_saved_responses_give_the_same_numbers(self, project: Path) -> None:
        asked = ("--model", "plain", "--model", "comma", "--save", "p.jsonl", "--save", "c.jsonl")
        told = json.loads(good("prompts.jsonl", *asked, "--json"))
        assert json.loads((project / "c.jsonl").read_text().splitlines()[0]) == {
            "prompt": "One",
            "response": "1, 2345",
            "finish_reason": "stop",
        }
        again = json.loads(
            good("prompts.jsonl", "--responses", "p.jsonl", "--responses", "c.jsonl", "--json")
        )
        assert again["changes"] == told["changes"]
        for one, other in zip(again["sides"], told["sides"], strict=True):
            assert (one.pop("model"), one.pop("name")[0]) == (None, other.pop("name")[0])
            assert set(other.pop("model")) == {"quant", "weights", "build"}
            assert one == other

    def test_what_is_saved_is_whole_or_left_alone(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another file is overwritten, as with any tool; links stay."""
        (project / "old.jsonl").write_text("old")
        (project / "link").symlink_to("old.jsonl")
        asked = ("prompts.jsonl", "--model", "plain", "--limit", "1", "--save")
        good(*asked, "link")
        assert (project / "link").is_symlink()
        new = (project / "old.jsonl").read_text()
        assert json.loads(new)["response"] == "1 2345"
        os.mkfifo("pipe")  # as /dev/stdout may be
        pipe = os.open("pipe", os.O_RDWR)
        good(*asked, "pipe")
        assert os.read(pipe, 9999).decode() == new
        os.close(pipe)

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        before = sorted(path.name for path in project.iterdir())
        monkeypatch.setattr(Path, "replace", full)
        assert refused(*asked, "old.jsonl") == (
            "llmcheck: error: --save old.jsonl cannot be written: No space left on device; choose another "
            "place"
        )
        assert (project / "old.jsonl").read_text() == new
        assert sorted(path.name for path in project.iterdir()) == before

    def test_the_second_time_nobody_is_asked(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(project / "cache"))
        first = good("prompts.jsonl", "--model", "plain")
        assert good("prompts.jsonl", "--model", "plain", "--cache", "only") == first
        assert refused("prompts.jsonl", "--model", "comma", "--cache", "only") == (
            "llmcheck: error: not in the reply cache: what decides the replies of model 'comma' on this "
            "machine (libraries, processor, settings). With --cache only no model is asked; run once with "
            "--cache on to fill it"
        )


class TestResponses:
    def test_no_model_is_run(self, project: Path) -> None:
        """Not even a configuration is read."""
        (project / "llmcheck.toml").write_text("nonsense")
        record("r.jsonl", "fine", "all, fine", "Das ist ein ganz einfacher deutscher Satz ohne jedes Komma.")
        table = good("prompts.jsonl", "--responses", "r.jsonl", "--types")
        assert (
            table
            == """\
3 prompts with 4 instructions

                                         r.jsonl
prompt level, strict       66.7 % (20.8 to 93.9)
instruction level, strict  75.0 % (30.1 to 95.4)
prompt level, loose        66.7 % (20.8 to 93.9)
instruction level, loose   75.0 % (30.1 to 95.4)
replies cut off                          unknown
undecided, strict                              0
undecided, loose                               0

instructions followed, strictly / loosely / all

                                   r.jsonl
language:response_language       1 / 1 / 1
length_constraints:number_words  1 / 1 / 1
punctuation:no_comma             1 / 1 / 2
"""
        )

    def test_json(self) -> None:
        record("r.jsonl", "fine", "all fine", "1")
        record("s.jsonl", "a, b", "all fine", "1")
        told = json.loads(good("prompts.jsonl", "--responses", "r.jsonl", "--responses", "s.jsonl", "--json"))
        assert [side["name"] for side in told["sides"]] == ["r.jsonl", "s.jsonl"]
        strict = told["sides"][0]["prompt_level_strict_acc"]
        assert (strict["followed"], strict["of"], strict["value"]) == (2, 3, 2 / 3)
        change = told["changes"]["prompt_level_strict_acc"]
        assert (change["right_to_wrong"], change["wrong_to_right"], change["p"]) == (["a"], [], 1.0)

    def test_recorded_against_a_model(self) -> None:
        record("r.jsonl", "1, 2345", "1, 2345", "1, 2345")
        table = good("prompts.jsonl", "--model", "plain", "--responses", "r.jsonl")
        assert "\nplain against r.jsonl\n" in table

    def test_responses_to_other_prompts(self) -> None:
        record("r.jsonl", "1", "2", "3")
        result = run("prompts.jsonl", "--responses", "r.jsonl", "--limit", "1")
        assert result.stderr == "llmcheck: note: r.jsonl: 2 responses to other prompts are left out\n"
        assert result.stdout.startswith("1 prompt with 1 instruction\n")


def test_the_output_on_the_page(project: Path) -> None:
    """It is that of the recorded replies; the names of the files are those of the models there."""
    page = (Path(__file__).parents[1] / "docs" / "ifeval.md").read_text(encoding="utf-8")
    _, _, shown = page.partition(
        "$ llmcheck ifeval prompts.jsonl --model q4_1 --model q2_k --max-tokens 160\n"
    )
    for model in ("q4_1", "q2_k"):
        said = (reply for reply in replies() if (reply["model"], reply["seed"]) == (model, None))
        lines = (
            {
                "prompt": prompts()[one["key"]]["prompt"],
                **{name: one[name] for name in ("response", "finish_reason")},
            }
            for one in said
        )
        write(model, *lines)
    assert good(str(ALL), "--responses", "q4_1", "--responses", "q2_k") == shown.partition("```")[0]


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ((), "Error: give --model or --responses, once or, to compare, twice in all; got 0"),
            (
                ("--model", "a", "--model", "b", "--responses", "r.jsonl"),
                "Error: give --model or --responses, once or, to compare, twice in all; got 3",
            ),
            (
                ("--model", "plain", "--model", "comma", "--save", "s.jsonl"),
                "Error: give --save once for each --model; got 1 for 2",
            ),
            (
                ("--responses", "r.jsonl", "--save", "s.jsonl"),
                "Error: give --save once for each --model; got 1 for 0",
            ),
            (
                ("--model", "plain", "--save", "."),
                "llmcheck: error: --save .: is a folder; correct the path",
            ),
            (
                ("--model", "plain", "--save", "no/s.jsonl"),
                "llmcheck: error: --save no/s.jsonl: its folder no does not exist; correct the path",
            ),
            (
                ("--model", "plain", "--save", "link.jsonl"),
                "llmcheck: error: --save link.jsonl: that is the file of prompts; write to another one",
            ),
            (
                ("--responses", "r.jsonl", "--model", "plain", "--save", "./r.jsonl"),
                "llmcheck: error: --save r.jsonl: that is a file of --responses; write to another one",
            ),
            (
                ("--model", "plain", "--model", "comma", "--save", "s.jsonl", "--save", "./s.jsonl"),
                "llmcheck: error: --save s.jsonl: given twice; give each model a file of its own",
            ),
            (
                ("--responses", "r.jsonl", "--max-tokens", "9"),
                "Error: --max-tokens bounds what a model answers; give --model, or leave it out",
            ),
            (
                ("--model", "all"),
                "llmcheck: error: --model all: expected one model, got 2; name them one by one",
            ),
        ],
    )
    def test_options(self, arguments: tuple[str, ...], problem: str) -> None:
        Path("link.jsonl").symlink_to("prompts.jsonl")
        before = Path("prompts.jsonl").read_bytes()
        assert refused("prompts.jsonl", *arguments) == problem
        assert Path("prompts.jsonl").read_bytes() == before

    def test_an_empty_prompt(self) -> None:
        write("bad.jsonl", PROMPTS[0], {**PROMPTS[1], "prompt": " "})
        assert refused("bad.jsonl", "--model", "plain") == (
            "llmcheck: error: bad.jsonl:2: the prompt is empty; write one, or take the line away"
        )

    def test_a_model_that_is_not_declared(self) -> None:
        assert "'plainn'" in refused("prompts.jsonl", "--model", "plainn")

    def test_a_wrong_line(self) -> None:
        write("bad.jsonl", PROMPTS[0], {**PROMPTS[1], "instruction_id_list": ["x", "y"]})
        assert refused("bad.jsonl", "--model", "plain").startswith(
            "llmcheck: error: bad.jsonl:2: no instruction of IFEval has the id 'x'; "
        )
