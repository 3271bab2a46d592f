"""The only import of llama_cpp, and the list of what we use of it.

llama-cpp-python mirrors C structures by hand; a member that moves between two releases would be read
from the wrong place without any error. `tests/engines/test_bindings.py` therefore compares `FUNCTIONS`
and `MEMBERS` with the installed release, and the sources of this room with both lists.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import llama_cpp.llama_cpp as llama
from llama_cpp._ggml import libggml as ggml

FUNCTIONS: dict[str, int] = {
    # name: number of arguments
    "llama_backend_init": 0,
    "llama_state_seq_set_data": 4,
    "llama_state_seq_get_size": 2,
    "llama_state_seq_get_data": 4,
    "llama_set_n_threads": 3,
    "llama_set_adapters_lora": 4,
    "llama_get_logits": 1,
    "llama_adapter_lora_init": 2,
    "llama_context_default_params": 0,
    "llama_decode": 2,
    "llama_free": 1,
    "llama_get_memory": 1,
    "llama_init_from_model": 2,
    "llama_log_set": 2,
    "llama_memory_clear": 2,
    "llama_memory_seq_rm": 4,
    "llama_model_default_params": 0,
    "llama_model_free": 1,
    "llama_model_get_vocab": 1,
    "llama_model_has_decoder": 1,
    "llama_model_has_encoder": 1,
    "llama_model_is_diffusion": 1,
    "llama_model_is_hybrid": 1,
    "llama_model_is_recurrent": 1,
    "llama_model_load_from_file": 2,
    "llama_model_n_swa": 1,
    "llama_model_quantize": 3,
    "llama_model_quantize_default_params": 0,
    "llama_n_ctx_seq": 1,
    "llama_print_system_info": 0,
    "llama_sampler_accept": 2,
    "llama_sampler_apply": 2,
    "llama_sampler_free": 1,
    "llama_sampler_init_grammar": 3,
    "llama_supports_gpu_offload": 0,
    "llama_token_to_piece": 6,
    "llama_tokenize": 7,
    "llama_vocab_bos": 1,
    "llama_vocab_eos": 1,
    "llama_vocab_get_add_bos": 1,
    "llama_vocab_get_add_eos": 1,
    "llama_vocab_get_attr": 2,
    "llama_vocab_is_eog": 2,
    "llama_vocab_n_tokens": 1,
}
"""Functions of llama.h that this room calls."""

MEMBERS: dict[str, tuple[str, ...]] = {
    "llama_batch": ("n_tokens", "token", "pos", "n_seq_id", "seq_id", "logits"),
    "llama_model_params": (
        "n_gpu_layers",
        "split_mode",
        "main_gpu",
        "tensor_split",
        "use_extra_bufts",
        "progress_callback",
        "vocab_only",
    ),
    "llama_context_params": (
        "n_ctx",
        "n_batch",
        "n_ubatch",
        "n_seq_max",
        "n_outputs_max",
        "n_threads",
        "n_threads_batch",
        "flash_attn_type",
        "kv_unified",
        "swa_full",
        "type_k",
        "type_v",
        "no_perf",
        "rope_scaling_type",
        "rope_freq_base",
        "rope_freq_scale",
        "yarn_orig_ctx",
    ),
    "llama_token_data": ("id", "logit", "p"),
    "llama_token_data_array": ("data", "size", "selected", "sorted"),
    "llama_model_quantize_params": ("nthread", "ftype", "allow_requantize"),
}
"""Members of llama.h's structures that this room reads or writes."""

CALLBACKS = ("llama_log_callback", "llama_progress_callback")
"""Types of the callbacks that this room hands to llama.cpp."""

CACHE_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "iq4_nl": 20,
    "bf16": 30,
}
"""ggml_type of what a KV cache may hold, as llama.cpp's ``--cache-type-k`` spells it."""

ROPE_SCALINGS = {"none": 0, "linear": 1, "yarn": 2}
"""llama_rope_scaling_type."""

SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
"""llama_split_mode."""

GPU_DEVICE_TYPES = (1, 2)
"""GGML_BACKEND_DEVICE_TYPE_GPU and _IGPU in ggml-backend.h."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that ggml can use; memory in bytes, 0 where the backend does not tell."""

    kind: int
    name: str
    description: str
    free: int
    total: int


def devices() -> list[Device]:
    """The devices that ggml can use, in ggml's order."""

    def function(name: str, result: Any, *arguments: Any) -> Any:
        found = getattr(ggml, name)
        found.restype, found.argtypes = result, arguments
        return found

    count = function("ggml_backend_dev_count", ctypes.c_size_t)
    get = function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    kind = function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    name = function("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    description = function("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    size = ctypes.POINTER(ctypes.c_size_t)
    memory = function("ggml_backend_dev_memory", None, ctypes.c_void_p, size, size)

    def device(pointer: Any) -> Device:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(pointer, ctypes.byref(free), ctypes.byref(total))
        words = name(pointer).decode(), description(pointer).decode()
        return Device(kind(pointer), *words, free.value, total.value)

    return [device(get(i)) for i in range(count())]


__all__ = [
    "CACHE_TYPES",
    "CALLBACKS",
    "FUNCTIONS",
    "GPU_DEVICE_TYPES",
    "MEMBERS",
    "ROPE_SCALINGS",
    "SPLIT_MODES",
    "Device",
    "devices",
    "llama",
]
