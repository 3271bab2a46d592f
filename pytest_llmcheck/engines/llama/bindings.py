"""The only import of llama_cpp, and the list of what we use of it.

llama-cpp-python mirrors C structures by hand; a member that moves between two releases would be read
from the wrong place without any error. `tests/engines/test_bindings.py` therefore compares `FUNCTIONS`
and `MEMBERS` with the installed release, and the sources of this room with both lists.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp.llama_cpp as llama
from llama_cpp._ggml import libggml as ggml

FUNCTIONS: dict[str, int] = {
    # name: number of arguments
    "llama_backend_init": 0,
    "llama_batch_free": 1,
    "llama_batch_init": 3,
    "llama_context_default_params": 0,
    "llama_decode": 2,
    "llama_free": 1,
    "llama_get_logits_ith": 2,
    "llama_get_memory": 1,
    "llama_init_from_model": 2,
    "llama_log_set": 2,
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
    "llama_model_quantize": 3,
    "llama_model_quantize_default_params": 0,
    "llama_n_ctx_seq": 1,
    "llama_print_system_info": 0,
    "llama_supports_gpu_offload": 0,
    "llama_token_to_piece": 6,
    "llama_tokenize": 7,
    "llama_vocab_bos": 1,
    "llama_vocab_get_add_bos": 1,
    "llama_vocab_is_eog": 2,
    "llama_vocab_n_tokens": 1,
}
"""Functions of llama.h that this room calls."""

MEMBERS: dict[str, tuple[str, ...]] = {
    "llama_batch": ("n_tokens", "token", "pos", "n_seq_id", "seq_id", "logits"),
    "llama_model_params": ("n_gpu_layers", "use_extra_bufts", "progress_callback"),
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
    ),
    "llama_model_quantize_params": ("nthread", "ftype", "allow_requantize"),
}
"""Members of llama.h's structures that this room reads or writes."""

CALLBACKS = ("llama_log_callback", "llama_progress_callback")
"""Types of the callbacks that this room hands to llama.cpp."""

GGML_TYPE_F16 = 1
FLASH_ATTENTION_ON = 1
GPU_DEVICE_TYPES = (1, 2)
"""GGML_BACKEND_DEVICE_TYPE_GPU and _IGPU in ggml-backend.h."""


def devices() -> list[tuple[int, str, str]]:
    """The devices that ggml can use: (type, name, description), in ggml's order."""

    def function(name: str, result: Any, *arguments: Any) -> Any:
        found = getattr(ggml, name)
        found.restype, found.argtypes = result, arguments
        return found

    count = function("ggml_backend_dev_count", ctypes.c_size_t)
    get = function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    kind = function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    name = function("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    description = function("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    found = [get(i) for i in range(count())]
    return [(kind(d), name(d).decode(), description(d).decode()) for d in found]


__all__ = [
    "CALLBACKS",
    "FLASH_ATTENTION_ON",
    "FUNCTIONS",
    "GGML_TYPE_F16",
    "GPU_DEVICE_TYPES",
    "MEMBERS",
    "devices",
    "llama",
]
