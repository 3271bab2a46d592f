"""Families besides Llama's in the engine: each is served with equal bits, or refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.engines.types import Request
from pytest_llmcheck.errors import EngineError
from tests.support import families
from tests.support.company import Ask, House, bits, open_model, request
from tests.support.engines import engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Maker = Callable[..., Path]

LENGTHS = (40, 150, 577, 600)


def made(maker: Maker, folder: Path, **changes: int) -> Path:
    return maker(folder / "model.gguf", context=1024, **changes)


@pytest.mark.parametrize(
    ("maker", "changes", "width", "reused"),
    [
        (families.tiny_gemma3, {"window": 64}, 4, True),
        (families.tiny_gemma3, {"window": 100}, 4, False),
        (families.tiny_gemma3, {"window": 64}, 8, True),
        (families.tiny_qwen3moe, {}, 4, True),
        (families.tiny_qwen3moe, {}, 8, True),
        (families.tiny_mamba, {}, 1, False),
        (families.tiny_jamba, {}, 1, False),
        (families.tiny_lfm2, {}, 1, False),
    ],
)
def test_equal_bits_in_any_company(
    tmp_path: Path, maker: Maker, changes: dict[str, int], width: int, reused: bool
) -> None:
    path = made(maker, tmp_path, **changes)
    model = open_model(path, width)
    house = House(model, path, width)
    asked = [request(model, length, 2 * i, temperature=i % 2) for i, length in enumerate(LENGTHS)]
    alone = []
    for one in asked:
        house.forget()
        alone.append(bits(house.run([Ask(one)])[0]))
    assert len({token for one in alone for token, *_ in one}) > 5
    order = [3, 0, 2, 1, 3, 2, 0, 2]
    schedule = [Ask(asked[i], turn=turn) for turn, i in enumerate(order)]
    schedule.append(Ask(asked[1], leaves=4))
    answers = house.run(schedule)
    assert [bits(answer) for answer in answers[: len(order)]] == [alone[i] for i in order]
    again = house.run([Ask(asked[2]), Ask(asked[3])])
    assert [bits(answer) for answer in again] == [alone[2], alone[3]]
    assert bool(house.scheduler.store._kept) is reused or changes.get("window") == 100
    longest = max((entry.length for entry in house.scheduler.store._kept.values()), default=0)
    assert longest <= model.reusable
    house.close()
    model.close()


@pytest.mark.parametrize(
    ("maker", "width"),
    [
        (families.tiny_qwen3moe, 7),
        (families.tiny_gemma3, 8),
        (families.tiny_mamba, 1),
        (families.tiny_jamba, 1),
    ],
)
def test_the_numerics_have_the_width_that_is_really_used(
    tmp_path: Path, short_tmp: Path, maker: Maker, width: int
) -> None:
    engine_ = engine(made(maker, tmp_path), short_tmp, width=8)
    info = engine_.load()
    assert info.numerics.width == width
    assert ("2 threads" in info.numerics.rows) is (width == 1)
    assert (info.noise, info.numerics.stable) == (0.0, True)
    done = [ticket.result() for ticket in [engine_.submit(Request(prompt="x", max_tokens=5))] * 2]
    assert done[0].tokens == done[1].tokens
    engine_.close()


@pytest.mark.parametrize(
    ("maker", "message"),
    [
        (families.tiny_bert, "keeps no memory of earlier tokens for this architecture"),
        (families.tiny_t5, "is an encoder model; only decoder-only models can chat here"),
        (families.tiny_dream, "is a diffusion model; only autoregressive models can chat here"),
    ],
)
def test_what_does_not_chat_is_refused(tmp_path: Path, short_tmp: Path, maker: Maker, message: str) -> None:
    engine_ = engine(maker(tmp_path / "model.gguf", context=512), short_tmp, n_ctx=512)
    with pytest.raises(EngineError, match=message):
        engine_.load()
    engine_.close()
