"""Bad input: the message names thing and remedy, other tests still run, nothing is half-written."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUIET = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:benchmark", "-p", "no:hypothesispytest")

TESTS = """
    def test_bad(llms):
        llms["bad"].chat("Hello", max_tokens=2)

    def test_good(llms):
        llms["good"].chat("Hello", max_tokens=2)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("LLMCHECK_CACHE_DIR", str(pytester.path / "cache"))
    pytester.makepyfile(TESTS)
    configure(pytester, tiny, 'gguf = "bad.gguf"')
    return pytester


def configure(pytester: pytest.Pytester, good: Path, bad: str) -> None:
    pytester.makepyprojecttoml(
        textwrap.dedent(
            f"""
            [tool.llmcheck]
            reference = "good"
            [tool.llmcheck.models.good]
            gguf = "{good}"
            n_ctx = 256
            [tool.llmcheck.models.bad]
            {bad}
            """
        )
    )


def judge(project: pytest.Pytester, *message: str) -> None:
    """test_bad fails with these parts in its message, test_good passes, no temporary file is left."""
    result = project.runpytest_subprocess(*QUIET, timeout=120)
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    output = " ".join(result.stdout.str().replace("\nE", " ").split())
    for part in message:
        assert part in output
    left = [path.name for path in (project.path / "cache").rglob("*") if path.is_file()]
    assert [name for name in left if not name.endswith((".json", ".gguf", ".lock", ".sqlite"))] == []


def as_directory(path: Path, _: Path) -> None:
    path.mkdir()


def as_empty(path: Path, _: Path) -> None:
    path.touch()


def as_random(path: Path, _: Path) -> None:
    import random

    path.write_bytes(random.Random(0).randbytes(4096))


def as_truncated(path: Path, good: Path) -> None:
    data = good.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def as_strange(path: Path, _: Path) -> None:
    tiny_llama(path, architecture="strangeformer")


def as_missing(path: Path, good: Path) -> None:
    path.with_name("bed.gguf").write_bytes(good.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(as_missing, ["bad.gguf", "bed.gguf"], id="missing"),
        pytest.param(as_empty, ["bad.gguf", "is empty"], id="empty"),
        pytest.param(as_truncated, ["bad.gguf", "is cut off"], id="truncated"),
        pytest.param(as_random, ["bad.gguf", "is not a GGUF file"], id="random bytes"),
        pytest.param(as_directory, ["bad.gguf", "is a folder; name a .gguf file in it"], id="directory"),
        pytest.param(
            as_strange,
            ["bad.gguf", "unknown model architecture: 'strangeformer'", "does llama-cpp-python"],
            id="unknown architecture",
        ),
    ],
)
def test_bad_file(
    project: pytest.Pytester, tiny: Path, spoil: Callable[[Path, Path], None], message: list[str]
) -> None:
    spoil(project.path / "bad.gguf", tiny)
    judge(project, "'bad'", *message)


def test_no_permission(project: pytest.Pytester, tiny: Path) -> None:
    bad = project.path / "bad.gguf"
    bad.write_bytes(tiny.read_bytes())
    bad.chmod(0)
    if os.access(bad, os.R_OK):
        # Root may read everything: let the file refuse by another way that gives the same error.
        project.makeconftest(
            """
            import builtins, io
            real = io.open
            def refuse(file, *args, **kwargs):
                if str(file).endswith("bad.gguf"):
                    raise PermissionError(13, "Permission denied", str(file))
                return real(file, *args, **kwargs)
            builtins.open = io.open = refuse
            """
        )
    judge(project, "bad.gguf", "may not be read")


def test_quant_that_cannot_be_made(project: pytest.Pytester, tiny: Path) -> None:
    """A known quant for which this model's shapes are unfit: llama.cpp's own reason is shown."""
    configure(project, tiny, 'from = "good"\nquant = "Q1_0"')
    judge(project, "cannot make Q1_0", "Q1_0")


def test_quant_that_needs_more_than_a_file(project: pytest.Pytester, tiny: Path) -> None:
    configure(project, tiny, 'from = "good"\nquant = "IQ2_XXS"')
    result = project.runpytest_subprocess(*QUIET)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "tool.llmcheck.models.bad.quant" in result.stderr.str()
    assert "importance matrix" in result.stderr.str()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            'chat("x" * 300)',
            ["the prompt has", "the context holds 256", "raise n_ctx above"],
            id="longer than the context",
        ),
        pytest.param('chat("  ")', ["the prompt is empty"], id="empty"),
        pytest.param('chat([{"role": "usr", "content": "x"}])', ["'usr'", "did you mean 'user'?"], id="role"),
        pytest.param('chat("x", max_token=5)', ["'max_token'", "did you mean 'max_tokens'?"], id="argument"),
        pytest.param('chat("x", temperature=-1)', ["temperature must be at least 0"], id="temperature"),
        pytest.param('chat("x", max_tokens=0)', ["max_tokens must be at least 1, got 0"], id="max_tokens"),
    ],
)
def test_bad_prompt(project: pytest.Pytester, call: str, message: list[str]) -> None:
    project.makepyfile(
        f"def test_bad(llm):\n    llm.{call}\n\ndef test_good(llm):\n    llm.chat('x', max_tokens=2)"
    )
    judge(project, *message)


def test_no_template(project: pytest.Pytester) -> None:
    tiny_llama(project.path / "bad.gguf", chat_template=None)
    judge(project, "'bad'", "no chat template", "chat_template =")


def test_disk_full_while_quantising(project: pytest.Pytester, tiny: Path) -> None:
    """Simulated by a limit on the size of a file, which also holds for the quantiser's process."""
    source = tiny_llama(project.path / "wide.gguf", n_embd=256, n_ff=256)
    limit = source.stat().st_size // 3
    configure(project, tiny, f'from = "wide"\nquant = "Q8_0"\n[tool.llmcheck.models.wide]\ngguf = "{source}"')
    project.makeconftest(
        f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        """
    )
    judge(project, "'bad'", "cannot make Q8_0", "writing into", "set LLMCHECK_CACHE_DIR")
    models = [path.suffix for path in (project.path / "cache" / "models").iterdir()]
    assert set(models) <= {".lock"}


def test_quantising_twice_is_refused(project: pytest.Pytester, smollm: Path, tiny: Path) -> None:
    configure(project, tiny, f'from = "q4_1"\nquant = "Q2_K"\n[tool.llmcheck.models.q4_1]\ngguf = "{smollm}"')
    judge(project, "'bad'", "Q4_1", "F16")
