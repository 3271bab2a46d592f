"""Why our verdict on an instruction may differ from the official code's; docs/ifeval.md has the reasons.

Each cause is looked for in the reply itself, so that a disagreement with another one is not excused.
"""

from __future__ import annotations

import json
import re
from string import ascii_lowercase
from typing import TYPE_CHECKING, NamedTuple

from pytest_llmcheck.checks.instructions import instruction, judge, loose_variants
from pytest_llmcheck.checks.instructions.sentence_ends import sentence_starts
from pytest_llmcheck.strict_json import NotJSONError, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.ifeval_corpus import Asked

LANGUAGE: dict[str, Callable[[str], bool]] = {
    "change_case:english_capital": str.isupper,
    "change_case:english_lowercase": str.islower,
    "language:response_language": bool,
}
"""Types that ask for a language, and whether nothing else is left to differ about."""


class Verdicts(NamedTuple):
    """Of one reply on one instruction, strictly and loosely."""

    asked: Asked
    ours: tuple[bool | None, bool | None]
    lm_eval: tuple[bool, bool]
    if_verifiable: tuple[bool, bool]


def cause(verdicts: Verdicts, *, loose: bool) -> str | None:
    """The cause of a disagreement, by its name in the docs; None if there is none that we know of."""
    asked, ours = verdicts.asked, verdicts.ours[loose]
    texts = [text for text in (loose_variants(asked.text) if loose else [asked.text]) if text.strip()]
    if asked.id == "keywords:letter_frequency" and asked.parameters["letter"].lower() not in ascii_lowercase:
        return "sign"
    if asked.id == "length_constraints:number_sentences" and any(
        len(sentence_starts(text)) != _punkt(text) for text in texts
    ):
        return "sentences"
    if asked.id in LANGUAGE:
        if ours is None:
            return "open"
        if any(map(LANGUAGE[asked.id], texts)):
            return "detector"
    if any(_differs(pattern, text) for pattern in _patterns(asked) for text in texts):
        return "pattern"
    if asked.id == "detectable_format:json_format" and any(map(_is_json_to_python_only, texts)):
        return "json"
    if ours == verdicts.lm_eval[loose] and _stripped(asked)[loose] == verdicts.if_verifiable[loose]:
        return "stripped"
    return None


def _is_json_to_python_only(text: str) -> bool:
    bare = re.sub(r"^```(json)?|```$", "", text.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(bare)
    except ValueError:
        return False
    try:
        parse(bare)
    except NotJSONError:
        return True
    return False


def _stripped(asked: Asked) -> tuple[bool | None, bool | None]:
    """Our verdicts on the reply without the space around it."""
    judgement = judge(asked.text.strip(), [instruction(asked.id, **asked.parameters)])
    return judgement.strict[0], judgement.loose[0]


def _punkt(text: str) -> int:
    """Sentences as NLTK counts them, with the data that the official code downloads."""
    import nltk

    return len(nltk.sent_tokenize(text))


def _patterns(asked: Asked) -> Iterator[str]:
    """Texts that the official code takes for regular expressions."""
    parameters = asked.parameters
    match asked.id:
        case "keywords:existence":
            yield from parameters["keywords"]
        case "keywords:forbidden_words":
            yield from parameters["forbidden_words"]
        case "keywords:frequency":
            yield parameters["keyword"]
        case "detectable_content:postscript":
            # It escapes these two itself.
            if parameters["postscript_marker"] not in ("P.S.", "P.P.S"):
                yield parameters["postscript_marker"]


def _differs(pattern: str, text: str) -> bool:
    one, other = (re.findall(tried, text, re.IGNORECASE) for tried in (pattern, re.escape(pattern)))
    return len(one) != len(other)
