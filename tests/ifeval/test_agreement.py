"""Our verdicts and those of the official code, on replies that models really gave; see docs/ifeval.md."""

from __future__ import annotations

import functools
import logging
import random
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.checks.instructions import INSTRUCTIONS, instruction, judge
from tests.support.ifeval_causes import LANGUAGE, Verdicts, cause
from tests.support.ifeval_corpus import Asked, asked, prompts, replies
from tests.support.official_ifeval import if_verifiable, lm_eval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PAGE = (Path(__file__).parents[2] / "docs" / "ifeval.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def langdetect() -> Iterator[None]:
    """It takes milliseconds, and both judges ask it the same; what it cannot tell they log."""
    import langdetect

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(langdetect, "detect", functools.cache(langdetect.detect))
        logging.disable()
        yield
        logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def verdicts(langdetect: None) -> list[Verdicts]:
    return judged(asked())


def judged(questions: Iterable[Asked]) -> list[Verdicts]:
    done = []
    for one in questions:
        judgement = judge(one.text, [instruction(one.id, **one.parameters)])
        theirs = []
        for official in (lm_eval(), if_verifiable()):
            # Where a letter is none, the official code draws one.
            random.seed(0)
            theirs.append(official(one.text, one.id, **one.parameters))
        done.append(Verdicts(one, (judgement.strict[0], judgement.loose[0]), *theirs))
    return done


def disagreements(verdicts: Iterable[Verdicts]) -> Iterator[tuple[str | None, bool, Verdicts]]:
    """The cause of each, whether it is about the loose verdict, and the verdicts."""
    for one in verdicts:
        for loose in (False, True):
            if not one.ours[loose] == one.lm_eval[loose] == one.if_verifiable[loose]:
                yield cause(one, loose=loose), loose, one


def unexplained(verdicts: Iterable[Verdicts]) -> list[Verdicts]:
    return [one for why, _, one in disagreements(verdicts) if why is None]


def test_what_is_compared() -> None:
    """As the page says."""
    assert f"{len(replies()):,} replies" in PAGE
    assert f"{len(asked()):,} verdicts" in PAGE
    assert len(replies()) >= 2000
    assert {one.id for one in asked()} == set(INSTRUCTIONS)
    assert len({reply["model"] for reply in replies()}) >= 5


def test_every_disagreement_is_explained(verdicts: list[Verdicts]) -> None:
    assert unexplained(verdicts) == []


def test_the_table_of_disagreements(verdicts: list[Verdicts]) -> None:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for why, loose, _ in disagreements(verdicts):
        found[str(why)][loose] += 1
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    told = {why: [int(strict), int(loose)] for why, strict, loose in rows}
    assert {why: counts for why, counts in told.items() if any(counts)} == dict(found)


def test_nothing_open_is_followed(verdicts: list[Verdicts]) -> None:
    """Language detection is all that may leave a verdict open."""
    opened = Counter(one.asked.id for one in verdicts if None in one.ours)
    assert opened
    assert set(opened) <= set(LANGUAGE)


@pytest.mark.long
def test_instructions_of_other_prompts() -> None:
    """Every fourth reply, by an instruction of each type, most of which nobody asked of it."""
    assert unexplained(judged(crossed())) == []


def crossed() -> Iterator[Asked]:
    types: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for prompt in prompts().values():
        for id_, parameters in zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True):
            if parameters not in types[id_]:
                types[id_].append(parameters)
    for at, reply in enumerate(replies()[::4]):
        for id_, known in types.items():
            yield Asked(id_, known[at % len(known)], reply["model"], reply["response"])
