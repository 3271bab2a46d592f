"""Patterns mean what they mean to `re`, and end."""

from __future__ import annotations

import re
import sys
import time
import unicodedata
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_llmcheck import LlmcheckError, PatternError
from pytest_llmcheck.patterns import check_pattern, search

LETTERS = "ab1_ -{}[]e.\n\u0301\u00b2\u0915\u093e\x1cK\u212a\u017f"
"""Among them what `regex` takes otherwise: combining marks, superscripts, a separator, folded letters."""


def spans(pattern: str, text: str, flags: int = 0) -> tuple[object, object]:
    """What `re` finds, and what we do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = re.compile(pattern, flags).search(text)
    ours = search(pattern, text, flags)
    return theirs and theirs.span(), ours and ours.span()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a{e}", "a{e}"),
        ("(?:cats){e<=1}", "cots"),
        ("(?:cats){e<=1}", "cats{e<=1}"),
        ("a{1,2}{i}", "a{i}"),
        ("a{,2}b", "aab"),
        ("a{}", "a{}"),
        ("{", "{"),
        ("[[:alpha:]]", "a"),
        ("[[:alpha:]]", "a]"),
        ("[[a]", "["),
        ("[]a]+", "x]a"),
        ("[^]a]+", "]ab"),
        (r"[\]a\W]+", "]-a1"),
        (r"[^\W\d_]+", "12_ab\u0301c"),
        (r"[\W_]+", "ab__-c"),
        (r"[^\W\S]+", "a "),
        (r"\w+", "x\u00b2 \u0915\u093e"),
        (r"\b\w", " \u0301a"),
        (r"a\B.", "a\u0301 ab"),
        (r"\s+", "a\x1c b"),
        (r"[\s-]+", "a\x1c-b"),
        (r"\S+", "\x1ca"),
        (r"(?a:\w+)\w+", "a\u00e9\u00b2"),
        (r"(?a)\w+\b", "a\u00e9"),
        (r"(?x) a # [ ( {e} \n b", "ab"),
        (r"(?x: a [ ]{2} # )" + "\n) b", "a   b"),
        (r"(?#[{)a{e}", "a{e}"),
        (r"\N{DIGIT ONE}{e}", "1{e}"),
        (r"(?P<x>a)(?P=x)(?(x)b|c)", "aab"),
        (r"(?i)stra\u00dfe", "STRA\u1e9eE STRASSE"),
        (r"(?s:.)(?-i:A)", "\na\nA"),
        (r"(?>a+)b(?<!b)c|a++c", "aac"),
    ],
)
def test_as_re_has_it(pattern: str, text: str) -> None:
    theirs, ours = spans(pattern, text)
    assert theirs == ours


@pytest.mark.parametrize(
    "pattern", [r"\w", r"\W", r"\d", r"\s", r"\S", r"[^\W\d_]", r"[\S\w]", r"(?i)\u00e4", r"(?i)[^\Wk]"]
)
def test_sets_of_letters(pattern: str) -> None:
    """Every letter of the planes in use, in one text each way."""
    known = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    # The one that is listed as different.
    text = "".join(letter for letter in known if letter != "\u0345")
    theirs = re.findall(pattern, text)
    ours = [letter for letter in text if search(pattern, letter)]
    assert ours == theirs


PIECES = st.sampled_from(
    [
        *("a", "b", "K", "1", "{", "}", "e", ".", ",", " ", "-", "^", "$"),
        *(r"\w", r"\W", r"\s", r"\S", r"\d", r"\b", r"\A", r"\Z", r"\{", r"\]", "{e}", "{1"),
        *("[ab]", "[^a]", r"[\W_]", r"[^\W1]", "[[a]", r"[^\s]", "(?i:k)", "(?=a)", "(?!b)", "(?<=a)"),
    ]
)
PATTERNS = st.recursive(
    PIECES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{,2}", "{1,}", "*?", "++"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        inner.map(lambda piece: f"({piece})"),
    ),
    max_leaves=6,
)


@settings(max_examples=400)
@given(
    PATTERNS, st.text(LETTERS, min_size=1, max_size=12), st.sampled_from([0, re.I, re.M, re.S, re.X, re.A])
)
def test_it_finds_what_re_finds(pattern: str, text: str, flags: int) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern, flags)
    except re.error:
        with pytest.raises(ValueError, match=r"."):
            check_pattern(pattern, flags)
        assume(False)
    theirs, ours = spans(pattern, text, flags)
    assert theirs == ours


@pytest.mark.parametrize("pattern", ["(a|aa)+$", r"(.*?,){25}P", r"^(\w+\s?)*\w\d$|(a|b|ab)*c$"])
def test_one_without_end_is_stopped(pattern: str) -> None:
    text = "a" * 60 + "!" if "P" not in pattern else ",".join(map(str, range(40)))
    text = "ab" * 40 + "!" if "ab" in pattern else text
    started = time.monotonic()
    with pytest.raises(PatternError) as caught:
        search(pattern, text, seconds=0.2)
    assert time.monotonic() - started < 5
    assert str(caught.value) == (
        f"the regular expression {pattern!r} was stopped after 0.2 s of processor time on {len(text)} "
        "characters: it tries too many ways to match; let no two repeats take the same text, as (a+)+ and "
        ".*.* do, or write them possessive: (a++)+"
    )
    assert isinstance(caught.value, LlmcheckError)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing ), unterminated subpattern at position 0"),
        (r"\p{L}", r"bad escape \p at position 0"),
        ("(?|a|b)", "unknown extension ?| at position 1"),
        ("(?L)a", "bad inline flags: cannot use 'L' flag with a str pattern at position 3"),
        ("a" + "{99999999999}", "the repetition number is too large"),
    ],
)
def test_what_re_refuses_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_pattern(pattern)
    assert str(caught.value) == reason


def test_no_warning_of_sets_and_no_printing(capsys: pytest.CaptureFixture[str]) -> None:
    check_pattern("[[a]&&b]", re.DEBUG)
    assert capsys.readouterr().out == ""


def test_regex_is_imported_when_first_used() -> None:
    import subprocess

    code = "import sys, pytest_llmcheck.patterns, pytest_llmcheck.checks; sys.exit('regex' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
