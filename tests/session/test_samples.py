"""Rates of samples: how they are decided, what is said, and when the model is asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from pytest_llmcheck import CheckFailed, PromptError, Samples, Status, Verdict, contains, finished, matches
from pytest_llmcheck.compare import samples_needed
from pytest_llmcheck.session.constrained import ConstrainedAndFree
from pytest_llmcheck.session.rates import Rate, rule_of
from pytest_llmcheck.session.samples import Batch
from pytest_llmcheck.session.tally import Tally
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.compare.rates import Method
    from pytest_llmcheck.engines.reply import Reply

METHODS: tuple[Method, ...] = ("wilson", "clopper-pearson")


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def heard(self, reply: Reply, verdicts: tuple[Verdict, ...]) -> None:
        self.verdicts += verdicts


class Says:
    """A check that takes its verdict from the reply's text."""

    name = "says"

    def __repr__(self) -> str:
        return "says()"

    def __call__(self, reply: Any) -> Verdict:
        return Verdict(Status(reply.text), repr(self), f"it says {reply.text}")


def replies(*texts: str, **settings: Any) -> list[Reply]:
    return [make_reply(text, seed=seed, temperature=0.7, **settings) for seed, text in enumerate(texts)]


def saying(passed: int, failed: int, undecided: int = 0, kind: Status = Status.INCONCLUSIVE) -> list[Reply]:
    statuses = [Status.PASSED] * passed + [Status.FAILED] * failed + [kind] * undecided
    return replies(*map(str, statuses))


def judged(listened: Sequence[Reply], *checks: Any, **how: Any) -> Verdict:
    """The verdict of an `expect` that did not fail."""
    ear = Heard()
    samples = Samples([reply.heard_by(ear, (finished(),)) for reply in listened])
    assert samples.expect(*checks, **how) is samples
    (verdict,) = ear.verdicts
    return verdict


def failing(listened: Sequence[Reply], *checks: Any, **how: Any) -> tuple[Verdict, str]:
    """The verdict of an `expect` that failed, and its message."""
    ear = Heard()
    with pytest.raises(CheckFailed) as caught:
        Samples([reply.heard_by(ear, (finished(),)) for reply in listened]).expect(*checks, **how)
    assert caught.value.verdicts == tuple(ear.verdicts)
    (verdict,) = ear.verdicts
    assert verdict.status is Status.FAILED
    return verdict, str(caught.value)


