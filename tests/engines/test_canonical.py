"""The canonical path: its rules, and that they keep the bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.canonical import LONG, Context, RowRule, chunks
from pytest_llmcheck.engines.llama.log import Log
from pytest_llmcheck.engines.llama.weights import Model
from pytest_llmcheck.errors import EngineError
from tests.support.engines import settings, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.sampling import Row


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
    made = Model(settings(smollm), Log(), lambda _: True)
    yield made
    made.close()


@pytest.fixture
def context(model: Model, smollm: Path) -> Iterator[Context]:
    rule = RowRule(4, always_two=False)
    made = Context(model._model, settings(smollm).context, n_vocab=model.vocabulary.size, rule=rule)
    yield made
    made.close()


def prefill(context: Context, slot: int, tokens: list[int], grid: int = 64) -> Row:
    for start, end in chunks(len(tokens), grid):
        rows = context.chunk(slot, tokens, start, end, len(tokens) - 1)
    assert len(rows) == 1
    row: Row = rows[0].copy()
    return row


def tokens(model: Model, length: int, seed: int = 1) -> list[int]:
    return model.vocabulary.tokenise(words(length, seed=seed))[:length]


def test_off_the_grid_the_same_prompt_gives_other_bits(model: Model, context: Context) -> None:
    """So the tests of equal bits can fail."""
    prompt = tokens(model, 150)
    expected = prefill(context, 0, prompt)
    assert np.array_equal(prefill(context, 0, prompt), expected)
    assert not np.array_equal(prefill(context, 0, prompt, grid=30), expected)


def test_a_dummy_in_a_slot_whose_prompt_is_half_done_changes_nothing(model: Model, context: Context) -> None:
    long, short = tokens(model, 300), tokens(model, 20, seed=2)
    expected = prefill(context, 0, long)
    next_token = int(prefill(context, 3, short).argmax())
    for start, end in chunks(len(long)):
        rows = context.chunk(0, long, start, end, len(long) - 1)
        if end < len(long):
            context.step({3: next_token})
    assert np.array_equal(rows[0], expected)


@pytest.mark.parametrize("length", [64, 256])
def test_a_restored_state_goes_on_with_the_same_bits(model: Model, context: Context, length: int) -> None:
    prompt = tokens(model, 400)
    expected = prefill(context, 0, prompt)
    for start, end in chunks(length):
        context.chunk(1, prompt, start, end, len(prompt))
    blob = context.save(1)
    context.restore(2, blob, length)
    assert context.length(2) == length
    for start, end in chunks(len(prompt)):
        if start >= length:
            rows = context.chunk(2, prompt, start, end, len(prompt) - 1)
    assert np.array_equal(rows[0], expected)


def test_a_moved_reply_goes_on_with_the_same_bits(model: Model, context: Context) -> None:
    prompt = tokens(model, 90)
    token = int(prefill(context, 0, prompt).argmax())
    expected = context.step({0: token})[0].copy()
    prefill(context, 3, prompt)
    context.restore(1, context.save(3), context.length(3))
    context.clear(3)
    assert np.array_equal(context.step({1: token})[1], expected)


def test_logits_of_wanted_positions_only(model: Model, context: Context) -> None:
    prompt = tokens(model, 100)
    assert len(context.chunk(0, prompt, 0, 64, 70)) == 0
    assert len(context.chunk(0, prompt, 64, 100, 70)) == 30
    assert len(context.chunk(0, prompt, 0, 64, 0)) == 64


def test_a_chunk_goes_on_where_the_slot_is(model: Model, context: Context) -> None:
    prompt = tokens(model, 200)
    context.chunk(0, prompt, 0, 64, 200)
    with pytest.raises(EngineError, match="slot 0 holds 64 tokens, not 128"):
        context.chunk(0, prompt, 128, 192, 200)


def test_dummies_leave_nothing_behind(context: Context) -> None:
    prefill(context, 2, [5, 6, 7])
    context.step({2: 8})
    held = [llama.llama_memory_seq_pos_max(context._memory, slot) for slot in range(4)]
    assert held == [-1, -1, 3, -1]
