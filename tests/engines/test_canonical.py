"""The canonical path: its rules, and that they keep the bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.canonical import GRID, LONG, Context, RowRule, chunks
from pytest_llmcheck.engines.llama.log import Log
from pytest_llmcheck.engines.llama.weights import Model
from pytest_llmcheck.errors import EngineError
from tests.support.engines import settings, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.sampling import Row


def go_on() -> None:
    """Never give up."""


@given(st.integers(1, 5000), st.integers(2, 600))
def test_chunks_cover_the_prompt_on_the_grid_without_single_rows(length: int, grid: int) -> None:
    made = list(chunks(length, grid))
    assert [start for start, _ in made] == [0, *(end for _, end in made[:-1])]
    assert made[-1][1] == length
    assert all(start % grid == 0 for start, _ in made)
    sizes = [end - start for start, end in made]
    assert length == 1 or all(2 <= size <= grid + 1 for size in sizes)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(1, [1]), (64, [64]), (65, [65]), (66, [64, 2]), (129, [64, 65]), (577, [64] * 8 + [65])],
)
def test_chunk_sizes(length: int, expected: list[int]) -> None:
    assert [end - start for start, end in chunks(length)] == expected


@pytest.mark.parametrize(
    ("width", "always_two", "longest", "rows"),
    [
        (4, False, LONG - 1, 1),
        (4, False, LONG, 2),
        (4, True, 1, 2),
        (8, False, 1, 8),
        (8, True, 600, 8),
        (1, True, 600, 1),
    ],
)
def test_row_rule(width: int, always_two: bool, longest: int, rows: int) -> None:
    rule = RowRule(width, always_two)
    assert rule.at_least(longest) == rows
    assert rule.repack == (width == 8)


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    made = Model(settings(smollm), Log(), lambda _: None)
    yield made
    made.close()


def fresh(model: Model, threads: int = 2) -> Context:
    rule = RowRule(4, always_two=False)
    return Context(model._model, n_ctx=1024, n_vocab=model.vocabulary.size, threads=threads, rule=rule)


class Company:
    """Runs a forced continuation in some company and keeps every row of logits."""

    def __init__(self, model: Model, length: int) -> None:
        self.model = model
        self.prompt = model.vocabulary.tokenise(words(700))[:length]
        self.short = model.vocabulary.tokenise(words(20, seed=2))
        self.long = model.vocabulary.tokenise(words(700, seed=3))[:600]

    def alone(
        self, steps: int = 6, threads: int = 2, context: Context | None = None
    ) -> tuple[list[Row], list[int]]:
        used = context or fresh(self.model, threads)
        rows, forced = [used.prefill(0, self.prompt, go_on).copy()], []
        for _ in range(steps):
            forced.append(int(rows[-1].argmax()))
            rows.append(used.step({0: forced[-1]})[0].copy())
        if context is None:
            used.close()
        return rows, forced

    def among(
        self, slot: int, before: dict[int, list[int]], forced: list[int], leaves: int | None
    ) -> list[Row]:
        context = fresh(self.model)
        current = {s: int(context.prefill(s, tokens, go_on).argmax()) for s, tokens in before.items()}
        rows = [context.prefill(slot, self.prompt, go_on).copy()]
        for i, token in enumerate(forced):
            if leaves is not None and i == len(forced) // 2:
                context.clear(leaves)
                del current[leaves]
            out = context.step({**current, slot: token})
            rows.append(out.pop(slot).copy())
            current = {s: int(row.argmax()) for s, row in out.items()}
        context.close()
        return rows


def same(left: list[Row], right: list[Row]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("length", [40, 150, 577, 600])
def test_logits_do_not_depend_on_company(model: Model, length: int) -> None:
    case = Company(model, length)
    rows, forced = case.alone()
    assert same(rows, case.alone()[0])
    assert same(rows, case.alone(threads=1)[0])
    three = dict.fromkeys(range(3), case.short)
    assert same(rows, case.among(3, three, forced, leaves=None))
    assert same(rows, case.among(1, {0: case.long}, forced, leaves=None))
    assert same(rows, case.among(1, {0: case.long}, forced, leaves=0))
    used = fresh(model)
    used.prefill(0, case.long, go_on)
    used.step({0: 5})
    assert same(rows, case.alone(context=used)[0])
    used.close()


def test_the_rules_are_needed(model: Model) -> None:
    """The test above can fail: off the grid, the same prompt gives other bits."""
    case = Company(model, 150)
    rows, _ = case.alone()
    context = fresh(model)
    context.clear(0)
    context._lengths[0] = 0
    for start in range(0, 150, 30):
        wanted = [(case.prompt[i], i, 0, i == 149) for i in range(start, start + 30)]
        out = context._decode(wanted)
    different = out[0].copy()
    context.close()
    assert not np.array_equal(rows[0], different)


def test_a_slot_cannot_be_left_out_of_a_step(model: Model) -> None:
    context = fresh(model)
    context.prefill(0, [5, 6, 7], go_on)
    context.prefill(1, [5, 6, 7], go_on)
    with pytest.raises(EngineError, match=r"slots \[0\] hold a sequence"):
        context.step({1: 8})
    context.close()


def test_giving_up_between_chunks(model: Model) -> None:
    calls = []

    def stop_at_the_third() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise TimeoutError

    context = fresh(model)
    with pytest.raises(TimeoutError):
        context.prefill(0, [5] * (GRID * 5), stop_at_the_third)
    assert np.isfinite(context.prefill(0, [5] * 10, go_on)).all()
    context.close()


def test_dummies_leave_nothing_behind(model: Model) -> None:
    context = fresh(model)
    context.prefill(2, [5, 6, 7], go_on)
    context.step({2: 8})
    held = [llama.llama_memory_seq_pos_max(context._memory, slot) for slot in range(4)]
    context.close()
    assert held == [-1, -1, 3, -1]