class TestRate:
    def test_passed(self) -> None:
        def bound_by_scipy(side: str) -> Any:
            return binomtest(60, 61, alternative=side).proportion_ci(0.95, "wilson")

        verdict = judged(saying(60, 1), Says(), rate=0.9)
        assert verdict.status is Status.PASSED
        assert verdict.check == "says() at rate 0.9"
        assert verdict.reason == (
            "60 of 61 passed (98.4 %); at 95 % confidence at least 92.9 % of all replies pass (Wilson)"
        )
        assert verdict.score == 60 / 61
        assert verdict.evidence == {
            "passed": 60,
            "failed": 1,
            "undecided": 0,
            "n": 61,
            "different_texts": 2,
            "checks": [{"check": "says()", "passed": 60, "failed": 1, "undecided": 0}],
            "failed_samples": [60],
            "undecided_samples": [],
            "rate": 0.9,
            "confidence": 0.95,
            "method": "wilson",
            "low": pytest.approx(bound_by_scipy("greater").low),
            "high": pytest.approx(bound_by_scipy("less").high),
            "needed": samples_needed(0.9, 60 / 61),
        }

    def test_failed(self) -> None:
        _, message = failing(
            replies(*["Paris"] * 20, *["Lyon"] * 9, "Nice"), contains("Paris"), matches("."), rate=0.9
        )
        assert message == (
            "too few of 30 samples passed on f16, F16\n"
            "  contains('Paris'), matches('.') at rate 0.9: 20 of 30 passed (66.7 %); at 95 % confidence at "
            "most 79.0 % of all replies pass (Wilson), and 90 % should\n"
            "  passed, each check by itself: contains('Paris') 20; matches('.') 30\n"
            "  3 different texts\n"
            "  samples[20], seed 20: 'Lyon'\n"
            "    contains('Paris'): expected the text in the reply; missing: 'Paris'\n"
            "  samples[21], seed 21: 'Lyon'\n"
            "    contains('Paris'): expected the text in the reply; missing: 'Paris'\n"
            "  samples[22], seed 22: 'Lyon'\n"
            "    contains('Paris'): expected the text in the reply; missing: 'Paris'\n"
            "  and 7 more that failed; the run record has all replies"
        )

    def test_what_a_check_raises_is_raised(self) -> None:
        class Broken(Says):
            def __call__(self, reply: Any) -> Verdict:
                raise KeyError("a schema without end")

        heard = Heard()
        listened = [reply.heard_by(heard, ()) for reply in saying(9, 1)]
        with pytest.raises(KeyError, match="a schema without end"):
            Samples(listened).expect(Says(), Broken())
        assert heard.verdicts == []

    def test_inconclusive_raises_nothing_and_says_what_would_have_decided(self) -> None:
        verdict = judged(saying(28, 2), Says(), rate=0.9)
        assert verdict.status is Status.INCONCLUSIVE
        assert verdict.reason == (
            "28 of 30 passed (93.3 %), which shows neither that 90 % of all replies pass nor that fewer do: "
            "at 95 % confidence at least 81.7 % and at most 97.8 % do (Wilson); at this share, 224 samples "
            "would have decided it"
        )
        assert "at exactly this share, no number of samples decides" in (
            judged(saying(27, 3), Says(), rate=0.9).reason
        )

    def test_the_other_method_needs_more(self) -> None:
        assert judged(saying(25, 0), Says(), rate=0.9).status is Status.PASSED
        message = "rate=0.9 needs at least 29 samples, got 25: 25 of 25 would not prove 90 %"
        with pytest.raises(ValueError, match=message):
            Samples(saying(25, 0)).expect(Says(), rate=0.9, method="clopper-pearson")
        reason = judged(saying(29, 0), Says(), rate=0.9, method="clopper-pearson").reason
        assert reason.endswith("at least 90.1 % of all replies pass (Clopper-Pearson)")

    def test_what_could_not_be_judged_counts_against_either_answer(self) -> None:
        assert judged(saying(60, 0), Says(), rate=0.9).status is Status.PASSED
        verdict = judged(saying(54, 0, 6), Says(), rate=0.9)
        assert verdict.status is Status.INCONCLUSIVE
        assert verdict.reason.startswith(
            "54 of 60 passed (90.0 %), 6 could not be judged (says(): it says inconclusive), which shows"
        )
        assert verdict.reason.endswith("; those that could not be judged could have decided it")
        assert (verdict.evidence["low"], verdict.evidence["high"]) == pytest.approx(
            (Rate(0.9, 0.95, "wilson")._bounds(54, 0, 60)[0], 1.0)
        )
        failing(saying(40, 20), Says(), rate=0.9)
        assert judged(saying(40, 5, 15), Says(), rate=0.9).status is Status.INCONCLUSIVE
        failing(saying(40, 18, 2), Says(), rate=0.9)

    def test_what_could_not_be_judged_may_be_too_little_to_decide(self) -> None:
        """Of 27 and of 28 of 30, neither shows that 90 % pass or that fewer do."""
        assert judged(saying(27, 2, 1), Says(), rate=0.9).reason.endswith(
            "; it takes more samples, whatever those that could not be judged would have been"
        )

    def test_not_applicable_to_any(self) -> None:
        nothing = saying(0, 0, 30, Status.NOT_APPLICABLE)
        assert judged(nothing, Says(), rate=0.9).status is Status.NOT_APPLICABLE
        assert judged(nothing, Says()).status is Status.NOT_APPLICABLE
        assert judged([*nothing, *saying(1, 0)], Says(), rate=0.9).status is Status.INCONCLUSIVE

    def test_a_bound_just_below_the_rate_is_not_shown_as_the_rate(self) -> None:
        """24 of 24 show 89.87 %, and 25 are needed; 52 of 52 show 95.05 %."""
        with pytest.raises(ValueError, match=r"only 89\.8 % of all"):
            Samples(saying(24, 0)).expect(Says(), rate=0.9)
        assert "at least 95.0 % of" in judged(saying(52, 0), Says(), rate=0.95).reason
        with pytest.raises(ValueError, match=r"only 99\.94 % of"):
            Samples(saying(5400, 0)).expect(Says(), rate=0.9995)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(("rate", "n"), [(0.5, 30), (0.8, 40), (0.9, 29), (0.9, 64), (0.95, 60)])
    def test_how_often_it_is_wrong(self, rate: float, n: int, method: Method) -> None:
        """Over all outcomes, at the true rate where it errs most: the one that only just keeps the rate."""
        statuses = []
        for passed in range(n + 1):
            verdicts = tuple(
                (Verdict(Status.PASSED if at < passed else Status.FAILED, "c", ""),) for at in range(n)
            )
            tally = Tally(tuple(ALIKE[:n]), ("c",), verdicts)
            verdict = Rate(rate, 0.95, method).judge(tally)
            statuses.append(verdict.status)
            needed = verdict.evidence["needed"]
            assert (needed is None or needed > n) == (verdict.status is Status.INCONCLUSIVE)
        chances = binom.pmf(range(n + 1), n, rate)
        for status in (Status.PASSED, Status.FAILED):
            wrong = sum(chance for chance, s in zip(chances, statuses, strict=True) if s is status)
            assert wrong <= (0.05 if method == "clopper-pearson" else 0.1)
        # More successes never make a verdict worse.
        order = [Status.FAILED, Status.INCONCLUSIVE, Status.PASSED]
        assert statuses == sorted(statuses, key=order.index)

    @given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10), st.sampled_from(METHODS))
    @settings(max_examples=40, deadline=None)
    def test_knowing_more_never_turns_a_verdict_around(
        self, passed: int, failed: int, undecided: int, method: Method
    ) -> None:
        """Whatever the undecided replies would have been, a decided verdict stays as it is."""
        size = passed + failed + undecided
        if size == 0:
            return
        rule = Rate(0.8, 0.95, method)
        open_ = rule.judge(Tally.of(saying(passed, failed, undecided), [Says()], ())).status
        for found in range(undecided + 1):
            known = saying(passed + found, failed + undecided - found)
            status = rule.judge(Tally.of(known, [Says()], ())).status
            assert open_ in (status, Status.INCONCLUSIVE, Status.NOT_APPLICABLE)


