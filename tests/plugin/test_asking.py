"""`chat_many`, `sample`, `score`, `constrain` as tests use them; candidates that differ in a setting."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.session.record import TestLine, read_record
from tests.support.adapters import tiny_lora
from tests.support.projects import errors, table

if TYPE_CHECKING:
    from tests.support.projects import Project


def test_many_are_what_each_is_alone(project: Project) -> None:
    project.declare("f16")
    project.tests(
        dedent("""
        def test_many(llm):
            asked = [f"Number {i}" for i in range(9)]
            many = llm.chat_many(asked, max_tokens=12)
            assert [r.tokens for r in many] == [llm.chat(a, max_tokens=12).tokens for a in asked]
            assert max(r.timings.company for r in many) >= 1

        def test_samples(llm):
            samples = llm.sample("x", n=5, temperature=1.5, seed=7, max_tokens=8)
            assert len(samples) == 5 and len(samples[1:3]) == 2
            alone = [llm.chat("x", temperature=1.5, seed=7 + i, max_tokens=8).text for i in range(5)]
            assert samples.texts == tuple(alone)
            assert repr(samples).startswith("<5 samples, ")

        def test_nothing(llm):
            assert llm.chat_many([]) == []
        """)
    )
    assert project.run("--llm-cache", "off").ret == 0
    assert project.tests_asked() == {"test_many": 18, "test_samples": 10, "test_nothing": 0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("llm.sample('x', n=3, temperature=0)", "sample at temperature 0 is one answer repeated"),
        ("llm.sample('x', n=0, temperature=1)", "n must be a whole number of at least 1, got 0"),
        ("llm.sample('x', n=2, temperature=1, seed=2**64 - 1)", "seed must be from 0 to 2**64 - 1"),
        ("llm.chat_many('x')", "chat_many takes a list with one entry for each reply"),
        ("llm.chat_many(['x', ''], max_tokens=-1)", "max_tokens must be at least 1"),
        ("llm.score('x', [1, 'a'])", "a continuation is a text, a reply or token ids; got 'a' among them"),
        ("llm.score('x', '')", "the continuation is empty: there is nothing to score"),
        ("llm.chat('x', constrain=3)", "expected a JSON Schema (a dict) or the text of a GBNF grammar"),
        ("llm.chat('x', constrain='root ::= missing')", "missing"),
        ("llm.chat('x', constrain={'type': 'strin'})", "strin"),
        ("llm.chat('x', constrian={})", "did you mean 'constrain'?"),
    ],
)
def test_wrong_calls_name_the_remedy(project: Project, call: str, message: str) -> None:
    project.declare("f16")
    project.tests(
        f"def test_wrong(llm):\n    {call}\n\ndef test_right(llm):\n    llm.chat('x', max_tokens=2)\n"
    )
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    assert message in "\n".join(errors(result))


def test_scores(project: Project) -> None:
    project.declare("f16", "q4")
    project.tests(
        dedent("""
        import math

        def test_score(llms):
            llm, other = llms["f16"], llms["q4"]
            reply = llm.chat("x", max_tokens=10)
            score = llm.score("x", reply)
            ids = [t.id for t in reply.tokens] + ([reply.end.id] if reply.end else [])
            assert [t.id for t in score.tokens] == ids
            assert score.tokens == llm.score("x", ids).tokens
            assert math.isclose(score.perplexity, math.exp(-score.logprob / len(ids)))
            assert score.divergence == ()
            same = llm.score("x", reply, against=llm)
            assert max(map(abs, same.divergence)) < 1e-12 and all(same.same_top)
            assert other.score("x", reply, against=llm).mean_divergence > 0.01
            assert other.score("x", "a text").tokens[0].logprob < 0
        """)
    )
    assert project.run().ret == 0


def test_models_with_other_vocabularies_are_not_compared(project: Project) -> None:
    from tests.support.gguf_files import tiny_llama

    project.declare("f16", other=tiny_llama(project.path / "other.gguf", n_vocab=300))
    project.tests(
        "def test_it(llms):\n    llms['f16'].score('x', 'y', against=llms['other'])\n",
    )
    result = project.run()
    assert "models 'f16' and 'other' have different vocabularies" in "\n".join(errors(result))


def test_a_constraint_is_given_as_a_schema_is(project: Project) -> None:
    project.declare("f16")
    project.write("number.json", '{"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"]}')
    project.tests(
        dedent("""
        from dataclasses import dataclass
        from pathlib import Path
        from typing import Literal

        from pytest_llmcheck import matches_schema

        @dataclass
        class Number:
            n: Literal[7]

        def test_it(llm):
            file = Path("number.json")
            ways = (Number, "number.json", file, file.read_text())
            replies = [llm.chat("x", constrain=way) for way in ways]
            assert [reply.json() for reply in replies] == [{"n": 7}] * 4
            replies[0].expect(matches_schema(Number))
        """)
    )
    project.run().assert_outcomes(passed=1)


def test_a_constrained_reply_says_so(project: Project) -> None:
    project.declare("f16")
    project.tests(
        dedent("""
        from pytest_llmcheck import contains

        SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9,
                  "multipleOf": 2}}, "required": ["n"], "additionalProperties": False}

        def test_it(llm):
            reply = llm.chat("x", constrain=SCHEMA)
            assert 1 <= reply.json()["n"] <= 9
            assert reply.unenforced == ("multipleOf at $.n",)
            assert reply.fingerprint.constraint and not llm.chat("x").fingerprint.constraint
            assert llm.chat("x", constrain='root ::= "yes" | "no"').text in ("yes", "no")
            reply.expect(contains("nowhere"))
        """)
    )
    result = project.run()
    said = errors(result)
    assert "1 check failed on f16, F16" in said[0]
    assert "(decoded under a constraint, which leaves out: multipleOf at $.n)" in said[0]


def test_adapters_and_cache_types_are_candidates(project: Project) -> None:
    """Each is named as the cause, and the weights are loaded once."""
    project.declare("f16")
    tiny_lora(project.path / "support.gguf", project.models / "f16.gguf", magnitude=3.0)
    settings = (project.path / "pyproject.toml").read_text(encoding="utf-8")
    project.write(
        "pyproject.toml",
        settings
        + '[tool.llmcheck.models.support]\nfrom = "f16"\nlora = ["support.gguf"]\n'
        + '[tool.llmcheck.models.plain]\nfrom = "f16"\nlora = [{gguf = "support.gguf", scale = 0.0}]\n'
        + '[tool.llmcheck.models.cache]\nfrom = "f16"\nkv = "f32"\n',
    )
    project.tests(
        dedent("""
        def test_words(llm, llm_snapshot):
            assert llm.chat("Say something", max_tokens=30) == llm_snapshot(compare="text")

        def test_one_host(llms):
            asking = [llms[name]._asking for name in ("f16", "support", "cache")]
            assert all(llms[one.spec.name].chat("x", max_tokens=1) for one in asking)
            assert len({one.run.answers.engine(one.settings).pid for one in asking}) == 1
        """)
    )
    assert project.run("--llm-update").ret == 0
    result = project.run("--llm-model", "f16,support,plain,cache", "--llm-cache", "off")
    assert "cause: the LoRA adapters changed (none -> " in "\n".join(errors(result))
    words = next(line for line in table(result) if "test_words" in line)
    assert words.split()[1:3] == ["passed", "FAILED"]
    made = {line.model: line.replies[0].fingerprint for line in project_lines(project)}
    assert len({fingerprint.weights for fingerprint in made.values()}) == 1
    assert made["support"].adapters[0].endswith("@1")
    assert made["cache"].numerics.cache == "f32/f32"


def project_lines(project: Project) -> list[TestLine]:
    newest = max(project.records, key=lambda path: path.stat().st_mtime)
    return [line for line in read_record(newest) if isinstance(line, TestLine) and line.model]


def test_a_fully_cached_run_says_so(project: Project) -> None:
    project.declare("f16")
    project.tests("def test_it(llm):\n    llm.chat_many(['a', 'b', 'c'], max_tokens=4)\n")
    first, second = (project.run("-v", "--llm-cache", "on") for _ in range(2))
    assert not any("reply cache" in line for line in table(first))
    assert "3 of 3 replies came from the reply cache (--llm-cache off asks again)" in table(second)
