"""Many mixed requests from several threads, some given up at random: no slot is lost, memory stays flat."""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_llmcheck.engines.types import Constraint, Request, Sampling, ScoreRequest
from pytest_llmcheck.errors import PromptError
from tests.support.engines import engine, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.client import LlamaEngine

THREADS = 6
SCHEMA = '{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}'


class Soak:
    """Clients of one host with two contexts, and what they have heard.

    Args:
        engines: two with one context, one with another one.
        scale: of the prompts and replies.
    """

    def __init__(self, engines: list[LlamaEngine], scale: float = 1.0) -> None:
        self.engines = engines
        self.counts: dict[str, int] = {}
        self._scale = scale
        self._heard: dict[tuple[object, ...], object] = {}
        self._lock = threading.Lock()
        self._wrong: list[BaseException] = []
        self._numbers: Iterator[int] = itertools.count()

    def ask(self, count: int) -> None:
        """Ask as many things; what is wrong with any of the answers is raised."""
        numbers = itertools.islice(self._numbers, count)

        def work() -> None:
            while not self._wrong:
                with self._lock:
                    number = next(numbers, None)
                if number is None:
                    return
                try:
                    self._ask_one(number)
                except BaseException as error:
                    self._wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._wrong:
            raise self._wrong[0]

    def _ask_one(self, number: int) -> None:
        """The same for the same number, but for the moments at which requests are given up."""
        dice = random.Random(number)
        made = dice.choice(self.engines)
        kind = dice.choice(
            ("greedy", "sampled", "shared", "again", "score", "schema", "too long", "given up")
        )
        length = max(1, int(self._scale * dice.randint(1, 24)))
        text = words(max(1, int(self._scale * dice.choice((2, 5, 20, 80)))), seed=number % 3)
        with self._lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
        asked = Request(prompt=text, max_tokens=length)
        if kind == "too long":
            with pytest.raises(PromptError, match=r"tokens and the context holds|have .* tokens"):
                made.complete(Request(prompt=words(3000)))
        elif kind == "given up":
            ticket = made.submit(
                Request(prompt=text, max_tokens=300, sampling=Sampling(temperature=2.0, seed=number))
            )
            time.sleep(dice.random() * 0.1)
            ticket.cancel()
        elif kind == "score":
            scored = made.score(ScoreRequest(prompt=text, continuation=words(8, seed=number % 7)))
            self._compare((kind, made.settings, text, number % 7), [t.logprob for t in scored.tokens])
        elif kind == "schema":
            constraint = Constraint("schema", SCHEMA)
            done = made.complete(Request(prompt=text, max_tokens=length, constraint=constraint))
            assert done.text.startswith("{")
        elif kind == "sampled":
            sampling = Sampling(temperature=1.0, seed=number % 5)
            done = made.complete(Request(prompt=text, max_tokens=length, sampling=sampling))
            self._compare((kind, made.settings, text, number % 5, length), done.tokens)
        else:
            prefix = words(int(self._scale * 60), seed=7) if kind == "shared" else ""
            prompt = {"again": "Always the same"}.get(kind, f"{prefix} {text}")
            done = made.complete(Request(prompt=prompt, max_tokens=asked.max_tokens))
            self._compare((made.settings, prompt, length), done.tokens)

    def _compare(self, asked: tuple[object, ...], answer: object) -> None:
        """The same question has the same answer, bit for bit."""
        with self._lock:
            assert self._heard.setdefault(asked, answer) == answer

    def memory(self) -> int:
        """Bytes that the host alone uses, once it has nothing to do."""
        for made in self.engines:
            made.complete(Request(prompt="Quiet now", max_tokens=1))
        pid = self.engines[0].pid
        assert pid is not None
        return int(psutil.Process(pid).memory_full_info().uss)


@pytest.fixture
def folder(short_tmp: Path) -> Path:
    return short_tmp


def three(model: Path, folder: Path) -> list[LlamaEngine]:
    return [
        engine(model, folder),
        engine(model, folder),
        engine(model, folder, n_ctx=768, kv=("f32", "f32")),
    ]


def all_slots_are_free(engines: list[LlamaEngine]) -> None:
    for made in engines:
        tickets = [
            made.submit(
                Request(
                    prompt=f"Tell me about the number {i}",
                    max_tokens=40,
                    sampling=Sampling(temperature=2.0, seed=i),
                )
            )
            for i in range(12)
        ]
        assert max(ticket.result().timings.company for ticket in tickets) == 3


def nothing_is_left(folder: Path) -> None:
    kinds = sorted(path.suffix or path.name for path in folder.iterdir())
    assert kinds == [".lock", ".lock", ".log", ".sock", "secret"]


def test_a_hundred_and_fifty_requests(tiny: Path, folder: Path) -> None:
    soak = Soak(three(tiny, folder))
    soak.ask(150)
    assert len(soak.counts) == 8
    assert len({made.pid for made in soak.engines}) == 1
    all_slots_are_free(soak.engines)
    nothing_is_left(folder)
    for made in soak.engines:
        made.close()


@pytest.mark.long
@pytest.mark.parametrize("size", ["tiny", "smollm"])
def test_two_thousand_requests(size: str, folder: Path, request: pytest.FixtureRequest) -> None:
    soak = Soak(three(request.getfixturevalue(size), folder), scale=1.0 if size == "tiny" else 0.4)
    soak.ask(1000)
    pid = soak.engines[0].pid
    half = soak.memory()
    soak.ask(1000)
    whole = soak.memory()
    print(f"soak of {size}: {half / 1e6:.1f} MB after 1,000 requests, {whole / 1e6:.1f} MB after 2,000")
    assert whole <= half * 1.05
    assert {made.pid for made in soak.engines} == {pid}
    all_slots_are_free(soak.engines)
    nothing_is_left(folder)
    for made in soak.engines:
        made.close()
