"""Rates over samples as tests use them: outcomes, what is asked and when, what is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.session.answers import Answers
from tests.support.projects import errors, table
from tests.support.steered import steered_llama

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.projects import Project

SEEDS = """
from dataclasses import dataclass
from pytest_llmcheck import Status, Verdict

@dataclass(frozen=True)
class SeedsBelow:
    limit: int
    name = "seeds_below"

    def __call__(self, reply):
        seed = reply.fingerprint.sampling.seed
        status = Status.PASSED if seed < self.limit else Status.FAILED
        return Verdict(status, repr(self), f"the seed is {seed}")

def thirty(llm):
    return llm.sample("Capital of France?", n=30, temperature=1.0)
"""
"""A check that passes as many samples as it is told to, of a model that always says the same."""

HEAD = "from pytest_llmcheck import contains\nfrom seeds import SeedsBelow, thirty\n"


@pytest.fixture(autouse=True)
def _declared(project: Project) -> None:
    project.declare(f16=steered_llama(project.path / "paris.gguf", "Paris"))
    project.write("seeds.py", SEEDS)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replies each call to the engines asked for."""
    sizes: list[int] = []
    complete = Answers.complete

    def counted(self: Answers, settings: Any, requests: Sequence[Any]) -> Any:
        sizes.append(len(requests))
        return complete(self, settings, requests)

    monkeypatch.setattr(Answers, "complete", counted)
    return sizes


class TestOutcomes:
    def test_passed(self, project: Project, batches: list[int]) -> None:
        project.tests(
            f"{HEAD}def test_a(llm):\n"
            "    assert thirty(llm).expect(contains('Paris'), rate=0.9).texts == ('Paris',) * 30\n"
        )
        project.run().assert_outcomes(passed=1)
        assert batches == [30]
        (line,) = project.test_lines
        assert [reply.fingerprint.sampling.seed for reply in line.replies] == list(range(30))
        (verdict,) = line.verdicts
        assert (verdict.check, verdict.status) == ("contains('Paris') at rate 0.9", "passed")
        assert verdict.evidence["n"] == verdict.evidence["passed"] == 30
        assert verdict.evidence["low"] == pytest.approx(0.917, abs=1e-3)

    def test_failed(self, project: Project) -> None:
        project.tests(
            f"{HEAD}def test_a(llm):\n"
            "    samples = thirty(llm)\n"
            "    samples.expect(SeedsBelow(20), rate=0.9)\n"
        )
        result = project.run()
        assert errors(result) == [
            "pytest_llmcheck.CheckFailed: too few of 30 samples passed on f16, F16",
            "SeedsBelow(limit=20) at rate 0.9: 20 of 30 passed (66.7 %); at 95 % confidence at most 79.0 % "
            "of all replies pass (Wilson), and 90 % should",
            "all texts are the same",
            "samples[20], seed 20: 'Paris'",
            "SeedsBelow(limit=20): the seed is 20",
            "samples[21], seed 21: 'Paris'",
            "SeedsBelow(limit=20): the seed is 21",
            "samples[22], seed 22: 'Paris'",
            "SeedsBelow(limit=20): the seed is 22",
            "and 7 more that failed; the run record has all replies",
        ]
        result.stdout.fnmatch_lines(
            [">       samples.expect(SeedsBelow(20), rate=0.9)", "test_it.py:5: CheckFailed"]
        )
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
        assert [verdict.status for verdict in project.test_lines[0].verdicts] == ["failed"]

    def test_inconclusive(self, project: Project) -> None:
        project.tests(f"{HEAD}def test_a(llm): thirty(llm).expect(SeedsBelow(28), rate=0.9)\n")
        result = project.run("-rs", "--llm-cache", "on")
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(
            [
                "SKIPPED [[]1] test_it.py:3: inconclusive: SeedsBelow(limit=28) at rate 0.9: 28 of 30 passed "
                "(93.3 %), which shows neither *; at this share, 224 samples would have decided it"
            ]
        )
        assert table(result)[1].split()[-1] == "undecided"
        project.run("--llm-strict", "--llm-cache", "on").assert_outcomes(failed=1)

    def test_every_sample_without_a_rate(self, project: Project) -> None:
        project.tests(
            f"{HEAD}def test_a(llm): thirty(llm).expect(contains('Paris'))\n"
            "def test_b(llm): thirty(llm).expect(SeedsBelow(29))\n"
        )
        result = project.run("--llm-cache", "on")
        result.assert_outcomes(passed=1, failed=1)
        assert "expected every sample to pass; 29 of 30 passed" in "\n".join(errors(result))


