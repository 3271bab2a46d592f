"""Engines on lease: each model is loaded once, and room is made where memory is short."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.engines.llama.quantise import quantise
from pytest_llmcheck.engines.llama.settings import Settings
from pytest_llmcheck.errors import EngineError, LlmcheckError, ModelError
from pytest_llmcheck.models import available_memory, check_fit, context_of, resolve

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.settings import Info
    from pytest_llmcheck.models import ModelSpec, Progress, ResolvedModel


class Pool:
    """The engines of one process. Thread-safe.

    Args:
        folder: private folder for sockets and logs, shared by the workers of a run; None makes one.
        progress: shown while hashing, quantising and loading.
    """

    def __init__(self, folder: Path | None, progress: Progress | None) -> None:
        self._folder = folder
        self._owned: Path | None = None
        self._progress = progress
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

    def engine(self, model: ResolvedModel, n_ctx: int | None) -> tuple[LlamaEngine, Info]:
        """A loaded engine for the model, with the context asked for or the model's own.

        Raises:
            ModelError: it does not fit into memory.
            EngineError: llama.cpp refused it.
        """
        spec = model.spec if n_ctx is None else replace(model.spec, n_ctx=n_ctx)
        settings = Settings(
            name=spec.name,
            path=str(model.path),
            n_ctx=context_of(model.header, spec),
            width=spec.width,
            threads=spec.threads or usable_cores(),
            device=spec.device,
        )
        with self._lock:
            if refused := self._refused.get(settings):
                raise refused.with_traceback(None)
            engine = self._engines.pop(settings, None)
            if engine is None or engine.pid is None:
                engine = engine or LlamaEngine(settings, self.folder, progress=self._progress)
                self._make_room(model, spec)
                try:
                    info = engine.load()
                except (EngineError, ModelError) as error:
                    engine.close()
                    if not getattr(error, "passing", False):
                        self._refused[settings] = error
                    raise
            else:
                info = engine.load()
            # The most recently used is last: room is made from the front.
            self._engines[settings] = engine
            return engine, info

    def _make_room(self, model: ResolvedModel, spec: ModelSpec) -> None:
        """Let go of the models used longest ago until this one fits."""
        while True:
            try:
                check_fit(model.header, spec, available_memory())
                return
            except ModelError:
                if not self._engines:
                    raise
                oldest = next(iter(self._engines))
                self._engines.pop(oldest).close()

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


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
