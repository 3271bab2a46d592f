"""The language of a reply: told where it can be, left open where it cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_llmcheck import Status, language, lowercase, uppercase
from pytest_llmcheck.checks.instructions.language_names import LANGUAGES
from pytest_llmcheck.checks.instructions.languages import probabilities
from tests.support.instruction_texts import ARTICLE_1
from tests.support.replies import make_reply


@pytest.mark.parametrize("code", ARTICLE_1)
def test_ifevals_languages(code: str) -> None:
    said = {other: language(other)(make_reply(ARTICLE_1[code])).status for other in ARTICLE_1}
    assert said.pop(code) is Status.PASSED
    # A near relative may be left open, no more.
    assert Status.PASSED not in said.values()
    assert list(said.values()).count(Status.INCONCLUSIVE) <= 1


def test_messages() -> None:
    english = make_reply("This is an English sentence with many words.")
    assert language("en")(english).reason == "English (en), 1.00"
    assert language("de")(english).reason == "expected German (de), got what looks like English (en), 1.00"
    assert language("de")(english).evidence == {"language": "en", "probability": 0.999}


@pytest.mark.parametrize(
    "text", ["12345", "😀😀", "***", "OK", "Paris", '{"a": 1, "b": [2, 3]}', "x = y + 1"]
)
def test_no_language(text: str) -> None:
    for code in ("en", "de", "ja"):
        verdict = language(code)(make_reply(text))
        assert verdict.status is Status.INCONCLUSIVE
        assert verdict.score is None
        assert verdict.reason == (
            f"expected {LANGUAGES[code]} ({code}); no language can be told from this text"
        )


def test_the_likeliest_may_have_a_close_rival() -> None:
    verdict = language("en")(make_reply("My answer is no."))
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == (
        "expected English (en); too little to be sure: English (en) 0.51, Afrikaans (af) 0.32; "
        "a longer text would tell"
    )
    assert verdict.evidence == {"language": "en", "probability": 0.51}
    assert (
        "German (de) 0.40, no language 0.12;"
        in language("de")(make_reply("0x1f und ### 404 und === der")).reason
    )


def test_too_little() -> None:
    verdict = language("de")(make_reply("Der Hund."))
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == (
        "expected German (de); too little to be sure: German (de) 0.02, Danish (da) 0.37; "
        "a longer text would tell"
    )


def test_letter_case_does_not_matter() -> None:
    for text in ARTICLE_1.values():
        assert probabilities(text.upper()) == probabilities(text.upper().lower())
    assert uppercase(language="en")(make_reply(ARTICLE_1["en"].upper())).status is Status.PASSED
    assert uppercase(language="en")(make_reply(ARTICLE_1["de"].upper())).reason == (
        "expected English (en), got what looks like German (de), 1.00"
    )
    assert lowercase(language="en")(make_reply("ok")).status is Status.INCONCLUSIVE
    assert lowercase(language="en")(make_reply("Ok")).status is Status.FAILED
    assert lowercase()(make_reply("ok")).status is Status.PASSED


def test_the_languages_are_those_of_the_library() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    labels = LanguageIdentifier.from_model_file(MODEL_FILE).labels
    assert sorted(LANGUAGES) == sorted(label for label in labels if len(label) == 2)
    assert set(probabilities("Hello")) == {*LANGUAGES, "zxx"}
    assert set(ARTICLE_1) <= set(LANGUAGES)
    assert len(ARTICLE_1) == 30


def test_another_user_of_the_library_changes_nothing() -> None:
    import py3langid

    before = probabilities(ARTICLE_1["sw"])
    py3langid.set_languages(["de", "en"])
    try:
        assert probabilities(ARTICLE_1["sw"]) == before
    finally:
        py3langid.set_languages(None)


def test_the_libraries_are_imported_on_first_use() -> None:
    program = (
        "import sys\n"
        "from pytest_llmcheck import language, sentences, uppercase\n"
        "checks = language('de'), sentences(at_least=1), uppercase(language='en')\n"
        "print(sorted({'numpy', 'nupunkt', 'py3langid'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
