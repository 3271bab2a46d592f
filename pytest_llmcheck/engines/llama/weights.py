"""A loaded GGUF file: weights, vocabulary, adapters, and the contexts that share them."""

from __future__ import annotations

import ctypes
import math
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.llama import bindings
from pytest_llmcheck.engines.llama.bindings import GPU_DEVICE_TYPES, SPLIT_MODES, llama
from pytest_llmcheck.engines.llama.canonical import GRID, Context, RowRule
from pytest_llmcheck.engines.llama.machine import library_hash
from pytest_llmcheck.engines.llama.offload import offload_of
from pytest_llmcheck.engines.llama.room import check_context, check_weights
from pytest_llmcheck.engines.llama.settings import Info
from pytest_llmcheck.engines.llama.vocabulary import Vocabulary
from pytest_llmcheck.engines.types import Numerics
from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.models.gguf import read_gguf

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.engines.llama.bindings import Device
    from pytest_llmcheck.engines.llama.log import Log
    from pytest_llmcheck.engines.llama.settings import Adapter, ContextSettings, HostSettings, Settings

KERNEL_CHANGES_WITH_ROWS = frozenset({"F32", "F16", "BF16"})


class Model:
    """Weights on the canonical path. Not thread-safe.

    Args:
        settings: which file, how to load it, and the first context that will be asked for.
        log: llama.cpp's log; it says why a file is refused and where the weights are.
        progress: told the loaded share; returns False to give up loading.

    Raises:
        EngineError: llama.cpp refuses the file, or no GPU can be had where one is required.
        NoRoom: it does not fit into memory.
    """

    def __init__(self, settings: Settings, log: Log, progress: Callable[[float], bool]) -> None:
        started = perf_counter()
        host = settings.host
        self.header = read_gguf(Path(host.path))
        self._settings = host
        self._log = log
        self._adapters: dict[Adapter, Any] = {}
        self.contexts: dict[ContextSettings, Context] = {}
        llama.llama_backend_init()
        self._gpus = usable_gpus(host)
        check_weights(self.header, settings, self._gpus)
        matrices = {tensor.type_name for tensor in self.header.tensors if len(tensor.shape) > 1}
        self._always_two = bool(matrices & KERNEL_CHANGES_WITH_ROWS)
        log.start()
        self._model = self._load(progress)
        self.offload = offload_of(log.lines())
        self._refuse_what_does_not_chat()
        self.recurrent = bool(
            llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model)
        )
        self.experts = self.header.number("expert_count") or 0
        self.vocabulary = Vocabulary(self._model)
        self.load_seconds = perf_counter() - started

    def _load(self, progress: Callable[[float], bool]) -> Any:
        # ctypes does not keep callbacks and arrays alive; llama.cpp would read freed memory.
        self._callback = llama.llama_progress_callback(lambda fraction, _: progress(fraction))
        self._shares = (ctypes.c_float * 128)(*self._settings.tensor_split)
        params = model_params(self._settings, offload=bool(self._gpus))
        params.progress_callback = self._callback
        if self._settings.tensor_split:
            params.tensor_split = self._shares
        path = self._settings.path
        model = llama.llama_model_load_from_file(path.encode(), params)
        if not model:
            why = self._log.errors() or "it does not say why"
            raise EngineError(
                f"llama.cpp cannot load {path}: {why}. Is the file whole, and does {build()} know "
                f"its architecture ({self.header.architecture})?"
            )
        return model

    def _refuse_what_does_not_chat(self) -> None:
        path = self._settings.path
        encoder = llama.llama_model_has_encoder(self._model)
        if encoder or not llama.llama_model_has_decoder(self._model):
            raise EngineError(f"{path} is an encoder model; only decoder-only models can chat here")
        if llama.llama_model_is_diffusion(self._model):
            raise EngineError(f"{path} is a diffusion model; only autoregressive models can chat here")

    def context(self, settings: Settings) -> Context:
        """The context with these settings; made if it is not there.

        Raises:
            EngineError: llama.cpp cannot make it, or refuses an adapter.
            NoRoom: it does not fit into memory.
        """
        wanted = settings.context
        found = self.contexts.get(wanted)
        if found is None:
            check_context(self.header, settings, self._gpus)
            adapters = [self._adapter(adapter) for adapter in wanted.adapters]
            self._log.start()
            try:
                found = Context(
                    self._model,
                    wanted,
                    n_vocab=self.vocabulary.size,
                    rule=self.rule(wanted),
                    wipe=self.recurrent,
                    adapters=adapters,
                )
            except EngineError as error:
                raise EngineError(f"{error}: {self._log.errors() or 'it does not say why'}") from None
            self.contexts[wanted] = found
        return found

    def drop(self, settings: ContextSettings) -> None:
        """Free a context; the weights stay."""
        self.contexts.pop(settings).close()

    def rule(self, settings: ContextSettings) -> RowRule:
        """How many rows its decode calls have."""
        width = settings.width
        if self.recurrent:
            # Recurrent state cannot be padded and removed again; alone is the only stable company.
            width = 1
        elif self.experts:
            # From 8 rows for one expert on ggml takes another kernel, and neighbours share experts.
            width = min(width, 7)
        # llama.cpp casts F32 caches to F16 before flash attention (build_attn_mha in llama-graph.cpp).
        splits = not settings.flash_attention or {*settings.kv} <= {"f16", "f32"}
        return RowRule(width, self._always_two, splits)

    @property
    def reusable(self) -> float:
        """How many tokens a state may hold that is saved and restored; infinity for most models.

        A saved state lacks the cells that a sliding window has passed, and the rest comes back packed. That
        keeps the tiles of attention only if the window is a multiple of them.
        """
        if self.recurrent:
            return 0
        window = llama.llama_model_n_swa(self._model)
        return math.inf if window % GRID == 0 else window

    def _adapter(self, adapter: Adapter) -> Any:
        """A loaded LoRA adapter; it lives as long as the weights."""
        loaded = self._adapters.get(adapter)
        if loaded is None:
            self._log.start()
            loaded = llama.llama_adapter_lora_init(self._model, adapter.path.encode())
            if not loaded:
                why = self._log.errors() or "it does not say why"
                raise EngineError(f"llama.cpp cannot load the LoRA adapter {adapter.path}: {why}")
            self._adapters[adapter] = loaded
        return loaded

    def info(self, settings: ContextSettings, *, noise: float) -> Info:
        """What is to be known of the model with one of its contexts."""
        rule = self.rule(settings)
        names = [gpu.description for gpu in self._gpus]
        vocabulary = self.vocabulary
        return Info(
            build=build(),
            device=self.device,
            numerics=Numerics(
                library=library_hash(),
                processor=", ".join(names) or llama.llama_print_system_info().decode().strip(),
                grid=GRID,
                width=rule.width,
                rows=str(rule) if rule.width > 1 else f"{rule}, {settings.threads} threads",
                cache="/".join(settings.kv),
                flash_attention=settings.flash_attention,
                stable=noise == 0.0,
            ),
            noise=noise,
            n_vocab=vocabulary.size,
            end_of_generation=tuple(vocabulary.shown(t) for t in sorted(vocabulary.end_of_generation)),
            offload=self.offload,
            load_seconds=self.load_seconds,
        )

    @property
    def device(self) -> str:
        """Where the layers really are, for people."""
        names = ", ".join(gpu.description for gpu in self._gpus)
        if not names or not self.offload.layers:
            return "CPU"
        if self.offload.layers < self.offload.of:
            return f"{names} ({self.offload.layers} of {self.offload.of} layers), CPU"
        return names

    def close(self) -> None:
        """Free contexts and weights."""
        for context in self.contexts.values():
            context.close()
        self.contexts.clear()
        llama.llama_model_free(self._model)


