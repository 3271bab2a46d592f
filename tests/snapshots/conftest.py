"""A house to try snapshots in: a test module, a stand-in for the plugin, and what a run says."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# They take a second to load, and have no part in it.
FOREIGN = ("llmcheck", "anyio", "asyncio", "benchmark", "cacheprovider", "hypothesispytest", "pytest_cov")

# What plugin.py does with `LlmSnapshot`, cut down: models are parametrised, verdicts are printed.
STAND_IN = """
import pytest
from pytest_llmcheck.snapshots import LlmSnapshot, Mode
from tests.support.replies import make_reply, sha

QUANTS = {"f16": "F16", "q4": "Q4_K_M", "q2": "Q2_K"}
SNAPSHOT = pytest.StashKey()

def pytest_addoption(parser):
    parser.addoption("--llm-update", action="store_true")
    parser.addoption("--llm-model", default="f16")

def pytest_generate_tests(metafunc):
    models = metafunc.config.getoption("--llm-model").split(",")
    if "model" in metafunc.fixturenames:
        hidden = [pytest.HIDDEN_PARAM] if len(models) == 1 else models
        metafunc.parametrize("model", models, ids=hidden)

@pytest.fixture
def say(model):
    def say(text, **made):
        return make_reply(text, **{"model": model, "quant": QUANTS[model], **made})
    return say

@pytest.fixture
def llm_snapshot(request, model):
    item = request.node
    name = item.name.replace(f"[{model}-", "[").replace(f"[{model}]", "")
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    snapshot = LlmSnapshot(
        item=item,
        test_name=".".join([*classes, name]),
        mode=Mode.UPDATE if request.config.getoption("--llm-update") else Mode.COMPARE,
        reference="f16",
        heard=lambda v: item.user_properties.append(("verdict", f"{v.status}: {v.check}: {v.reason}")),
        writes=model == "f16",
    )
    item.stash[SNAPSHOT] = snapshot
    return snapshot

@pytest.hookimpl(tryfirst=True)
def pytest_assertrepr_compare(op, left, right):
    for side in (left, right):
        if isinstance(side, LlmSnapshot) and (lines := side.explain()):
            return lines

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and (snapshot := item.stash.get(SNAPSHOT, None)) and (details := snapshot.details()):
        report.sections.append(("llmcheck", details))
    return report

def pytest_terminal_summary(terminalreporter):
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for key, verdict in report.user_properties:
                    if key == "verdict":
                        terminalreporter.write_line(f"VERDICT {verdict}")
"""


@dataclass
class Said:
    """What a run said."""

    result: pytest.RunResult

    @property
    def outcomes(self) -> dict[str, int]:
        return self.result.parseoutcomes()

    @property
    def lines(self) -> list[str]:
        """The lines of assertion errors, without pytest's mark."""
        said = "\n".join(line[1:] for line in self.result.outlines if line[:2] == "E ")
        # pytest leaves the class out only where the message holds no single quote.
        return [line.removeprefix("AssertionError: ") for line in textwrap.dedent(said).splitlines()]

    @property
    def verdicts(self) -> list[str]:
        return [line[8:] for line in self.result.outlines if line.startswith("VERDICT ")]

    @property
    def output(self) -> str:
        return str(self.result.stdout)


@dataclass
class House:
    """A folder with one test module that asks models."""

    pytester: pytest.Pytester

    @property
    def baselines(self) -> dict[str, str]:
        """The baselines of the module by name, decoded without touching newlines."""
        folder = self.pytester.path / "__llmcheck__" / "test_it"
        return {path.name: path.read_bytes().decode() for path in sorted(folder.glob("*"))}

    def path(self, name: str = "test_ticket.md") -> Path:
        return self.pytester.path / "__llmcheck__" / "test_it" / name

    def tests(self, source: str) -> None:
        self.pytester.makepyfile(test_it="from tests.support.replies import sha\n" + source)

    def says(self, text: str, made: str = "", snapshot: str = "llm_snapshot") -> None:
        """One test whose reply is this text; `made` goes to `make_reply`."""
        self.tests(f"def test_ticket(say, llm_snapshot):\n    assert say({text!r}, {made}) == {snapshot}\n")

    def run(self, *options: str, apart: bool = False) -> Said:
        quiet = [f"-pno:{name}" for name in FOREIGN]
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        return Said(run(*quiet, "-Werror", *options))

    def record(self, *options: str) -> None:
        assert self.run("--llm-update", *options).result.ret == 0


@pytest.fixture
def house(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> House:
    for variable in ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.syspath_prepend(ROOT)
    pytester.makeconftest(STAND_IN)
    return House(pytester)
