from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck import PatternError, not_, patterns
from pytest_llmcheck.checks import HEALTH, contains, finished, matches
from pytest_llmcheck.checks import text as text_checks
from pytest_llmcheck.verdict import Status, Verdict


@dataclass(frozen=True)
class Said:
    text: str
    finish_reason: str = "stop"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern has a tenth of a second."""

    def search(pattern: str, text: str, flags: int = 0, *, seconds: float = 10) -> re.Match[str] | None:
        return patterns.search(pattern, text, flags, seconds=0.1)  # type: ignore[return-value]

    monkeypatch.setattr(text_checks, "search", search)


class TestFinished:
    def test_stop(self) -> None:
        assert finished()(Said("")) == Verdict(
            Status.PASSED, "finished()", "the model ended its reply", score=1.0
        )

    @pytest.mark.parametrize(
        ("finish_reason", "reason"),
        [
            (
                "length",
                "expected the model to end its reply, but it was cut at max_tokens: raise max_tokens (in the "
                "call, the llm mark or [tool.llmcheck]), or ask for a shorter reply",
            ),
            (
                "context",
                "expected the model to end its reply, but the context was full: raise n_ctx (in the llm mark "
                "or [tool.llmcheck.models.NAME]), or shorten the prompt",
            ),
            (
                "abort",
                "expected the model to end its reply, but it ended with 'abort': look into the engine's log",
            ),
        ],
    )
    def test_cut(self, finish_reason: str, reason: str) -> None:
        verdict = finished()(Said("x", finish_reason))
        assert (verdict.status, verdict.reason, verdict.score) == (Status.FAILED, reason, 0.0)
        assert verdict.evidence == {"finish_reason": finish_reason}

    def test_is_the_health_of_every_reply(self) -> None:
        assert HEALTH[0] == finished()
        assert finished().name == "finished"


class TestContains:
    def test_all_occur(self) -> None:
        assert contains("a", "b")(Said("xbya")) == Verdict(
            Status.PASSED, "contains('a', 'b')", "all texts occur", score=1.0, evidence={"span": [3, 4]}
        )

    def test_one_missing(self) -> None:
        assert contains("refund")(Said("Sorry.")).reason == (
            "expected the text in the reply; missing: 'refund'"
        )

    def test_some_missing(self) -> None:
        verdict = contains("Refund", "14", "days")(Said("A refund takes days."))
        assert verdict.reason == (
            "expected all 3 texts in the reply; missing: 'Refund', '14'\n"
            "in other letter case it has 'Refund' at line 1, column 3; "
            "contains(..., ignore_case=True) takes that"
        )
        assert verdict.score == pytest.approx(1 / 3)
        assert verdict.evidence == {"missing": ["Refund", "14"]}

    def test_other_white_space(self) -> None:
        reply = Said("You get a\n  Full refund.")
        assert contains("a Full refund")(reply).reason == (
            "expected the text in the reply; missing: 'a Full refund'\n"
            "with other white space it has 'a Full refund' at line 1, column 9; "
            r"matches('a\\s+Full\\s+refund') takes that"
        )
        assert matches(r"a\s+Full\s+refund")(reply).status is Status.PASSED
        assert contains("a full refund", ignore_case=True)(reply).reason.endswith(
            r"matches('a\\s+full\\s+refund', re.IGNORECASE) takes that"
        )

    def test_another_unicode_form(self) -> None:
        assert contains("caf\u00e9")(Said("The cafe\u0301.")).reason == (
            "expected the text in the reply; missing: 'caf\u00e9'\n"
            "it has 'caf\u00e9' in another Unicode form: accents as characters of their own, or not"
        )

    def test_ignore_case(self) -> None:
        check = contains("STRASSE", ignore_case=True)
        assert repr(check) == "contains('STRASSE', ignore_case=True)"
        assert check(Said("die Straße")).status is Status.PASSED
        assert check(Said("der Weg")).reason == "expected the text in the reply; missing: 'STRASSE'"

    @pytest.mark.parametrize("texts", [(), ("",), ("a", "")])
    def test_nothing_to_look_for(self, texts: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="contains needs at least one text, and none that is empty"):
            contains(*texts)

    def test_no_text(self) -> None:
        with pytest.raises(TypeError, match=r"contains takes texts, got list: \['a'\]"):
            contains(["a"])  # type: ignore[arg-type]  # wrong on purpose

    @given(st.text(), st.text(min_size=1), st.text())
    def test_a_part_is_contained(self, before: str, text: str, after: str) -> None:
        for ignore_case in (False, True):
            check = contains(text, ignore_case=ignore_case)
            assert check(Said(before + text + after)).status is Status.PASSED

    def test_values(self) -> None:
        assert contains("a") == contains("a") != contains("a", ignore_case=True)
        assert len({contains("a"), contains("a"), contains("b")}) == 2
        assert contains("a").name == "contains"


class TestMatches:
    def test_found(self) -> None:
        verdict = matches(r"\d+")(Said("in 14 days"))
        assert (verdict.status, verdict.reason) == (Status.PASSED, "matched '14' at line 1, column 4")
        assert verdict.evidence == {"span": [3, 5]}

    def test_not_found(self) -> None:
        verdict = matches(r"\A\d+\Z")(Said("in 14 days"))
        assert (verdict.status, verdict.check) == (Status.FAILED, r"matches('\\A\\d+\\Z')")
        assert (
            verdict.reason == "expected a match of the pattern somewhere in the reply; none in 10 characters"
        )

    def test_a_flag_that_would_help(self) -> None:
        assert matches("A.b", re.IGNORECASE)(Said("a\nb")).reason == (
            "expected a match of the pattern somewhere in the reply; none in 3 characters\n"
            "with re.DOTALL it would match"
        )

    def test_one_without_end_is_an_error(self, impatient: None) -> None:
        with pytest.raises(PatternError, match=r"^the regular expression '\(a\|aa\)\+\$' was stopped"):
            not_(matches("(a|aa)+$"))(Said("a" * 60 + "!"))

    def test_hints_that_take_too_long_are_left_out(self, impatient: None) -> None:
        assert matches("(A|AA)+$")(Said("a" * 60 + "!")).reason == (
            "expected a match of the pattern somewhere in the reply; none in 61 characters"
        )

    def test_invalid_pattern(self) -> None:
        with pytest.raises(ValueError, match=r"^matches\('\('\): not a valid regular expression: missing \)"):
            matches("(")
        with pytest.raises(TypeError, match="matches takes a pattern as text, got bytes"):
            matches(b"x")  # type: ignore[arg-type]  # wrong on purpose

    def test_values(self) -> None:
        check = matches("a", re.IGNORECASE | re.DOTALL)
        assert repr(check) == "matches('a', re.IGNORECASE|re.DOTALL)"
        assert check == matches("a", re.DOTALL | re.IGNORECASE) != matches("a")
        assert hash(check) == hash(matches("a", re.DOTALL | re.IGNORECASE))
        assert check.name == "matches"
