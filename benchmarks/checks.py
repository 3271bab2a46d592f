"""A thousand checks on recorded replies, and which kind takes how long, in CPU time.

The replies are those of `benchmarks.recorded`, with all their tokens. Each round is a process of its own, so
that nothing is remembered from the one before: it makes the checks, which compiles their schemas, loads what
they need on first use, and judges. Health checks are part of it as they are of every `expect`.
"""

from __future__ import annotations

import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from time import process_time
from typing import TYPE_CHECKING

from benchmarks.options import Options, parse
from benchmarks.recorded import recorded
from pytest_llmcheck import checks as c
from pytest_llmcheck.engines.judging import judge_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.verdict import Check

VERDICTS = 1000
JSON, TOOLS = "JSON", "tool calls"
GOAL = 1.0
"""Seconds for so many verdicts in all, the first use of everything included."""

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "city": {"$ref": "#/$defs/place"},
        "born": {"type": "string", "format": "date"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
    "$defs": {"place": {"enum": ["Oslo", "Bergen"]}},
}


def kinds() -> dict[str, list[Check]]:
    """The checks, made anew."""
    return {
        JSON: [
            c.matches_schema(PERSON),
            c.matches_schema(PERSON, extract="first"),
            c.json_equals({"name": "Anna", "age": 31}),
            c.json_field("$.age", 31),
        ],
        "text": [
            c.contains("Oslo"),
            c.contains("the", "of", ignore_case=True),
            c.matches(r"\d+ (?:years|days)"),
            c.equals("Anna is 31."),
            c.one_of("yes", "no"),
            c.similar_to("The shop is closed on Sunday, and open on every other day.", at_least=0.5),
            c.mentions_numbers([31, 2.5]),
            c.does_not_refuse(),
        ],
        "instructions": [
            c.words(at_most=60),
            c.sentences(at_least=3),
            c.paragraphs(exactly=2),
            c.nth_paragraph_starts_with(1, "the"),
            c.keywords("winter", "Norway"),
            c.forbidden("never"),
            c.keyword_frequency("the", at_least=3),
            c.letter_frequency("e", at_least=10),
            c.capital_words(at_least=2),
            c.no_commas(),
            c.uppercase(),
            c.lowercase(),
            c.language("en"),
            c.bullets(3),
            c.highlighted(at_least=1),
            c.sections(at_least=2),
            c.placeholders(at_least=1),
            c.title(),
            c.is_json(),
            c.one_of_answers("My answer is yes.", "My answer is no."),
            c.two_responses(),
            c.starts_with("Sure"),
            c.repeats_prompt("Why is the sky blue?"),
            c.ends_with("done."),
            c.quoted(),
            c.postscript(),
        ],
        "combined": [
            c.follows(c.words(at_most=60), c.no_commas()),
            c.all_of(c.contains("the"), c.words(at_most=200)),
            c.any_of(c.contains("Oslo"), c.matches_schema(PERSON)),
            c.not_(c.contains("sorry")),
        ],
        TOOLS: [c.calls("get_weather", city="Oslo"), c.calls_only("get_weather"), c.calls_nothing()],
        "health": list(c.HEALTH),
    }


@dataclass(frozen=True)
class Round:
    """Seconds of CPU time that one process took.

    Attributes:
        made: to make all checks.
        judged: for the first `VERDICTS` verdicts.
        expected: for as many `expect` after that, each with one check and the health checks.
        by_check: milliseconds of a verdict, the mean over the replies, by kind and check, after that.
    """

    made: float
    judged: float
    expected: float
    by_check: Mapping[tuple[str, str], float]


def main(options: Options | None = None) -> None:
    """Print the thousand, and the slowest of each kind."""
    options = options or Options()
    replies = [reply for some in recorded(c.HEALTH) for reply in some]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        rounds = list(processes.map(measure, range(options.rounds)))
    size = statistics.mean(len(reply.text) for reply in replies)
    print("\n### Checks on recorded replies\n")
    print(
        f"{len(replies)} replies of {size:.0f} characters on average, CPU time, {options.rounds} processes.\n"
    )
    print("| | CPU time, s | goal | reached |\n|---|---|---|---|")
    for what, values, goal in (
        (
            f"making {len(rounds[0].by_check)} checks, and {VERDICTS} verdicts",
            [r.made + r.judged for r in rounds],
            GOAL,
        ),
        ("of that making the checks", [r.made for r in rounds], None),
        (
            f"{VERDICTS} `expect` after that, with {len(c.HEALTH)} health checks each",
            [r.expected for r in rounds],
            None,
        ),
    ):
        middle = statistics.median(values)
        reached = "" if goal is None else "yes" if middle <= goal else "**no**"
        limit = "" if goal is None else f"at most {goal:g}"
        print(f"| {what} | {middle:.2f} ({min(values):.2f} to {max(values):.2f}) | {limit} | {reached} |")
    print()
    print("| kind | checks | ms for one verdict | the slowest | its ms |\n|---|---|---|---|---|")
    told = {key: statistics.median(r.by_check[key] for r in rounds) for key in rounds[0].by_check}
    for kind in dict.fromkeys(kind for kind, _ in told):
        times = {check: value for (of, check), value in told.items() if of == kind}
        slowest = max(times, key=times.__getitem__)
        mean = statistics.mean(times.values())
        print(f"| {kind} | {len(times)} | {mean:.3f} | `{slowest}` | {times[slowest]:.3f} |", flush=True)


def measure(_: int) -> Round:
    """One round, in a process of its own."""
    said = recorded(c.HEALTH)
    started = process_time()
    checks = kinds()
    made = process_time()
    special = {JSON: said.json + said.plain, TOOLS: said.with_tools}
    replies = {kind: special.get(kind, said.plain) for kind in checks}
    every = [pair for kind, some in checks.items() for pair in product(some, replies[kind])]
    thousand = [every[number * len(every) // VERDICTS] for number in range(VERDICTS)]
    for check, reply in thousand:
        check(reply)
    judged = process_time()
    for check, reply in thousand:
        judge_all(reply, [check])
    expected = process_time()
    by_check = {
        (kind, repr(check)): verdict(check, replies[kind]) for kind, some in checks.items() for check in some
    }
    return Round(made - started, judged - made, expected - judged, by_check)


def verdict(check: Check, replies: Sequence[Reply]) -> float:
    """Milliseconds of a verdict, the mean over the replies."""
    started = process_time()
    for reply in replies:
        check(reply)
    return (process_time() - started) / len(replies) * 1000


if __name__ == "__main__":
    main(parse())
