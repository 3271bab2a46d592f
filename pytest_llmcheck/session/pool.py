"""The engines of a run: each model is loaded once, whoever asks."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.quantise import quantise
from pytest_llmcheck.engines.llama.settings import Adapter, ContextSettings, HostSettings, Rope, Settings
from pytest_llmcheck.engines.llama.width import repacks
from pytest_llmcheck.errors import EngineError, LlmcheckError, ModelError
from pytest_llmcheck.models import context_of, resolve, usable_cores

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.client import LlamaEngine
    from pytest_llmcheck.engines.llama.settings import Info
    from pytest_llmcheck.models import GGUFHeader, ModelSpec, Progress, ResolvedModel


class Pool:
    """The engines of one process. Thread-safe.

    Args:
        folder: private folder for sockets and logs, shared by the workers of a run; None makes one.
        progress: shown while hashing, quantising and loading.
        room_seconds: how long to wait at most until other models have made room.
    """

    def __init__(
        self, folder: Path | None, progress: Progress | None, *, room_seconds: float = 600.0
    ) -> None:
        self._folder = folder
        self._owned: Path | None = None
        self._progress = progress
        self._room_seconds = room_seconds
        self._lock = threading.RLock()
        self._resolved: dict[str, ResolvedModel | LlmcheckError] = {}
        self._engines: dict[Settings, LlamaEngine] = {}
        self._refused: dict[Settings, LlmcheckError] = {}

    def resolve(self, spec: ModelSpec) -> ResolvedModel:
        """The file behind a declared model, made if need be. What failed once fails again at once.

        Raises:
            ModelError: it cannot be found, read or made.
        """
        with self._lock:
            found = self._resolved.get(spec.name)
            if found is None:
                try:
                    found = resolve(spec, quantise=quantise, progress=self._progress)
                except LlmcheckError as error:
                    found = error
                self._resolved[spec.name] = found
            if isinstance(found, LlmcheckError):
                raise found.with_traceback(None)
            return found

    def engine(self, settings: Settings) -> tuple[LlamaEngine, Info]:
        """A loaded engine.

        Raises:
            ModelError: it does not fit into memory.
            EngineError: llama.cpp refused it.
        """
        # A run that the reply cache answers needs none.
        from pytest_llmcheck.engines.llama.client import LlamaEngine

        with self._lock:
            if refused := self._refused.get(settings):
                raise refused.with_traceback(None)
            engine = self._engines.get(settings)
            if engine is None:
                engine = LlamaEngine(
                    settings, self.folder, progress=self._progress, room_seconds=self._room_seconds
                )
                self._engines[settings] = engine
        try:
            # Not under our lock: threads that ask other models need not wait.
            return engine, engine.load()
        except (EngineError, ModelError) as error:
            if not getattr(error, "passing", False):
                with self._lock:
                    self._refused[settings] = error
            raise

    def running(self, settings: Settings) -> LlamaEngine | None:
        """The engine, if this process has a host for it that is running; nothing is started."""
        with self._lock:
            engine = self._engines.get(settings)
        return None if engine is None or engine.pid is None else engine

    @property
    def folder(self) -> Path:
        """The private folder; made on first use."""
        if self._folder is None:
            self._folder = self._owned = Path(tempfile.mkdtemp(prefix="llmcheck-"))
        return self._folder

    def close(self) -> None:
        """Let go of all engines, and remove the folder if it is ours."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()
            if self._owned is not None:
                shutil.rmtree(self._owned, ignore_errors=True)
                self._owned = self._folder = None


def settings_of(model: ResolvedModel, n_ctx: int | None) -> Settings:
    """What an engine is to load for a model, with the context asked for or the model's own."""
    spec = model.spec if n_ctx is None else replace(model.spec, n_ctx=n_ctx)
    rope = spec.rope
    return Settings(
        name=spec.name,
        weights=model.sha256,
        host=HostSettings(
            path=str(model.path),
            device=spec.device,
            repack=repacks(spec.width),
            gpu_layers=-1 if spec.gpu_layers is None else spec.gpu_layers,
            main_gpu=spec.main_gpu,
            split_mode=spec.split_mode,
            tensor_split=spec.tensor_split,
            require_gpu=spec.require_gpu,
        ),
        context=ContextSettings(
            n_ctx=context_of(model.header, spec),
            width=spec.width,
            threads=spec.threads or usable_cores(),
            kv=spec.kv,
            flash_attention=spec.flash_attention,
            rope=None if rope is None else Rope(**asdict(rope)),
            adapters=tuple(Adapter(str(a.path), a.sha256, a.scale) for a in model.adapters),
        ),
    )


def vocabulary_of(header: GGUFHeader) -> str:
    """Hash over all tokens in order: equal hashes, comparable token ids."""
    tokens = header.metadata.get("tokenizer.ggml.tokens", ())
    running = hashlib.sha256()
    for token in tokens if isinstance(tokens, Sequence) else ():
        raw = str(token).encode("utf-8", "surrogateescape")
        running.update(len(raw).to_bytes(4, "big") + raw)
    return running.hexdigest()


def shared_folder(run: str) -> Path:
    """The folder in which the workers of an xdist run meet; made private to this user.

    Args:
        run: the run's unique name, the same in all its processes.

    Raises:
        EngineError: something else is there under that name.
    """
    folder = _shared_path(run)
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise EngineError(f"{folder} is not a private folder of ours: remove it and run again")
    return folder


def remove_shared_folder(run: str) -> None:
    """Remove what the workers shared, if there was anything."""
    shutil.rmtree(_shared_path(run), ignore_errors=True)


def _shared_path(run: str) -> Path:
    return (
        Path(tempfile.gettempdir())
        / f"llmcheck-{os.getuid()}-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
    )
