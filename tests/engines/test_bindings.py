"""The contract with llama-cpp-python: every function and member that we use is where we think it is."""

from __future__ import annotations

import ast
import ctypes
from pathlib import Path

import pytest

import pytest_llmcheck.engines.llama as room
from pytest_llmcheck.engines.llama import bindings
from pytest_llmcheck.engines.llama.bindings import CALLBACKS, FUNCTIONS, MEMBERS, llama

SOURCES = sorted(Path(room.__file__).parent.glob("*.py"))


@pytest.mark.parametrize(("name", "count"), FUNCTIONS.items())
def test_function_exists_with_its_number_of_arguments(name: str, count: int) -> None:
    assert len(getattr(llama, name).argtypes or ()) == count


@pytest.mark.parametrize(("name", "members"), MEMBERS.items())
def test_structure_has_the_members(name: str, members: tuple[str, ...]) -> None:
    assert set(members) <= {field[0] for field in getattr(llama, name)._fields_}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callback_type_exists(name: str) -> None:
    assert issubclass(getattr(llama, name), ctypes._CFuncPtr)  # type: ignore[attr-defined]


def test_layout_agrees_with_the_library() -> None:
    """A member in the wrong place would show as a wrong default: these are llama.cpp's documented ones."""
    context = llama.llama_context_default_params()
    shown = {name: getattr(context, name) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max")}
    assert shown == {"n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1}
    assert (context.type_k, context.type_v) == (bindings.CACHE_TYPES["f16"], bindings.CACHE_TYPES["f16"])
    assert (context.rope_scaling_type, context.rope_freq_base, context.yarn_orig_ctx) == (-1, 0.0, 0)
    assert (context.flash_attn_type, context.n_outputs_max) == (-1, 0)
    assert (context.kv_unified, context.swa_full, context.no_perf, context.embeddings) == (
        False,
        True,
        True,
        False,
    )
    model = llama.llama_model_default_params()
    assert (model.n_gpu_layers, model.split_mode, model.main_gpu) == (-1, bindings.SPLIT_MODES["layer"], 0)
    assert (model.use_extra_bufts, model.vocab_only, model.check_tensors) == (True, False, False)
    quantising = llama.llama_model_quantize_default_params()
    assert (quantising.nthread, quantising.allow_requantize, quantising.pure) == (0, False, False)
    assert bool(quantising.quantize_output_tensor)


def attributes(tree: ast.AST, owner: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_nothing_else_is_used(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    used = attributes(tree, "llama") - {"__file__"}
    assert used <= {*FUNCTIONS, *CALLBACKS, *MEMBERS}
    every_member = {member for members in MEMBERS.values() for member in members}
    assert attributes(tree, "params") | attributes(tree, "target") <= every_member


def test_nothing_is_listed_in_vain() -> None:
    used: set[str] = set()
    for source in SOURCES:
        used |= attributes(ast.parse(source.read_text(encoding="utf-8")), "llama")
    assert {*FUNCTIONS, *CALLBACKS} - used == set()


def test_only_the_bindings_import_llama_cpp() -> None:
    package = Path(room.__file__).parents[2]
    importers = []
    for source in package.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "llama_cpp" for name in names):
                importers.append(source.name)
    assert set(importers) == {"bindings.py"}


def test_devices_name_the_processor() -> None:
    processors = [device for device in bindings.devices() if device.kind == 0]  # ..._TYPE_CPU
    assert processors
    assert all(device.description for device in processors)
