"""Sampling: laws, and llama.cpp's own samplers as the judge of the filters."""

from __future__ import annotations

import ctypes
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp

from pytest_llmcheck.engines.llama.bindings import llama
from pytest_llmcheck.engines.llama.sampling import Sampler, distribution, largest, log_normaliser
from pytest_llmcheck.engines.types import Sampling

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.sampling import Row

rows = arrays(
    np.float32,
    st.integers(1, 1500),
    elements=st.floats(-40, 40, width=32) | st.sampled_from([0.0, 1.0, 2.0]),
)


def judge(row: Row, sampling: Sampling) -> dict[int, float]:
    """What llama.cpp's sampler chain leaves, as id -> probability."""
    tokens = [llama.llama_token_data(i, float(logit), 0.0) for i, logit in enumerate(row)]
    data = (llama.llama_token_data * row.size)(*tokens)
    candidates = llama.llama_token_data_array(data, row.size, -1, False)
    chain = [
        llama.llama_sampler_init_top_k(sampling.top_k),
        llama.llama_sampler_init_top_p(sampling.top_p, 1),
        llama.llama_sampler_init_min_p(sampling.min_p, 1),
        llama.llama_sampler_init_temp(sampling.temperature),
        llama.llama_sampler_init_dist(1),
    ]
    for sampler in chain:
        llama.llama_sampler_apply(sampler, ctypes.byref(candidates))
        llama.llama_sampler_free(sampler)
    return {int(candidates.data[i].id): float(candidates.data[i].p) for i in range(candidates.size)}


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0),
        Sampling(temperature=0.7),
        Sampling(temperature=1.5, top_k=5, top_p=1.0, min_p=0.0),
        Sampling(temperature=0.9, top_k=0, top_p=0.8, min_p=0.0),
        Sampling(temperature=0.9, top_k=0, top_p=1.0, min_p=0.1),
        Sampling(temperature=0.3, top_k=100, top_p=0.99, min_p=0.01),
        Sampling(temperature=0.9, top_k=1),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_distribution_is_that_of_llama_cpp(sampling: Sampling, seed: int) -> None:
    row = np.random.default_rng(seed).normal(0, 4, 3000).astype(np.float32)
    ids, probabilities = distribution(row, sampling)
    theirs = judge(row, sampling)
    assert set(ids.tolist()) == set(theirs)
    np.testing.assert_allclose(probabilities, [theirs[int(i)] for i in ids], rtol=2e-4, atol=1e-7)


@given(rows, st.integers(0, 1600))
def test_largest_is_a_stable_sort(row: Row, count: int) -> None:
    expected = sorted(range(row.size), key=lambda i: (-row[i], i))[:count]
    assert largest(row, count).tolist() == expected


@given(rows)
def test_normaliser_is_logsumexp(row: Row) -> None:
    assert log_normaliser(row) == pytest.approx(float(logsumexp(row.astype(np.float64))), abs=2e-5)


@given(rows)
def test_greedy_is_the_first_of_the_largest(row: Row) -> None:
    chosen = Sampler(Sampling()).choose(row)
    assert chosen == largest(row, 1)[0]


@given(rows, st.floats(0.1, 3), st.integers(0, 50), st.floats(0.01, 1), st.floats(0, 1))
def test_what_is_left_is_a_distribution(row: Row, temperature: float, k: int, p: float, min_p: float) -> None:
    ids, probabilities = distribution(row, Sampling(temperature=temperature, top_k=k, top_p=p, min_p=min_p))
    assert len(ids) >= 1
    assert len(set(ids.tolist())) == len(ids) <= (k or row.size)
    assert probabilities.sum() == pytest.approx(1)
    assert ids[0] == int(row.argmax())


def test_seeds_decide() -> None:
    row = np.random.default_rng(0).normal(0, 1, 500).astype(np.float32)

    def draw(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed))
        return [sampler.choose(row) for _ in range(20)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_frequencies_follow_the_distribution() -> None:
    row = np.array([2.0, 1.0, 0.0, -1.0], dtype=np.float32)
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=7)
    sampler = Sampler(sampling)
    counts = Counter(sampler.choose(row) for _ in range(20_000))
    ids, probabilities = distribution(row, sampling)
    for token, probability in zip(ids.tolist(), probabilities.tolist(), strict=True):
        assert counts[token] / 20_000 == pytest.approx(probability, abs=0.015)
