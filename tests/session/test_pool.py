"""Engines on lease, and what a handle says of its model."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.checks import HEALTH
from pytest_llmcheck.config import Config
from pytest_llmcheck.engines.llama import client
from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.engines.llama.settings import HostSettings
from pytest_llmcheck.errors import ConfigError, EngineError, ModelError
from pytest_llmcheck.models import LoraSpec, ModelSpec, RopeSpec, usable_cores
from pytest_llmcheck.session.pool import Pool, remove_shared_folder, settings_of, shared_folder
from pytest_llmcheck.session.recorder import Recorder, to_builtins
from pytest_llmcheck.session.run import Run
from pytest_llmcheck.verdict import Status, Verdict
from tests.support.adapters import tiny_lora
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def spec(path: Path) -> ModelSpec:
    return ModelSpec(name=path.stem, gguf=str(path), n_ctx=256)


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(None, None)
    yield made
    made.close()


def test_a_model_is_loaded_once_whoever_asks(pool: Pool, tiny: Path) -> None:
    settings = settings_of(pool.resolve(spec(tiny)), None)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(pool.engine(settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine, info = pool.engine(settings)
    assert found == [(engine, info)] * 4
    assert info.device == "CPU"
    folder = pool.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len([*folder.glob("*.sock")]) == 1
    pool.close()
    assert not folder.exists()
    assert engine.pid is None


def test_contexts_of_a_model_share_a_host(pool: Pool, tiny: Path) -> None:
    model = pool.resolve(spec(tiny))
    first, _ = pool.engine(settings_of(model, None))
    second, _ = pool.engine(settings_of(model, 512))
    assert first is not second
    assert first.pid == second.pid is not None


def test_a_closed_pool_can_be_used_again(pool: Pool, tiny: Path) -> None:
    settings = settings_of(pool.resolve(spec(tiny)), None)
    first, _ = pool.engine(settings)
    pool.close()
    pool.close()
    second, _ = pool.engine(settings)
    assert first is not second
    assert second.pid is not None


def test_what_was_refused_is_refused_again_at_once(pool: Pool, tmp_path: Path) -> None:
    """By the host in words, and without asking it again."""
    strange = pool.resolve(spec(tiny_llama(tmp_path / "strange.gguf", architecture="strangeformer")))
    settings = settings_of(strange, None)
    with pytest.raises(EngineError, match="unknown model architecture") as first:
        pool.engine(settings)
    with pytest.raises(EngineError) as second:
        pool.engine(settings)
    assert second.value is first.value


def test_a_file_that_cannot_be_resolved_fails_again_at_once(pool: Pool, tmp_path: Path) -> None:
    missing = spec(tmp_path / "missing.gguf")
    with pytest.raises(ModelError) as first:
        pool.resolve(missing)
    tiny_llama(tmp_path / "missing.gguf")
    with pytest.raises(ModelError) as second:
        pool.resolve(missing)
    assert second.value is first.value


def test_how_long_to_wait_for_room_is_handed_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    class Engine(LlamaEngine):
        def __init__(self, *args: Any, **options: Any) -> None:
            seen.append(options["room_seconds"])
            super().__init__(*args, **options)

    monkeypatch.setattr(client, "LlamaEngine", Engine)
    pool = Pool(None, None, room_seconds=7.0)
    pool.engine(settings_of(pool.resolve(spec(tiny)), None))
    pool.close()
    assert seen == [7.0]


def test_settings_of_a_plain_model(pool: Pool, tiny: Path) -> None:
    model = pool.resolve(ModelSpec(name="m", gguf=str(tiny)))
    settings = settings_of(model, None)
    assert (settings.name, settings.weights) == ("m", model.sha256)
    assert settings.host == HostSettings(path=str(tiny), device="auto", repack=False)
    assert settings.context.n_ctx == 1024
    assert settings.context.threads == usable_cores()
    assert settings_of(model, 300).context.n_ctx == 300
    assert settings_of(model, 300).host == settings.host


def test_settings_of_a_model_with_everything(pool: Pool, tiny: Path, tmp_path: Path) -> None:
    lora = tiny_lora(tmp_path / "a.gguf", tiny)
    model = pool.resolve(
        ModelSpec(
            name="m",
            gguf=str(tiny),
            n_ctx=512,
            width=8,
            threads=1,
            device="cpu",
            gpu_layers=3,
            main_gpu=0,
            kv=("f32", "bf16"),
            rope=RopeSpec(freq_base=20000.0),
            lora=(LoraSpec(str(lora), 0.5),),
        )
    )
    settings = settings_of(model, None)
    # Eight rows are always padded, and take the repacked weights.
    assert settings.host == HostSettings(path=str(tiny), device="cpu", repack=True, gpu_layers=3)
    context = settings.context
    assert (context.n_ctx, context.width, context.threads, context.kv) == (512, 8, 1, ("f32", "bf16"))
    assert context.rope is not None
    assert context.rope.freq_base == 20000.0
    assert [(a.path, a.scale) for a in context.adapters] == [(str(lora), 0.5)]
    assert context.adapters[0].sha256 == hashlib.sha256(lora.read_bytes()).hexdigest()


def test_a_context_that_is_impossible(pool: Pool, tiny: Path) -> None:
    with pytest.raises(ModelError, match="trained for 1024 tokens"):
        settings_of(pool.resolve(spec(tiny)), 4096)


def test_a_shared_folder_is_private() -> None:
    folder = shared_folder("a-test-of-ours")
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert shared_folder("a-test-of-ours") == folder
        folder.chmod(0o755)
        with pytest.raises(EngineError, match="is not a private folder of ours"):
            shared_folder("a-test-of-ours")
    finally:
        remove_shared_folder("a-test-of-ours")
    assert not folder.exists()


def test_a_handle_has_a_fingerprint(tiny: Path) -> None:
    config = Config(reference="tiny", default=(), models={"tiny": spec(tiny)})
    run = Run(config, (spec(tiny),), health=HEALTH, recorder=Recorder())
    llm = run.llm("tiny")
    alone, asked = llm.fingerprint, llm.chat("Hello", max_tokens=2).fingerprint
    run.close()
    assert alone.same_model(asked)
    assert (alone.model, alone.quant, alone.settings) == ("tiny", "F16", (("n_ctx", "256"),))
    assert repr(llm) == "<llm tiny: F16>"


def test_a_host_that_died_while_loading_is_tried_again(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(None, None)
    settings = settings_of(pool.resolve(spec(tiny)), None)
    real = LlamaEngine.load

    def die(engine: object) -> None:
        raise EngineError("the model host was killed", passing=True)

    monkeypatch.setattr(LlamaEngine, "load", die)
    with pytest.raises(EngineError, match="was killed"):
        pool.engine(settings)
    monkeypatch.setattr(LlamaEngine, "load", real)
    assert pool.engine(settings)[1].device == "CPU"
    pool.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_tokens": 10.5}, r"max_tokens must be a whole number, got 10\.5"),
        ({"seed": 1.5}, r"seed must be a whole number, got 1\.5"),
        ({"top_k": True}, "top_k must be a whole number, got True"),
        ({"top_p": "0.5"}, "top_p must be a number, got '0.5'"),
    ],
)
def test_a_wrong_type_never_reaches_the_host(tiny: Path, given: dict[str, Any], message: str) -> None:
    config = Config(reference="tiny", default=(), models={"tiny": spec(tiny)})
    run = Run(config, (spec(tiny),), health=HEALTH, recorder=Recorder())
    with pytest.raises(ConfigError, match=message):
        run.llm("tiny").chat("Hello", **given)
    run.close()


def test_any_evidence_can_be_recorded() -> None:
    odd = Verdict(Status.PASSED, "mine()", "fine", evidence={"path": object, "list": [{1: (2.5, None)}]})
    recorder = Recorder()
    recorder.judged(odd)
    entry, _ = recorder.take()
    (kept,) = to_builtins(entry)["verdicts"]
    assert kept["evidence"] == {"path": "<class 'object'>", "list": [{"1": [2.5, None]}]}