def model_params(settings: HostSettings, *, offload: bool) -> Any:
    """llama.cpp's parameters of a model, less what points to memory of ours."""
    params = llama.llama_model_default_params()
    params.use_extra_bufts = settings.repack
    params.n_gpu_layers = settings.gpu_layers if offload else 0
    params.split_mode = SPLIT_MODES[settings.split_mode]
    params.main_gpu = settings.main_gpu
    return params


def build() -> str:
    """The engine's name and version, for people."""
    return f"llama-cpp-python {metadata.version('llama-cpp-python')}"


def usable_gpus(settings: HostSettings) -> list[Device]:
    """The GPUs that layers go to; empty for the CPU.

    Raises:
        EngineError: none can be had where one is required, with the reason.
    """
    required = settings.require_gpu or settings.device == "gpu"
    if settings.device == "cpu" or settings.gpu_layers == 0:
        return []
    gpus = [device for device in bindings.devices() if device.kind in GPU_DEVICE_TYPES]
    supported = llama.llama_supports_gpu_offload()
    if not supported or not gpus:
        if not required:
            return []
        why = "sees no GPU" if supported else "was built without GPU support"
        raise EngineError(
            f"it asks for a GPU, but the installed llama-cpp-python {why}. Rebuild it "
            'with CMAKE_ARGS=-DGGML_CUDA=on (or the backend of your device), or set device = "auto"'
        )
    if settings.main_gpu >= len(gpus) or len(settings.tensor_split) > len(gpus):
        seen = ", ".join(f"{i}: {gpu.description}" for i, gpu in enumerate(gpus))
        raise EngineError(
            f"main_gpu = {settings.main_gpu} and tensor_split for {len(settings.tensor_split)} GPUs do not "
            f"fit the {len(gpus)} that llama.cpp sees ({seen})"
        )
    return [gpus[settings.main_gpu]] if settings.split_mode == "none" else gpus
