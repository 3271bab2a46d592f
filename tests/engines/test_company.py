"""The law of company: token ids and log-probabilities do not depend on who else is served.

Each request is decoded alone in an empty house first; in every schedule it must get the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmcheck.engines.types import ScoreRequest
from tests.support.company import Ask, House, bits, open_model, request
from tests.support.engines import ladder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.weights import Model
    from pytest_llmcheck.engines.types import Request
    from tests.support.company import Bits

LADDER = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")
LENGTHS = (40, 150, 577, 600)


class Law:
    """A model, the requests that are tried on it, and what each of them gets alone."""

    def __init__(self, path: Path, width: int = 4) -> None:
        self.path = path
        self.model: Model = open_model(path, width)
        self.house = House(self.model, path, width)
        self.requests: list[Request | ScoreRequest] = [
            request(self.model, length, seed, temperature=temperature)
            for seed, (length, temperature) in enumerate(
                [*((length, 0.0) for length in LENGTHS), (200, 1.0), (40, 0.8), (640, 0.0), (129, 0.0)]
            )
        ]
        self.requests.append(
            ScoreRequest(prompt=self.requests[0].prompt, continuation="the order was sent again on monday")
        )
        self.alone: list[Bits] = []
        for one in self.requests:
            self.house.forget()
            (answer,) = self.house.run([Ask(one)])
            self.alone.append(bits(answer))
        self.house.forget()

    def check(self, schedule: list[tuple[int, Ask]], *, threads: int = 2) -> None:
        answers = self.house.run([ask for _, ask in schedule], threads=threads)
        for (index, ask), answer in zip(schedule, answers, strict=True):
            if answer is None or isinstance(answer, Exception):
                assert ask.leaves < 10**6
                continue
            assert bits(answer) == self.alone[index], f"request {index} of {schedule}"

    def ask(self, index: int, turn: int = 0, leaves: float = float("inf")) -> tuple[int, Ask]:
        return index, Ask(self.requests[index], turn, leaves)

    def close(self) -> None:
        self.house.close()
        self.model.close()


@pytest.fixture(scope="module", params=LADDER)
def law(request: pytest.FixtureRequest, smollm: Path) -> Iterator[Law]:
    made = Law(ladder(request.param, smollm))
    yield made
    made.close()


def full_house(law: Law) -> None:
    """More than there are slots, all at once: queues, reuses slots, closes gaps."""
    law.check([law.ask(i) for i in (0, 2, 4, 1, 5, 0, 7)])


def long_neighbour(law: Law) -> None:
    """A long prompt arrives while short replies are decoded, and outlives them."""
    law.check([law.ask(0), law.ask(1), law.ask(3, turn=4), law.ask(5, turn=6)])


def leavers(law: Law) -> None:
    """Clients go away while they wait, in their prompt, and in their reply; others take their slots."""
    law.check(
        [
            law.ask(2, leaves=5),
            law.ask(0),
            law.ask(3, leaves=16),
            law.ask(1),
            law.ask(4, leaves=3),
            law.ask(5, turn=2),
            law.ask(7, turn=12),
        ]
    )


def warm(law: Law) -> None:
    """The same prompts again: prefixes and whole prompts come from the store."""
    law.check([law.ask(4), law.ask(4), law.ask(6)])
    law.check([law.ask(6), law.ask(4), law.ask(2), law.ask(6), law.ask(6, turn=3), law.ask(2, turn=9)])
    assert any(entry.row is not None for entry in law.house.scheduler.store._kept.values())


def one_thread(law: Law) -> None:
    """One thread instead of two, and a continuation scored in between."""
    law.check([law.ask(2), law.ask(8), law.ask(5), law.ask(8, turn=5), law.ask(0, turn=5)], threads=1)


@pytest.mark.parametrize("schedule", [full_house, long_neighbour, leavers, warm, one_thread])
def test_adversarial_schedules(law: Law, schedule: object) -> None:
    law.house.forget()
    schedule(law)  # type: ignore[operator]


@pytest.fixture(scope="module", params=["Q8_0", "Q4_K_M"])
def drawn(request: pytest.FixtureRequest, smollm: Path) -> Iterator[Law]:
    made = Law(ladder(request.param, smollm))
    yield made
    made.close()


asks = st.builds(
    lambda index, turn, stays: (index, turn, None if stays > 24 else turn + stays),
    st.integers(0, 8),
    st.integers(0, 12),
    st.integers(0, 60),
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(asks, min_size=2, max_size=7), st.booleans(), st.sampled_from([1, 2]))
def test_drawn_schedules(
    drawn: Law, events: list[tuple[int, int, int | None]], cold: bool, threads: int
) -> None:
    if cold:
        drawn.house.forget()
    schedule = [drawn.ask(i, turn, float("inf") if leaves is None else leaves) for i, turn, leaves in events]
    drawn.check(schedule, threads=threads)


@pytest.mark.parametrize("quant", ["Q8_0", "Q4_K_M"])
def test_width_eight(quant: str, smollm: Path) -> None:
    law = Law(ladder(quant, smollm), width=8)
    full_house(law)
    leavers(law)
    law.close()


def test_a_difference_would_be_seen(smollm: Path) -> None:
    """The same schedules on what llama.cpp does by itself: steps of a single row beyond 512 cells."""
    law = Law(ladder("F16", smollm))
    law.house.context.rule = replace(law.house.context.rule, always_two=False)
    with pytest.raises(AssertionError, match="request"):
        law.check([law.ask(0)], threads=1)
    law.close()
