"""Flips between two models, and whether they are more than chance."""

from __future__ import annotations

import sys
from math import comb
from subprocess import run
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pytest_llmcheck.compare import flips, mcnemar

VERDICTS = st.sampled_from([True, False, None])


@pytest.mark.parametrize("all_", [0, 1, 5, 6, 33, 400, 5000])
def test_as_scipy_says(all_: int) -> None:
    for one in {0, all_ // 3, all_ // 2, all_}:
        expected = binomtest(one, all_).pvalue if all_ else 1.0
        assert mcnemar(one, all_ - one) == pytest.approx(expected, rel=1e-9)
        assert mcnemar(all_ - one, one) == mcnemar(one, all_ - one)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_as_the_definition_says(one: int, other: int) -> None:
    n = one + other
    tail = sum(comb(n, i) for i in range(min(one, other) + 1)) * 2
    assert mcnemar(one, other) == pytest.approx(min(1.0, tail / 2**n), rel=1e-12)


@given(st.lists(st.tuples(VERDICTS, VERDICTS)))
def test_every_pair_is_in_one_place(pairs: list[tuple[bool | None, bool | None]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    found = flips(before, after)
    assert found.pairs == len(pairs)
    assert set(found.undecided) == {at for at, pair in enumerate(pairs) if None in pair}
    unchanged = [at for at, (b, a) in enumerate(pairs) if b is a and b is not None]
    places = [*found.wrong_to_right, *found.right_to_wrong, *found.undecided, *unchanged]
    assert sorted(places) == list(range(len(pairs)))
    back = flips(after, before)
    assert (back.wrong_to_right, back.right_to_wrong) == (found.right_to_wrong, found.wrong_to_right)
    assert back.p == found.p


def test_equal_rates_hide_flips() -> None:
    found = flips([True, True, False, None], [False, True, True, True])
    assert found.p == 1.0
    assert found == ((2,), (0,), (3,), 4)
    assert flips(np.array([True, False]), np.array([False, False])).right_to_wrong == (0,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mcnemar(-1, 2), ValueError, "wrong_to_right must be at least 0, got -1"),
        (lambda: mcnemar(1, 2.0), TypeError, "right_to_wrong must be a whole number, got 2.0"),  # type: ignore[arg-type]
        (lambda: flips([True], []), ValueError, "each verdict needs its partner: 1 before, 0 after"),
        (lambda: flips([1], [0]), TypeError, "a verdict is True, False or None (undecided), got 1"),  # type: ignore[list-item]
    ],
)
def test_wrong_numbers(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """A Wilson bound, which every rate takes by default, costs neither numpy nor scipy."""
    done = run(
        [
            sys.executable,
            "-c",
            "import sys; from pytest_llmcheck.compare import flips, samples_needed, wilson\n"
            "wilson(9, 10); samples_needed(0.9, 0.95); flips([True], [False])\n"
            "print([name for name in ('numpy', 'scipy', 'pytest', 'llama_cpp') if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
