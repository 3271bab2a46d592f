"""Hooks, options and fixtures; what they do is in the rooms below.

Nothing heavy is imported here: a run that asks for no model must not notice that the plugin is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.items import CASES, LADDER, NEEDS_MODEL, PARAMETER
from pytest_llmcheck.wiring import State

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_llmcheck.case_tests import CaseTests
    from pytest_llmcheck.session.llm import LLM
    from pytest_llmcheck.session.run import LLMs, Run
    from pytest_llmcheck.snapshots import LlmSnapshot

STATE = pytest.StashKey[State]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make our own hooks known."""
    from pytest_llmcheck import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options with long names only: many projects have an `--llm` of their own."""
    group = parser.getgroup("llmcheck", "language models (pytest-llmcheck)")
    group.addoption(
        "--llm-model",
        action="append",
        default=[],
        metavar="NAMES",
        help="models to run on: declared names separated by commas, `all`, or a .gguf file",
    )
    group.addoption(
        "--llm-template",
        metavar="FILE_OR_NAME",
        help="chat template of all active models in this run: a jinja file, or the name of a known format",
    )
    group.addoption("--llm-off", action="store_true", help="skip tests that need a model")
    group.addoption(
        "--llm-update",
        action="store_true",
        help="let the reference write the baselines of llm_snapshot",
    )
    group.addoption(
        "--llm-strict",
        action="store_true",
        help="fail tests that are inconclusive or not applicable, instead of skipping them",
    )
    group.addoption(
        "--llm-cache",
        choices=("on", "off", "refresh", "only"),
        default="on",
        help="reply cache: `on` (default) answers an equal request without the model, `off` neither reads "
        "nor writes it, `refresh` asks anew and writes, `only` fails what is not in it",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark and the state of this run."""
    config.addinivalue_line(
        "markers",
        "llm(system, max_tokens, n_ctx, models): settings of tests that use the llm fixture",
    )
    config.addinivalue_line(
        "markers",
        f"{CASES}(path, id): run the test once for each case of a .jsonl, .csv or .tsv file beside it",
    )
    state = config.stash[STATE] = State(config)
    config.pluginmanager.register(_Reports(state), "llmcheck-reports")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_XdistHooks(state), "llmcheck-xdist")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop before workers are started that could not say what is wrong."""
    session.config.stash[STATE].raise_early()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which models are active, where a project declares some."""
    return config.stash[STATE].header()


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each case, active model and context length; last, so that they end the id."""
    state, test = metafunc.config.stash[STATE], metafunc.definition
    if test.get_closest_marker(CASES):
        _cases(metafunc.config).multiply(metafunc)
    if PARAMETER in metafunc.fixturenames and (names := state.names_for(test)) is not None:
        metafunc.parametrize(PARAMETER, names, indirect=True, scope="session", ids=names)
    if LADDER in metafunc.fixturenames and (lengths := state.lengths_for(test)):
        metafunc.parametrize(LADDER, lengths, indirect=True, scope="session", ids=[*map(str, lengths)])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a model, so that `-m` finds them."""
    for item in items:
        if NEEDS_MODEL in getattr(item, "fixturenames", ()):
            item.add_marker("llm")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop at a configuration that is wrong, if a test that was not deselected needs a model."""
    state = session.config.stash[STATE]
    state.items = [item for item in session.items if NEEDS_MODEL in getattr(item, "fixturenames", ())]
    if state.items:
        state.raise_if_wrong()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a mark that is wrong, give a test its case, and skip one that is for other models."""
    if item.get_closest_marker(CASES):
        _cases(item.config).prepare(item)
    if NEEDS_MODEL in getattr(item, "fixturenames", ()):
        item.config.stash[STATE].check_before(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Settings of the mark apply to what the test asks."""
    with item.config.stash[STATE].at(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """A module's fixture asks with the module's marks, whichever test came first."""
    state = request.config.stash[STATE]
    with state.at(request.node), state.left_open.making(fixturedef.argname, request.node):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take what was asked and judged along on the report; undecided is never passed."""
    report = yield
    item.config.stash[STATE].complete(item, call, report)
    if report.failed and item.get_closest_marker(CASES):
        _cases(item.config).locate(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(
    report: pytest.TestReport,
) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Make what the report carries plain, where it goes to another process or a file."""
    data = yield
    if data is not None and (said := data.get("llmcheck")) and said["entry"] is not None:
        from pytest_llmcheck.session.recorder import to_builtins

        data["llmcheck"] = {**said, "entry": to_builtins(said["entry"])}
    return data


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Explain a comparison with a baseline."""
    return config.stash[STATE].explain(op, left, right)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table tests x models."""
    config.stash[STATE].summarise(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End the hosts and the run record."""
    session.config.stash[STATE].finish(session, int(exitstatus))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what an interrupted run has left."""
    if state := config.stash.get(STATE, None):
        state.close()


class _Reports:
    """The hook that is called without the configuration."""

    def __init__(self, state: State) -> None:
        self._state = state

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the run record; with xdist, in the process that hears of all tests."""
        self._state.hear(report)


class _XdistHooks:
    """Hooks of pytest-xdist, registered only where it is installed."""

    def __init__(self, state: State) -> None:
        self._state = state

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Know the name under which the workers of this run meet."""
        self._state.workers_meet_at(node.workerinput["testrunuid"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Know the order of the tests; workers end them in another, but all collect the same."""
        self._state.collected = ids


def _cases(config: pytest.Config) -> CaseTests:
    """Asked for where a test carries the mark, and nowhere else."""
    from pytest_llmcheck.case_tests import CaseTests

    return CaseTests.of(config)


@pytest.fixture(scope="session")
def _llmcheck_run(request: pytest.FixtureRequest) -> Iterator[Run]:
    state = request.config.stash[STATE]
    if state.off:
        pytest.skip("needs a model (--llm-off)")
    with state.failing_plainly():
        run = state.run
    yield run
    run.close()


@pytest.fixture(scope="session")
def _llm_model(request: pytest.FixtureRequest, _llmcheck_run: Run) -> str:
    chosen = getattr(request, "param", None)
    if chosen is None and len(_llmcheck_run.active) > 1:
        names = ", ".join(spec.name for spec in _llmcheck_run.active)
        pytest.fail(
            f"this test cannot be run once for each of the active models ({names}): unittest classes and "
            'getfixturevalue("llm") cannot be multiplied. Take `llm` as an argument of a test function, use '
            'llms["name"], or select one model with --llm-model',
            pytrace=False,
        )
    return chosen or _llmcheck_run.active[0].name


@pytest.fixture(scope="session")
def _llm_n_ctx(request: pytest.FixtureRequest) -> int | None:
    """The context length that the test is at; what asks at it is made anew for each."""
    chosen: int | None = getattr(request, "param", None)
    return chosen


@pytest.fixture(scope="session")
def llm(request: pytest.FixtureRequest, _llm_model: str, _llm_n_ctx: int | None, _llmcheck_run: Run) -> LLM:
    """The active model; with several, the test runs once for each."""
    with request.config.stash[STATE].failing_plainly():
        return _llmcheck_run.llm(_llm_model)


@pytest.fixture(scope="session")
def llms(_llmcheck_run: Run, _llm_n_ctx: int | None) -> LLMs:
    """All declared models by name, for tests that need two at once."""
    from pytest_llmcheck.session.run import LLMs

    return LLMs(_llmcheck_run)


@pytest.fixture
def llm_snapshot(request: pytest.FixtureRequest) -> LlmSnapshot:
    """Compare a reply, a text or a value with the recorded baseline of this test."""
    state = request.config.stash[STATE]
    return state.snapshot(request.node)
