"""IFEval's 25 instruction types by their ids, with the parameters that its data files give.

Source: `instructions_registry.py` of the official code of Zhou et al. 2023 (arXiv:2311.07911).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pytest_llmcheck.checks.instructions import counting, ends, languages, letters, shape, words_in
from pytest_llmcheck.errors import did_you_mean

if TYPE_CHECKING:
    from pytest_llmcheck.verdict import Check

_RELATIONS = ("less than", "at least")
_Relation = Literal["less than", "at least"]
_CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def instruction(id_: str, /, **parameters: Any) -> Check:
    """An instruction check by its IFEval id, with IFEval's own parameters.

    ``instruction("length_constraints:number_words", relation="at least", num_words=60)`` equals
    ``words(at_least=60)``; "less than" 60 is ``at_most=59``.

    Args:
        id_: such as ``punctuation:no_comma``.
        parameters: by IFEval's names. One that is None counts as not given: the data set has every name in
            every row.

    Raises:
        TypeError: a parameter has the wrong type.
        ValueError: the id is not known, or a parameter is not known, missing or out of its range; nothing is
            made up where the official code would.
    """
    __tracebackhide__ = True
    if id_ not in INSTRUCTIONS:
        message = f"no instruction of IFEval has the id {id_!r}; {did_you_mean(str(id_), INSTRUCTIONS)}"
        raise ValueError(message)
    make = INSTRUCTIONS[id_]
    known = list(inspect.signature(make).parameters)
    given = {name: value for name, value in parameters.items() if value is not None}
    for name in given:
        if name not in known:
            message = f"{id_} has no parameter {name!r}; {did_you_mean(name, known)}"
            raise ValueError(message)
    if missing := [name for name in known if name not in given]:
        message = f"{id_} needs {', '.join(missing)}"
        raise ValueError(message)
    try:
        return make(**given)
    except (TypeError, ValueError) as error:
        message = f"{id_}: {error}"
        raise type(error)(message) from None


def _limits(relation: object, number: object, name: str) -> dict[str, Any]:
    """IFEval's relation and number as the limits of a typed check."""
    if relation not in _RELATIONS:
        message = f"a relation is 'less than' or 'at least', got {relation!r}"
        raise ValueError(message)
    if not isinstance(number, int) or isinstance(number, bool):
        message = f"{name} takes a whole number, got {number!r}"
        raise TypeError(message)
    if number < 1:
        message = f"{name} takes a number of at least 1, got {number}"
        raise ValueError(message)
    return {"at_least": number} if relation == "at least" else {"at_most": number - 1}


def _texts(name: str, values: object) -> Sequence[str]:
    """A list of texts; a text alone would be taken letter by letter."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        message = f"{name} takes a list of texts, got {values!r}"
        raise TypeError(message)
    return values


def _existence(keywords: Sequence[str]) -> Check:
    return words_in.keywords(*_texts("keywords", keywords))


def _frequency(keyword: str, frequency: int, relation: _Relation) -> Check:
    return words_in.keyword_frequency(keyword, **_limits(relation, frequency, "frequency"))


def _forbidden_words(forbidden_words: Sequence[str]) -> Check:
    return words_in.forbidden(*_texts("forbidden_words", forbidden_words))


def _letter_frequency(letter: str, let_frequency: int, let_relation: _Relation) -> Check:
    return letters.letter_frequency(letter, **_limits(let_relation, let_frequency, "let_frequency"))


def _response_language(language: str) -> Check:
    return languages.language(language)


def _number_sentences(num_sentences: int, relation: _Relation) -> Check:
    return counting.sentences(**_limits(relation, num_sentences, "num_sentences"))


def _number_paragraphs(num_paragraphs: int) -> Check:
    return counting.paragraphs(num_paragraphs)


def _number_words(num_words: int, relation: _Relation) -> Check:
    return counting.words(**_limits(relation, num_words, "num_words"))


def _nth_paragraph_first_word(num_paragraphs: int, nth_paragraph: int, first_word: str) -> Check:
    return counting.nth_paragraph_starts_with(nth_paragraph, first_word, paragraphs=num_paragraphs)


def _number_placeholders(num_placeholders: int) -> Check:
    return shape.placeholders(at_least=num_placeholders)


def _postscript(postscript_marker: str) -> Check:
    return ends.postscript(postscript_marker)


def _number_bullet_lists(num_bullets: int) -> Check:
    return shape.bullets(num_bullets)


def _constrained_response() -> Check:
    return words_in.one_of_answers(*_CONSTRAINED)


def _number_highlighted_sections(num_highlights: int) -> Check:
    return shape.highlighted(at_least=num_highlights)


# "spliter" is how the data spell it.
def _multiple_sections(section_spliter: str, num_sections: int) -> Check:
    return shape.sections(marker=section_spliter, at_least=num_sections)


def _repeat_prompt(prompt_to_repeat: str) -> Check:
    return ends.repeats_prompt(prompt_to_repeat)


def _end_checker(end_phrase: str) -> Check:
    return ends.ends_with(end_phrase)


def _capital_word_frequency(capital_frequency: int, capital_relation: _Relation) -> Check:
    return letters.capital_words(**_limits(capital_relation, capital_frequency, "capital_frequency"))


def _english_capital() -> Check:
    return letters.uppercase(language="en")


def _english_lowercase() -> Check:
    return letters.lowercase(language="en")


INSTRUCTIONS: Mapping[str, Callable[..., Check]] = MappingProxyType(
    {
        "change_case:capital_word_frequency": _capital_word_frequency,
        "change_case:english_capital": _english_capital,
        "change_case:english_lowercase": _english_lowercase,
        "combination:repeat_prompt": _repeat_prompt,
        "combination:two_responses": shape.two_responses,
        "detectable_content:number_placeholders": _number_placeholders,
        "detectable_content:postscript": _postscript,
        "detectable_format:constrained_response": _constrained_response,
        "detectable_format:json_format": shape.is_json,
        "detectable_format:multiple_sections": _multiple_sections,
        "detectable_format:number_bullet_lists": _number_bullet_lists,
        "detectable_format:number_highlighted_sections": _number_highlighted_sections,
        "detectable_format:title": shape.title,
        "keywords:existence": _existence,
        "keywords:forbidden_words": _forbidden_words,
        "keywords:frequency": _frequency,
        "keywords:letter_frequency": _letter_frequency,
        "language:response_language": _response_language,
        "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
        "length_constraints:number_paragraphs": _number_paragraphs,
        "length_constraints:number_sentences": _number_sentences,
        "length_constraints:number_words": _number_words,
        "punctuation:no_comma": letters.no_commas,
        "startend:end_checker": _end_checker,
        "startend:quotation": ends.quoted,
    }
)
"""IFEval's ids and what makes their checks from IFEval's parameters; `instruction` checks those first."""
