"""Adapters, cache types, RoPE, context and flash attention: each a model of its own over shared weights."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.engines.llama.service import Service
from pytest_llmcheck.engines.llama.settings import Adapter, Rope
from pytest_llmcheck.engines.llama.weights import Model
from pytest_llmcheck.engines.types import Request
from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import check_fit
from tests.support.adapters import tiny_lora
from tests.support.engines import engine, settings

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.engines.types import Completion

ASKED = Request(prompt="The shop page was down on Monday, and then", max_tokens=16)


def adapter(path: Path, scale: float = 1.0) -> Adapter:
    return Adapter(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), scale)


def complete(path: Path, folder: Path, **changes: Any) -> tuple[Completion, int]:
    made = engine(path, folder, **changes)
    done = made.complete(ASKED)
    pid = made.pid
    assert pid is not None
    made.close()
    return done, pid


def logprobs(done: Completion) -> list[str]:
    assert done.tokens or done.end
    return [token.logprob.hex() for token in (*done.tokens, *([done.end] if done.end else []))]


class TestAdapters:
    @pytest.fixture
    def lora(self, tiny: Path, tmp_path: Path) -> Path:
        return tiny_lora(tmp_path / "lora.gguf", tiny)

    def test_an_adapter_changes_the_replies_and_shares_the_weights(
        self, tiny: Path, short_tmp: Path, lora: Path
    ) -> None:
        base = engine(tiny, short_tmp)
        plain = base.complete(ASKED)
        done, pid = complete(tiny, short_tmp, adapters=(adapter(lora),))
        assert pid == base.pid
        assert logprobs(done) != logprobs(plain)
        assert logprobs(base.complete(ASKED)) == logprobs(plain)
        base.close()

    def test_a_scale_of_zero_is_no_adapter(self, tiny: Path, short_tmp: Path, lora: Path) -> None:
        plain, _ = complete(tiny, short_tmp)
        done, _ = complete(tiny, short_tmp, adapters=(adapter(lora, 0.0),))
        assert logprobs(done) == logprobs(plain)

    def test_scales_and_several_adapters(
        self, tiny: Path, short_tmp: Path, lora: Path, tmp_path: Path
    ) -> None:
        other = tiny_lora(tmp_path / "other.gguf", tiny, seed=5)
        made = {
            scales: tuple(logprobs(complete(tiny, short_tmp, adapters=adapters)[0]))
            for scales, adapters in {
                "1": (adapter(lora),),
                "0.5": (adapter(lora, 0.5),),
                "1 + 1": (adapter(lora), adapter(other)),
                "0 + 1": (adapter(lora, 0.0), adapter(other)),
                "other": (adapter(other),),
            }.items()
        }
        assert made["0 + 1"] == made["other"]
        assert len({made[key] for key in ("1", "0.5", "1 + 1", "other")}) == 4

    def test_a_file_that_has_gone_since_it_was_checked(
        self, tiny: Path, short_tmp: Path, tmp_path: Path
    ) -> None:
        made = engine(tiny, short_tmp, adapters=(Adapter(str(tmp_path / "gone.gguf"), "0" * 64, 1.0),))
        with pytest.raises(ModelError, match=r"gone\.gguf does not exist"):
            made.load()
        made.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"kv": ("q8_0", "q8_0")},
        {"kv": ("q4_0", "f16")},
        {"kv": ("q8_0", "f16")},
        {"flash_attention": False},
        {"rope": Rope(scaling="linear", factor=4.0)},
        {"rope": Rope(scaling="yarn", factor=2.0, original_context=4096)},
        {"rope": Rope(freq_base=50_000.0)},
    ],
    ids=str,
)
def test_a_setting_of_the_context_reaches_llama(
    smollm: Path, short_tmp: Path, changes: dict[str, Any]
) -> None:
    base = engine(smollm, short_tmp)
    plain = base.complete(ASKED)
    made = engine(smollm, short_tmp, **changes)
    info = made.load()
    done = made.complete(ASKED)
    assert made.pid == base.pid
    assert logprobs(done) != logprobs(plain)
    assert info.numerics.cache == "/".join(changes.get("kv", ("f16", "f16")))
    assert info.numerics.flash_attention is changes.get("flash_attention", True)
    if changes.get("kv") in (("q8_0", "q8_0"), ("q8_0", "f16")):
        # No attention that is split by threads: one row is enough at any length.
        assert (info.numerics.rows, info.noise) == ("1", 0.0)
    # Whatever the probe found is said, and the same request gives the same bits alone.
    assert info.numerics.stable is (info.noise == 0.0)
    assert logprobs(made.complete(ASKED)) == logprobs(done)
    made.close()
    base.close()


def test_the_context_alone_does_not_change_replies(smollm: Path, short_tmp: Path) -> None:
    assert logprobs(complete(smollm, short_tmp, n_ctx=512)[0]) == logprobs(
        complete(smollm, short_tmp, n_ctx=2048)[0]
    )


def test_an_idle_context_makes_room_for_another(
    tiny: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a host: contexts come and go, the weights stay."""

    class Nobody:
        def working(self) -> None:
            pass

    made = Service(Nobody())
    first, second = settings(tiny), settings(tiny, n_ctx=512)
    made._model = Model(first, made._log, lambda _: True)
    made._scheduler(first)

    def one_only(header: Any, spec: Any, available: int, **kwargs: Any) -> Any:
        assert made._model is not None
        return check_fit(header, spec, 0 if made._model.contexts else available, **kwargs)

    monkeypatch.setattr("pytest_llmcheck.engines.llama.room.check_fit", one_only)
    made._scheduler(second)
    assert list(made._schedulers) == [second.context]
    assert made._model is not None
    assert list(made._model.contexts) == [second.context]
    made.close()