ALIKE = replies(*["x"] * 64)


class TestEvery:
    def test_passed(self) -> None:
        verdict = judged(saying(3, 0), Says())
        assert (verdict.status, verdict.check) == (Status.PASSED, "says() in every sample")
        assert verdict.reason == "3 of 3 passed"

    def test_one_failure_fails(self) -> None:
        verdict, message = failing(saying(2, 1, 1), Says())
        assert verdict.reason == (
            "expected every sample to pass; 2 of 4 passed, 1 could not be judged "
            "(says(): it says inconclusive)"
        )
        assert verdict.evidence["failed_samples"] == [2]
        assert verdict.evidence["undecided_samples"] == [3]
        assert message.splitlines()[-2:] == [
            "  samples[2], seed 2: 'failed'",
            "    says(): it says failed",
        ]

    def test_undecided(self) -> None:
        assert judged(saying(2, 0, 1), Says()).status is Status.INCONCLUSIVE

    def test_samples_of_several_models_and_of_a_constraint(self) -> None:
        mixed = [*replies("a"), *replies("a", model="q4", quant="Q4_K_M")]
        _, message = failing(mixed, contains("b"))
        assert message.splitlines()[0] == "too few of 2 samples passed on f16, F16; q4, Q4_K_M"
        assert message.splitlines()[2] == "  all texts are the same"
        _, message = failing(replies("a", constraint="0" * 64), contains("b"))
        assert message.splitlines()[0].endswith(" on f16, F16 (decoded under a constraint)")


