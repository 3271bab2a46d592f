"""Made-up texts that follow an instruction of IFEval, and the same with one small edit that breaks it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ARTICLE_1: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "data" / "human_rights_article_1.json").read_text(encoding="utf-8")
)
"""Article 1 of the Universal Declaration of Human Rights in the 30 languages of IFEval, by their codes."""

# Without q, x and z, of which the instructions' own words are made.
WORD = st.text("abcdefghijklmnoprstuvw", min_size=2, max_size=7)
# Of words that no list of abbreviations has: "Aa br." ends no sentence.
NOUNS = ("river", "mountain", "kitchen", "window", "friend", "morning", "garden", "paper", "silver")
SENTENCE = st.lists(st.sampled_from(NOUNS), min_size=2, max_size=6).map(
    lambda words: f"{' '.join(words).capitalize()}."
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab \n"\\{}é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)


class Sample(NamedTuple):
    """One instruction with its parameters, a text that follows it and one that does not."""

    parameters: dict[str, Any]
    good: str
    bad: str


def _words(words: Sequence[str]) -> str:
    return " ".join(words)


def _after(word: str) -> Callable[[Sequence[str]], str]:
    """Texts with so many of a thing behind some other word: they are not blank where there is none."""
    return lambda things: " ".join([word, *things])


@st.composite
def _related(
    draw: st.DrawFn,
    thing: st.SearchStrategy[str],
    build: Callable[[Sequence[str]], str],
    number: str,
    relation: str,
    more: st.SearchStrategy[dict[str, Any]],
    fewest: int,
) -> Sample:
    """So many of a thing, "at least" or "less than"; the bad text has one too few or one too many."""
    limit = draw(st.integers(fewest + 1, 9))
    things = draw(st.lists(thing, min_size=limit, max_size=limit))
    enough, too_few = build(things), build(things[1:])
    asked = {number: limit, **draw(more)}
    if draw(st.booleans()):
        return Sample({relation: "at least", **asked}, enough, too_few)
    return Sample({relation: "less than", **asked}, too_few, enough)


def related(
    thing: st.SearchStrategy[str],
    build: Callable[[Sequence[str]], str],
    number: str,
    relation: str = "relation",
    *,
    fewest: int = 0,
    **parameters: object,
) -> st.SearchStrategy[Sample]:
    return _related(thing, build, number, relation, st.just(dict(parameters)), fewest)


@st.composite
def at_least(
    draw: st.DrawFn, thing: st.SearchStrategy[str], number: str, parameters: dict[str, Any]
) -> Sample:
    limit = draw(st.integers(1, 6))
    things = draw(st.lists(thing, min_size=limit, max_size=limit + draw(st.integers(0, 2))))
    return Sample(
        {number: limit, **parameters}, "\n".join(["See", *things]), "\n".join(["See", *things[: limit - 1]])
    )


@st.composite
def exactly(
    draw: st.DrawFn, thing: st.SearchStrategy[str], number: str, build: Callable[[Sequence[str]], str]
) -> Sample:
    limit = draw(st.integers(1, 6))
    things = draw(st.lists(thing, min_size=limit + 1, max_size=limit + 1))
    one_off = draw(st.sampled_from([things, things[2:]])) if limit > 1 else things
    return Sample({number: limit}, build(things[1:]), build(one_off))


@st.composite
def nth_paragraph(draw: st.DrawFn) -> Sample:
    count = draw(st.integers(1, 4))
    nth = draw(st.integers(1, count))
    paragraphs = draw(st.lists(SENTENCE, min_size=count, max_size=count))
    asked = {"num_paragraphs": count, "nth_paragraph": nth, "first_word": "zax"}
    first = draw(st.sampled_from(["Zax", "zax,", '"Zax!"', "'ZAX'"]))
    good = [*paragraphs]
    good[nth - 1] = f"{first} {paragraphs[nth - 1]}"
    bad = draw(st.sampled_from([paragraphs, [*good, "More."]]))
    return Sample(asked, "\n\n".join(good), "\n\n".join(bad))


@st.composite
def keywords(draw: st.DrawFn) -> Sample:
    wanted = draw(st.lists(WORD.map("q".__add__), min_size=1, max_size=3, unique=True))
    said = draw(st.permutations([*wanted, *draw(st.lists(WORD, max_size=4))]))
    missing = draw(st.sampled_from(wanted))
    good = " ".join(said)
    return Sample({"keywords": wanted}, good.upper(), re.sub(missing, "zax", good))


@st.composite
def forbidden(draw: st.DrawFn) -> Sample:
    words = draw(st.lists(WORD.map("q".__add__), min_size=1, max_size=3))
    said = draw(st.lists(WORD, min_size=1, max_size=6))
    word = draw(st.sampled_from(words))
    # Inside of a longer word it is no such word.
    return Sample(
        {"forbidden_words": words}, " ".join([*said, f"x{word}"]), " ".join([*said, f"{word.upper()}."])
    )


@st.composite
def wrapped(draw: st.DrawFn, good: str, bad: str, parameters: dict[str, Any]) -> Sample:
    """A text with something in it, and the same with something else."""
    before, after = draw(SENTENCE), draw(SENTENCE)
    return Sample(parameters, f"{before} {good}\n{after}", f"{before} {bad}\n{after}")


@st.composite
def title(draw: st.DrawFn) -> Sample:
    named, body = draw(SENTENCE), draw(SENTENCE)
    bad = draw(st.sampled_from([f"<{named}>", "<< >>", f"<<{named}\n>>", named]))
    return Sample({}, f"<<{named}>>\n{body}", f"{bad}\n{body}")


@st.composite
def json_format(draw: st.DrawFn) -> Sample:
    said = json.dumps(draw(JSON), indent=draw(st.sampled_from([None, 2])))
    fence = draw(st.sampled_from(["", "```", "```json", "```JSON"]))
    end = "\n```" if fence else ""
    return Sample({}, f"{fence}\n{said}{end}\n", f"{fence}\n{said} }}{end}\n")


@st.composite
def two_responses(draw: st.DrawFn) -> Sample:
    one, two = draw(st.lists(SENTENCE, min_size=2, max_size=2, unique=True))
    bad = draw(
        st.sampled_from([one, f"{one}\n******\n{one}", f"{one}\n*****\n{two}", f"{one}************{two}"])
    )
    return Sample({}, f"{one}\n******\n{two}", bad)


@st.composite
def repeat_prompt(draw: st.DrawFn) -> Sample:
    prompt, answer = draw(SENTENCE), draw(SENTENCE)
    place = draw(st.integers(0, len(prompt) - 1))
    broken = f"{prompt[:place]}#{prompt[place + 1 :]}"
    return Sample({"prompt_to_repeat": prompt}, f"\n{prompt.upper()}\n{answer}", f"{broken}\n{answer}")


@st.composite
def end_checker(draw: st.DrawFn) -> Sample:
    end, body = draw(SENTENCE), draw(SENTENCE)
    return Sample({"end_phrase": end}, f'"{body} {end.lower()}"\n', f"{body} {end} So.")


@st.composite
def quotation(draw: st.DrawFn) -> Sample:
    body = draw(SENTENCE)
    bad = draw(st.sampled_from([body, f'"{body}', f'{body}"', f"'{body}'", f"“{body}”"]))
    return Sample({}, f' "{body}"\n', bad)


@st.composite
def no_comma(draw: st.DrawFn) -> Sample:
    words = draw(st.lists(WORD, min_size=1, max_size=6))
    place = draw(st.integers(1, len(words)))
    return Sample({}, " ".join(words), f"{' '.join(words[:place])}, {' '.join(words[place:])}")


LEFT_OPEN = [["ne", "hi"], ["ru", "bg"]]
"""The two of all 870 pairs of languages whose second text might be in the first language too."""


@st.composite
def response_language(draw: st.DrawFn) -> Sample:
    pairs = st.lists(st.sampled_from([*ARTICLE_1]), min_size=2, max_size=2, unique=True)
    right, wrong = draw(pairs.filter(lambda pair: pair not in LEFT_OPEN))
    return Sample({"language": right}, ARTICLE_1[right], ARTICLE_1[wrong])


@st.composite
def in_case(draw: st.DrawFn, change: Callable[[str], str]) -> Sample:
    said = change(f"{ARTICLE_1['en']} ")
    place = draw(st.sampled_from([place for place, letter in enumerate(said) if letter.isalpha()]))
    broken = said[:place] + said[place].swapcase() + said[place + 1 :]
    return Sample({}, said, draw(st.sampled_from([broken, change(ARTICLE_1["de"])])))


def _bullets(points: Sequence[str]) -> str:
    return "\n".join(["See:", *(f"{'*-'[place % 2]} {point}" for place, point in enumerate(points))])


SAMPLES: dict[str, st.SearchStrategy[Sample]] = {
    "change_case:capital_word_frequency": related(
        WORD.map(str.upper), _after("So"), "capital_frequency", "capital_relation"
    ),
    "change_case:english_capital": in_case(str.upper),
    "change_case:english_lowercase": in_case(str.lower),
    "combination:repeat_prompt": repeat_prompt(),
    "combination:two_responses": two_responses(),
    "detectable_content:number_placeholders": at_least(WORD.map("[{}]".format), "num_placeholders", {}),
    "detectable_content:postscript": wrapped("P. S. See you", "PS See you", {"postscript_marker": "P.S."})
    | wrapped("p.p.s. See you", "P.S. See you", {"postscript_marker": "P.P.S"}),
    "detectable_format:constrained_response": wrapped("My answer is no.", "My answer is not.", {}),
    "detectable_format:json_format": json_format(),
    "detectable_format:multiple_sections": at_least(
        WORD.map("Part 7\n{}".format), "num_sections", {"section_spliter": "Part"}
    ),
    "detectable_format:number_bullet_lists": exactly(WORD, "num_bullets", _bullets),
    "detectable_format:number_highlighted_sections": at_least(
        WORD.map("*{}*".format) | WORD.map("**{}**".format), "num_highlights", {}
    ),
    "detectable_format:title": title(),
    "keywords:existence": keywords(),
    "keywords:forbidden_words": forbidden(),
    "keywords:frequency": related(
        st.sampled_from(["zax", "Zax", "xzaxx"]), _after("so"), "frequency", keyword="zax"
    ),
    "keywords:letter_frequency": related(
        st.sampled_from(["z", "Z", "oz"]), _after("so"), "let_frequency", "let_relation", letter="z"
    ),
    "language:response_language": response_language(),
    "length_constraints:nth_paragraph_first_word": nth_paragraph(),
    "length_constraints:number_paragraphs": exactly(SENTENCE, "num_paragraphs", "\n***\n".join),
    "length_constraints:number_sentences": related(SENTENCE, _words, "num_sentences", fewest=1),
    "length_constraints:number_words": related(WORD, _words, "num_words", fewest=1),
    "punctuation:no_comma": no_comma(),
    "startend:end_checker": end_checker(),
    "startend:quotation": quotation(),
}
"""A sample of each of the 25 types, by its id."""
