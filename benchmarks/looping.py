"""How well the health check `repetition` tells loops from replies that are right to repeat themselves.

python -m benchmarks.looping          the figures
python -m benchmarks.looping --make   the replies anew, which then have to be read and labelled anew

Every prompt of `PROMPTS` was put to SmolLM2-135M-Instruct as it is shipped and to quants of it, greedily and
sampled, and what came is in `REPLIES`. Nothing was chosen, mended or left out. A third of the prompts asks
for replies that repeat themselves and are right to: tables, equal rows, refrains, counting, code. `LABELS`
were given by reading: *loop* where the same follows upon itself, or all but a number that counts on, until
the reply was cut or for most of it; *repetitive* where it repeats itself in variants, or counts without end.
All others are sound in this respect, good answers or not.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.models import F16, SOURCE
from pytest_llmcheck.checks.repetition import find_loop
from pytest_llmcheck.config import Config
from pytest_llmcheck.models import ModelSpec
from pytest_llmcheck.session.recorder import Recorder
from pytest_llmcheck.session.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Reply = dict[str, Any]

DATA = Path(__file__).parent.parent / "tests" / "data"
REPLIES = DATA / "looping_replies.jsonl.gz"
LABELS = DATA / "looping_labels.json"
QUANTS = ("Q8_0", "Q3_K_M", "Q2_K")
SAMPLED = {"q4_1": 0.7, "q2_k": 0.4}
"""Temperatures of the models that are asked a second time."""
LIMIT = 320

PROMPTS = (
    "Explain how a refrigerator works.",
    "Write a story about a lighthouse keeper.",
    "List 20 animals that live in the forest.",
    "Give me ten tips for a job interview.",
    "Why is the sky blue?",
    "Write a recipe for pancakes.",
    "What are the causes of the First World War?",
    "Write an email that cancels a meeting on Friday.",
    "Summarise the plot of Romeo and Juliet in three sentences.",
    "Translate into French: The shop is closed on Sunday.",
    "What is 17 times 23? Show your work step by step.",
    "Describe the city of Lisbon to a traveller.",
    "Give five synonyms of happy.",
    "Write a product description of a wooden chair.",
    "List all countries of Africa.",
    "Write a dialogue between a doctor and a patient with a cough.",
    "Explain recursion to a child.",
    "What should I pack for a week in Norway in winter?",
    "Write a letter of complaint about a late train.",
    "Name the planets with one fact about each.",
    "Invent twelve names for a bakery.",
    "Tell me a joke.",
    "Compare tea and coffee.",
    "Write a short biography of Marie Curie.",
    "How do I change a bicycle tyre?",
    "Extract the data as JSON with keys name, age and city: Anna Berg, 31, lives in Oslo.",
    "Answer in German: What is a bank loan?",
    "Describe an organisation chart of a company as deeply nested JSON.",
    # Right to repeat.
    "Count from 1 to 100, with commas.",
    "Write the multiplication table of 7 as a Markdown table.",
    'Write the word "ha" thirty times.',
    "Write a song with a chorus that comes back three times.",
    "Make a JSON array of ten sensors, each with id, status and value. All have status ok and value 0.",
    "Write a Python list with 40 zeros.",
    "Write a Markdown table of the weekdays with open or closed for a shop; it is open every day.",
    "Draw a chessboard with # and . characters, 8 lines of 8.",
    "Write a CSS file that sets the margin of h1, h2, h3, h4, h5 and h6 to 0.",
    "Write an 8 by 8 identity matrix in Python.",
    'Write 10 lines that say "I must not talk in class."',
    "Write a checklist of 12 empty boxes in Markdown.",
    "Write a CSV file of 12 months with the columns month, income and costs; all numbers are 0.",
    "Write unit tests in Python for a function add(a, b), one assertion a line.",
)


def main() -> None:
    if "--make" in sys.argv:
        make()
    lines = gzip.decompress(REPLIES.read_bytes()).decode().splitlines()
    replies: list[Reply] = [json.loads(line) for line in lines]
    labels = {id_: label for label, ids in json.loads(LABELS.read_text()).items() for id_ in ids}
    groups: dict[str, list[Reply]] = {"loop": [], "repetitive": [], "sound": []}
    for reply in replies:
        groups[labels.get(reply["id"], "sound")].append(reply)
    print(f"{'found of':32}{'  '.join(f'{len(group)} {name}' for name, group in groups.items())}")
    for name, judge in JUDGES.items():
        print(f"{name:32}{'  '.join(str(sum(map(judge, group))) for group in groups.values())}")
    for finish in ("stop", "length"):
        ended = [[one for one in group if one["finish_reason"] == finish] for group in groups.values()]
        print(f"repetition, {finish}: {'  '.join(f'{sum(map(loops, one))} of {len(one)}' for one in ended)}")


def loops(reply: Reply) -> bool:
    """What the check says."""
    return find_loop(reply["text"], cut=reply["finish_reason"] != "stop") is not None


def compression(reply: Reply) -> float:
    """Whisper's measure of a loop: by how much zlib makes the text smaller."""
    data = reply["text"].encode()
    return len(data) / len(zlib.compress(data))


def seq_rep_4(reply: Reply) -> float:
    """The share of 4-grams, here of words, that occurred before (Welleck et al. 2020)."""
    words = reply["text"].split()
    grams = list(zip(*(words[n:] for n in range(4)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


JUDGES: dict[str, Callable[[Reply], bool]] = {
    "repetition": loops,
    "compressed by more than 2.4": lambda reply: compression(reply) > 2.4,
    "compressed by more than 4": lambda reply: compression(reply) > 4,
    "seq-rep-4 above 0.3": lambda reply: seq_rep_4(reply) > 0.3,
    "seq-rep-4 above 0.5": lambda reply: seq_rep_4(reply) > 0.5,
}


def make() -> None:
    """Ask, and write the file anew."""
    quants = [ModelSpec(name=quant.lower(), base=F16, quant=quant, n_ctx=2048) for quant in QUANTS]
    specs = {spec.name: replace(spec, width=8) for spec in (SOURCE, F16, *quants)}
    # All prompts of a model wait in one queue, so the time limit is that of the queue.
    config = Config(models=specs, reference=SOURCE.name, timeout=4 * 3600.0)
    run = Run(config, (specs[SOURCE.name],), health=(), recorder=Recorder())
    try:
        written = [reply for name in specs for reply in replies(run, name)]
    finally:
        run.close()
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in written)
    REPLIES.write_bytes(gzip.compress(lines.encode(), 9, mtime=0))
    print(f"{len(written)} replies, {REPLIES.stat().st_size / 1e3:.0f} kB")


def replies(run: Run, name: str) -> Iterator[Reply]:
    """One model's replies, as they are stored."""
    for temperature in (0.0, *([SAMPLED[name]] if name in SAMPLED else [])):
        started = perf_counter()
        # Sixteen at a time: a run that was stopped goes on from the reply cache.
        given = [
            reply
            for first in range(0, len(PROMPTS), 16)
            for reply in run.llm(name).chat_many(
                list(PROMPTS[first : first + 16]), max_tokens=LIMIT, temperature=temperature, seed=1
            )
        ]
        tokens = sum(len(reply.tokens) for reply in given)
        print(f"{name} at {temperature}: {tokens} tokens, {perf_counter() - started:.0f} s", flush=True)
        for number, reply in enumerate(given):
            yield {
                "id": f"{name}-{temperature:g}-{number}",
                "finish_reason": reply.finish_reason,
                "text": reply.text,
            }


if __name__ == "__main__":
    main()