class TestHealth:
    def test_an_unhealthy_sample_has_not_passed(self) -> None:
        whole, cut = replies(*["yes"] * 20), replies(*["yes"] * 10, finish_reason="length")
        verdict, message = failing([*whole, *cut], contains("yes"), rate=0.9)
        assert verdict.evidence["checks"] == [
            {"check": "contains('yes')", "passed": 30, "failed": 0, "undecided": 0},
            {"check": "finished()", "passed": 20, "failed": 10, "undecided": 0},
        ]
        assert "  passed, each check by itself: contains('yes') 30; finished() 20" in message.splitlines()
        verdict = judged([*whole, *cut], contains("yes"), rate=0.9, without=["finished"])
        assert verdict.status is Status.PASSED

    def test_health_alone(self) -> None:
        verdict = judged(replies("a", "b"))
        assert (verdict.check, verdict.reason) == ("health in every sample", "2 of 2 passed")


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"rate": 90}, ValueError, "rate must be above 0 and below 1, such as 0.9, got 90"),
        ({"rate": 1.0}, ValueError, "without a rate every one of these samples must"),
        ({"rate": "0.9"}, ValueError, "rate must be above 0 and below 1, such as 0.9, got '0.9'"),
        ({"rate": 0.9, "confidence": 95}, ValueError, "confidence must be above 0.5 and below 1"),
        ({"rate": 0.9, "method": "wald"}, ValueError, "'wilson' or 'clopper-pearson', got 'wald'"),
        ({"confidence": 0.99}, ValueError, "confidence= and method= belong to rate="),
        ({"rate": 0.5, "without": ["finish"]}, ValueError, "no such health check; did you mean 'finished'?"),
        ({"without": "finished"}, TypeError, "such as without=['finished'], got 'finished'"),
    ],
)
def test_wrong_arguments(how: dict[str, Any], error: type[Exception], message: str) -> None:
    healthy = [reply.heard_by(Heard(), (finished(),)) for reply in replies(*["a"] * 30)]
    with pytest.raises(error) as caught:
        Samples(healthy).expect(contains("a"), **how)
    assert message in str(caught.value)


def test_no_samples_and_no_checks() -> None:
    with pytest.raises(ValueError, match="there are no samples to judge"):
        Samples([]).expect(contains("a"))
    with pytest.raises(TypeError, match=r"expect takes checks such as contains\('a'\)"):
        Samples(replies("a")).expect(cast("Any", "a"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("abc", "'abc'"),
        (replies("a")[0], "<reply of .*"),
        (None, "None"),
        (["a"], "'a' among them"),
        ([None], "None among them"),
    ],
)
def test_what_is_no_reply(given: Any, shown: str) -> None:
    with pytest.raises(TypeError, match=f"^Samples takes a list of replies, got {shown}$"):
        Samples(given)


