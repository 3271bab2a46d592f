"""Engines on lease, and what a handle says of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.checks import HEALTH
from pytest_llmcheck.config import Config
from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.errors import ConfigError, EngineError, ModelError
from pytest_llmcheck.models import ModelSpec
from pytest_llmcheck.session import pool as room
from pytest_llmcheck.session.pool import Pool, remove_shared_folder, shared_folder
from pytest_llmcheck.session.recorder import Recorder, to_builtins
from pytest_llmcheck.session.run import Run
from pytest_llmcheck.verdict import Status, Verdict
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


def spec(path: Path) -> ModelSpec:
    return ModelSpec(name=path.stem, gguf=str(path), n_ctx=256)


def test_room_is_made_by_the_model_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(None, None)
    first, second, third = (
        pool.resolve(spec(tiny_llama(tmp_path / f"{name}.gguf", seed=seed)))
        for seed, name in enumerate(("first", "second", "third"))
    )
    engines = [pool.engine(model, None)[0] for model in (first, second)]
    pool.engine(first, None)
    asked: list[int] = []

    def fits_once_something_went(header: object, spec: object, available: int) -> None:
        asked.append(available)
        if len(asked) == 1:
            raise ModelError("does not fit")

    monkeypatch.setattr(room, "check_fit", fits_once_something_went)
    pool.engine(third, None)
    assert len(asked) == 2
    assert engines[0].pid is not None
    assert engines[1].pid is None
    folder = pool.folder
    pool.close()
    assert not folder.exists()


def test_what_never_fits_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(None, None)
    model = pool.resolve(spec(tiny_llama(tmp_path / "tiny.gguf")))
    monkeypatch.setattr(room, "available_memory", lambda: 1000)
    with pytest.raises(ModelError, match="does not fit"):
        pool.engine(model, None)
    pool.close()


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
    model = pool.resolve(spec(tiny))
    real = LlamaEngine.load

    def die(engine: object) -> None:
        raise EngineError("the model host was killed", passing=True)

    monkeypatch.setattr(LlamaEngine, "load", die)
    with pytest.raises(EngineError, match="was killed"):
        pool.engine(model, None)
    monkeypatch.setattr(LlamaEngine, "load", real)
    assert pool.engine(model, None)[1].device == "CPU"
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