class TestAsking:
    def test_too_few_samples_are_refused_before_a_host_is_started(
        self, project: Project, hosts: list[str]
    ) -> None:
        project.tests(
            f"{HEAD}def test_a(llm):\n"
            "    samples = llm.sample('x', n=10, temperature=1.0)\n"
            "    assert len(samples) == 10 and repr(samples) == '<10 samples, not asked for yet>'\n"
            "    samples.expect(contains('Paris'), rate=0.9)\n"
        )
        result = project.run()
        result.assert_outcomes(failed=1)
        assert errors(result) == [
            "ValueError: rate=0.9 needs at least 25 samples, got 10: 10 of 10 would not prove 90 %, since at "
            "95 % confidence only 78.7 % of all replies would be known to pass (Wilson); ask for n=25 or more"
        ]
        result.stdout.fnmatch_lines([">       samples.expect(contains('Paris'), rate=0.9)"])
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
        assert hosts == []
        assert project.tests_asked() == {"test_a": 0}

    def test_marks_are_those_of_the_call(self, project: Project) -> None:
        project.tests(
            "import pytest\n"
            "kept = []\n"
            "@pytest.mark.llm(n_ctx=256, max_tokens=3, system='Be brief')\n"
            "def test_call(llm): kept.append(llm.sample('x', n=2, temperature=1.0))\n"
            "def test_look(llm):\n"
            "    for reply in kept[0]:\n"
            "        assert dict(reply.fingerprint.settings)['n_ctx'] == '256'\n"
            "        assert reply.fingerprint.max_tokens == 3 and 'Be brief' in reply.prompt.text\n"
        )
        project.run().assert_outcomes(passed=2)
        assert project.tests_asked() == {"test_call": 0, "test_look": 2}

    @pytest.mark.parametrize("look", ["samples[0]", "samples.texts", "list(samples)", "samples.expect()"])
    def test_what_cannot_be_asked_fails_at_the_line_that_looks(self, project: Project, look: str) -> None:
        project.tests(
            f"def test_a(llm):\n    samples = llm.sample('x' * 600, n=2, temperature=1.0)\n    {look}\n"
        )
        result = project.run()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([f">       {look}", "E       pytest_llmcheck.PromptError: *"])
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")

    def test_a_cached_rate_starts_no_host(self, project: Project, hosts: list[str]) -> None:
        project.tests(f"{HEAD}def test_a(llm): thirty(llm).expect(contains('Paris'), rate=0.9)\n")
        project.run("--llm-cache", "refresh").assert_outcomes(passed=1)
        assert len(hosts) == 1
        result = project.run("--llm-cache", "only")
        result.assert_outcomes(passed=1)
        assert len(hosts) == 1
        assert any("30 of 30 replies came from the reply cache" in line for line in table(result))


class TestConstrainedAndFree:
    def test_both_are_one_batch_and_the_free_ones_are_judged(
        self, project: Project, batches: list[int]
    ) -> None:
        project.tests(
            f"{HEAD}def test_a(llm):\n"
            "    pair = llm.constrained_and_free(\n"
            "        'x', constrain='root ::= \"Lyon\"', n=25, temperature=1.0, seed=7\n"
            "    )\n"
            "    assert pair.constrained.texts == ('Lyon',) * 25\n"
            "    assert pair.free.texts == ('Paris',) * 25\n"
            "    assert pair.free[1].tokens == llm.chat('x', temperature=1.0, seed=8).tokens\n"
            "    pair.expect(contains('Paris'), rate=0.9).expect(contains('Lyon'), rate=0.9)\n"
        )
        result = project.run()
        result.assert_outcomes(failed=1)
        assert errors(result)[:3] == [
            "pytest_llmcheck.CheckFailed: too few of 25 samples passed on f16, F16",
            "contains('Lyon') at rate 0.9, free: 0 of 25 passed (0.0 %); at 95 % confidence at most 9.8 % "
            "of all replies pass (Wilson), and 90 % should",
            "under the constraint 25 of 25 passed (100.0 %), which is +100.0 points (+81.2 to +100.0 at 95 % "
            "confidence, Newcombe)",
        ]
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
        assert batches == [50, 1]
        (line,) = project.test_lines
        assert [verdict.status for verdict in line.verdicts] == ["passed", "failed"]
        difference = line.verdicts[0].evidence["difference"]
        assert difference["of_rates"] == -1.0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("constrain=None, n=2, temperature=1", "constrained_and_free needs constrain=: a JSON Schema or"),
            ("constrain=True, n=2, temperature=0", "at temperature 0 is one answer repeated"),
            ("constrain=True, n=0, temperature=1", "n must be a whole number of at least 1, got 0"),
            ("constrain=3, n=2, temperature=1", "expected a JSON Schema (a dict) or the text of a GBNF"),
        ],
    )
    def test_wrong_calls(self, project: Project, hosts: list[str], arguments: str, message: str) -> None:
        project.tests(f"def test_a(llm):\n    llm.constrained_and_free('x', {arguments})\n")
        result = project.run()
        result.assert_outcomes(failed=1)
        assert message in "\n".join(errors(result))
        result.stdout.no_fnmatch_line("*pytest_llmcheck/*")
        assert hosts == []