class TestWhenTheModelIsAsked:
    def test_at_the_first_look_and_once(self) -> None:
        asked = []

        def ask() -> list[Reply]:
            asked.append(1)
            return replies("a", "b", "c", "d")

        samples = Samples.of(Batch(ask, (finished(),)), range(4))
        assert len(samples) == 4
        assert repr(samples) == "<4 samples, not asked for yet>"
        middle = samples[1:3]
        with pytest.raises(ValueError, match="got 2: 2 of 2 would not prove"):
            middle.expect(contains("b"), rate=0.9)
        with pytest.raises(ValueError, match=r"without=\['finishd'\]: no such health check; did you mean"):
            samples.expect(without=["finishd"])
        with pytest.raises(ValueError, match="no such health check"):
            ConstrainedAndFree(samples[:2], middle).expect(without=["finishd"])
        assert not asked
        assert middle.texts == ("b", "c")
        assert [reply.text for reply in samples] == ["a", "b", "c", "d"]
        assert (samples[-1].text, samples[::-2].texts) == ("d", ("d", "b"))
        assert repr(samples) == "<4 samples, 4 different texts>"
        assert asked == [1]
        with pytest.raises(IndexError):
            samples[4]

    def test_once_also_by_several_threads(self) -> None:
        asked = []
        together = threading.Barrier(4)

        def ask() -> list[Reply]:
            asked.append(1)
            return replies("a")

        samples = Samples.of(Batch(ask), range(1))

        def look() -> None:
            together.wait(timeout=10)
            assert samples.texts == ("a",)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=10)
        assert asked == [1]

    def test_again_where_it_failed(self) -> None:
        answers: list[list[Reply] | PromptError] = [PromptError("too long"), replies("a")]

        def ask() -> list[Reply]:
            answer = answers.pop(0)
            if isinstance(answer, PromptError):
                raise answer
            return answer

        samples = Samples.of(Batch(ask), range(1))
        with pytest.raises(PromptError, match="too long") as caught:
            samples.expect(contains("a"))
        assert caught.value.__suppress_context__
        assert samples.texts == ("a",)


class TestConstrainedAndFree:
    def test_the_free_ones_decide_and_both_are_told(self) -> None:
        free = [reply.heard_by(Heard(), ()) for reply in saying(12, 18)]
        pair = ConstrainedAndFree(Samples(saying(30, 0)), Samples(free))
        with pytest.raises(CheckFailed) as caught:
            pair.expect(Says(), rate=0.9)
        assert str(caught.value).splitlines()[:3] == [
            "too few of 30 samples passed on f16, F16",
            "  says() at rate 0.9, free: 12 of 30 passed (40.0 %); at 95 % confidence at most 55.0 % of all "
            "replies pass (Wilson), and 90 % should",
            "    under the constraint 30 of 30 passed (100.0 %), which is +60.0 points (+39.0 to +75.4 at "
            "95 % confidence, Newcombe)",
        ]
        (verdict,) = caught.value.verdicts
        assert verdict.evidence["constrained"]["passed"] == 30
        assert verdict.evidence["difference"]["of_rates"] == pytest.approx(0.6)

    def test_a_rate_that_only_the_grammar_keeps_is_not_kept(self) -> None:
        ear = Heard()
        free = Samples([reply.heard_by(ear, ()) for reply in saying(28, 2)])
        pair = ConstrainedAndFree(Samples(saying(30, 0)), free)
        assert pair.expect(Says(), rate=0.9) is pair
        (verdict,) = ear.verdicts
        assert verdict.status is Status.INCONCLUSIVE
        assert len(verdict.reason.splitlines()) == 1
        assert "; under the constraint 30 of 30 passed (100.0 %), which is +6.7 points (" in verdict.reason
        with pytest.raises(ValueError, match="needs at least 268 samples, got 30"):
            pair.expect(Says(), rate=0.99)

    def test_repr(self) -> None:
        pair = ConstrainedAndFree(Samples(replies("a", "c")), Samples(replies("b", "d")))
        assert (
            repr(pair)
            == "<constrained: <2 samples, 2 different texts>, free: <2 samples, 2 different texts>>"
        )


def test_the_rule_knows_what_it_is() -> None:
    assert rule_of(0.9, 0.99, "clopper-pearson") == Rate(0.9, 0.99, "clopper-pearson")
