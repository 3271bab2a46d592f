"""A loaded GGUF file: weights, vocabulary, and what will decide the bits of its replies."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.llama import bindings
from pytest_llmcheck.engines.llama.bindings import GPU_DEVICE_TYPES, llama
from pytest_llmcheck.engines.llama.canonical import GRID, Context, RowRule
from pytest_llmcheck.engines.llama.vocabulary import Vocabulary
from pytest_llmcheck.engines.types import Numerics
from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.models.content import content_hash
from pytest_llmcheck.models.gguf import read_gguf

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.engines.llama.log import Log
    from pytest_llmcheck.engines.llama.settings import Settings

KERNEL_CHANGES_WITH_ROWS = frozenset({"F32", "F16", "BF16"})


class Model:
    """Weights and one context on the canonical path."""

    def __init__(self, settings: Settings, log: Log, progress: Callable[[float], None]) -> None:
        header = read_gguf(Path(settings.path))
        llama.llama_backend_init()
        offload = _offload(settings)
        matrices = {tensor.type_name for tensor in header.tensors if len(tensor.shape) > 1}
        self._model: Any = None
        params = llama.llama_model_default_params()
        rule = RowRule(settings.width, bool(matrices & KERNEL_CHANGES_WITH_ROWS))
        params.use_extra_bufts = rule.repack
        params.n_gpu_layers = -1 if offload else 0

        def report(fraction: float, _: Any) -> bool:
            progress(fraction)
            return True

        # ctypes does not keep callbacks alive; llama.cpp would call freed memory.
        self._log = log
        self._callback = llama.llama_progress_callback(report)
        params.progress_callback = self._callback
        log.errors()
        self._model = llama.llama_model_load_from_file(settings.path.encode(), params)
        if not self._model:
            why = log.errors() or "it does not say why"
            raise EngineError(
                f"llama.cpp cannot load {settings.path}: {why}. Is the file whole, and does {build()} know "
                f"its architecture ({header.architecture})?"
            )
        self._refuse_what_does_not_chat(settings)
        recurrent = llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model)
        if recurrent:
            # Recurrent state cannot be padded and removed again; alone is the only stable company.
            rule = RowRule(1, rule.always_two)
        self.vocabulary = Vocabulary(self._model)
        try:
            self.context = Context(
                self._model,
                n_ctx=settings.n_ctx,
                n_vocab=self.vocabulary.size,
                threads=settings.threads,
                rule=rule,
            )
        except EngineError as error:
            raise EngineError(f"{error}: {log.errors() or 'it does not say why'}") from None
        self.device = ", ".join(offload) if offload else "CPU"
        self.numerics = Numerics(
            library=library_hash(),
            processor=", ".join(offload) or llama.llama_print_system_info().decode().strip(),
            grid=GRID,
            width=rule.width,
            rows=str(rule) if rule.width > 1 else f"{rule}, {settings.threads} threads",
            cache="f16/f16",
            flash_attention=True,
            # Measured on CPUs only so far; a GPU's kernels may depend on the batch.
            stable=not offload,
        )

    def _refuse_what_does_not_chat(self, settings: Settings) -> None:
        encoder = llama.llama_model_has_encoder(self._model)
        if encoder or not llama.llama_model_has_decoder(self._model):
            raise EngineError(f"{settings.path} is an encoder model; only decoder-only models can chat here")
        if llama.llama_model_is_diffusion(self._model):
            raise EngineError(
                f"{settings.path} is a diffusion model; only autoregressive models can chat here"
            )

    def close(self) -> None:
        """Free context and weights."""
        self.context.close()
        llama.llama_model_free(self._model)


def build() -> str:
    """The engine's name and version, for people."""
    return f"llama-cpp-python {metadata.version('llama-cpp-python')}"


def library_hash() -> str:
    """Short hash over the shared libraries that compute: equal hashes, equal machine code."""
    folder = Path(str(llama.__file__)).parent / "lib"
    libraries = sorted({p.resolve() for p in folder.iterdir() if ".so" in p.name or p.suffix == ".dylib"})
    wanted = [p for p in libraries if p.name.startswith(("libllama", "libggml"))]
    both = hashlib.sha256()
    for path in wanted:
        both.update(content_hash(path).encode())
    return both.hexdigest()[:12]


def _offload(settings: Settings) -> list[str]:
    """Descriptions of the GPUs that all layers go to; empty for the CPU."""
    if settings.device == "cpu":
        return []
    gpus = [text for kind, _, text in bindings.devices() if kind in GPU_DEVICE_TYPES]
    if llama.llama_supports_gpu_offload() and gpus:
        return gpus
    if settings.device == "gpu":
        why = "sees no GPU" if llama.llama_supports_gpu_offload() else "was built without GPU support"
        raise EngineError(
            f"it asks for a GPU, but the installed llama-cpp-python {why}. Rebuild it "
            'with CMAKE_ARGS=-DGGML_CUDA=on (or the backend of your device), or set device = "auto"'
        )
    return []
