"""Joins the rooms for one pytest process: what the hooks in `plugin` call.

Everything is made when a test first needs it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcheck.explaining import explain
from pytest_llmcheck.items import (
    NEEDS_MODEL,
    PARAMETER,
    model_in_id,
    n_ctx_in_id,
    name_in_module,
    nodeid_without_model,
)
from pytest_llmcheck.left_open import LeftOpen
from pytest_llmcheck.marks import marked, settings_at
from pytest_llmcheck.session.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llmcheck.config import Config
    from pytest_llmcheck.errors import LlmcheckError
    from pytest_llmcheck.models import ModelSpec, Progress
    from pytest_llmcheck.reports.run import RunReport
    from pytest_llmcheck.session.plan import Plan
    from pytest_llmcheck.session.run import Run
    from pytest_llmcheck.snapshots import LlmSnapshot
    from pytest_llmcheck.verdict import Check, Verdict

XDIST_WORKER = "workerinput"
UNDECIDED = pytest.StashKey[list["Verdict"]]()
SNAPSHOT = pytest.StashKey["LlmSnapshot"]()


class State:
    """What one process of a run knows. Cheap to make; pytest makes one for every run of any project.

    Attributes:
        items: the tests of this process that need a model.
        collected: ids of all tests that the workers of pytest-xdist run, in the order of a run without them.
        recorder: hears what is asked and judged.
        left_open: what fixtures left undecided.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._pytest = config
        self._nodes: list[pytest.Item | pytest.Collector] = []
        self._run: Run | None = None
        self._wrong: LlmcheckError | None = None
        self._report: RunReport | None = None
        self._shared: str | None = None
        self.items: list[pytest.Item] = []
        self.collected: list[str] = []
        self.recorder = Recorder()
        self.left_open = LeftOpen(self.recorder)

    # -- which models ---------------------------------------------------------------------------

    @cached_property
    def config(self) -> Config:
        """The project's settings.

        Raises:
            ConfigError: they are wrong, or the health checks of a plugin.
        """
        from pytest_llmcheck.config import load_config

        config = load_config(self._pytest.rootpath, lambda: [check.name for check in self.health])
        # Most runs have no such plugin, and import no check yet.
        _ = self._pytest.hook.pytest_llmcheck_health_checks.get_hookimpls() and self.health
        return config

    @cached_property
    def health(self) -> tuple[Check, ...]:
        """The checks that every reply is held to: ours, then those of plugins."""
        from pytest_llmcheck.health import health_checks

        return health_checks(self._pytest)

    @cached_property
    def active(self) -> tuple[ModelSpec, ...]:
        """The models that tests run on, the reference first.

        Raises:
            ConfigError: an unknown name, or baselines are to be written without the reference.
        """
        from pytest_llmcheck.config import with_template
        from pytest_llmcheck.errors import ConfigError

        config = self.config
        active = config.select(self._pytest.getoption("--llm-model"))
        template = self._pytest.getoption("--llm-template")
        if template is not None:
            active = with_template(active, template, self._pytest.invocation_params.dir)
        if self._updating and config.reference not in [spec.name for spec in active]:
            raise ConfigError(
                f"--llm-update lets the reference write the baselines, and {config.reference!r} is not "
                f"active: add --llm-model {config.reference}"
            )
        return active

    @property
    def run(self) -> Run:
        """The run in this process.

        Raises:
            LlmcheckError: the configuration is wrong.
        """
        if self._run is None:
            from pytest_llmcheck.prompts.renderer import RENDERER

            RENDERER.prepare()  # it starts while all else is imported and read
            from pytest_llmcheck.session.pool import shared_folder
            from pytest_llmcheck.session.run import Run

            worker = getattr(self._pytest, XDIST_WORKER, None)
            self._run = Run(
                self.config,
                self.active,
                health=self.health,
                tool_formats=lambda: self._pytest.hook.pytest_llmcheck_tool_formats(config=self._pytest),
                folder=None if worker is None else shared_folder(worker["testrunuid"]),
                progress=self._progress(),
                recorder=self.recorder,
                settings=lambda: settings_at(self._nodes),
                cache=self._pytest.getoption("--llm-cache"),
                # Workers of pytest-xdist ask at the same time anyway, and none knows what another will ask.
                plan=self._plan if worker is None else None,
            )
        return self._run

    def _plan(self, timeout: float) -> Plan:
        from pytest_llmcheck.session.plan import Plan

        return Plan(self._pytest.rootpath, self._upcoming, timeout)

    def _upcoming(self, model: str, n_ctx: int) -> list[str]:
        """Ids without the model of the tests that run on it at this context length, in their order."""
        return [
            nodeid_without_model(item)
            for item in self.items
            if model_in_id(item) in (None, model) and n_ctx_in_id(item) in (None, n_ctx)
        ]

    def names_for(self, item: pytest.Item) -> list[str] | None:
        """Names of the models to multiply a test by; None where it is to run once, without brackets."""
        from pytest_llmcheck.errors import LlmcheckError

        if self.off or self._wrong:
            return None
        try:
            active = [spec.name for spec in self.active]
        except LlmcheckError as error:
            self._wrong = error
            return None
        if len(active) < 2:
            return None
        try:
            wanted = marked(item).settings.models
        except LlmcheckError:
            return active  # said when the test is set up
        # A test that is for none of them stays, so that its setup can say so.
        return [name for name in active if wanted is None or name in wanted] or None

    def lengths_for(self, item: pytest.Item) -> tuple[int, ...]:
        """Context lengths to multiply a test by; empty where its mark does not have several."""
        from pytest_llmcheck.errors import LlmcheckError

        try:
            return () if self.off else marked(item).ladder
        except LlmcheckError:
            return ()  # said when the test is set up

    def raise_early(self) -> None:
        """Stop a wrongly configured run before it begins, if it has workers or was asked for a model.

        Workers would end without a word, so only this process can say it. Else it is said if a test needs it.
        """
        from pytest_llmcheck.reports.header import declares

        option = self._pytest.getoption
        configured = option("--llm-template") is not None or declares(self._pytest.rootpath)
        if option("--llm-model") or (option("dist", "no") != "no" and configured):
            self.raise_if_wrong()

    def raise_if_wrong(self) -> None:
        """Stop the run where the configuration is wrong and tests need it; in a worker, each test says it.

        Raises:
            pytest.UsageError: one message, once.
        """
        from pytest_llmcheck.errors import LlmcheckError

        if self.off or hasattr(self._pytest, XDIST_WORKER):
            return
        try:
            _ = self.active
        except LlmcheckError as error:
            raise pytest.UsageError(str(error)) from None

    def header(self) -> list[str]:
        """Lines for the head of the run; empty in a project that declares nothing."""
        from pytest_llmcheck.reports.header import declares, describe, overlooked

        root = self._pytest.rootpath
        unread = overlooked(self._pytest.invocation_params.dir, root)
        if not declares(root) and not self._pytest.getoption("--llm-model"):
            return unread
        from pytest_llmcheck.errors import LlmcheckError

        if self.off:
            return ["llmcheck: off"]
        try:
            return [*unread, *describe(self.config, self.active)]
        except LlmcheckError as error:
            return [f"llmcheck: {error}"]

    # -- the running test -----------------------------------------------------------------------

    @contextmanager
    def at(self, node: Any) -> Iterator[None]:
        """While this test, or this fixture of that module or session, is running."""
        self._nodes.append(node)
        try:
            yield
        finally:
            self._nodes.pop()

    def check_before(self, item: pytest.Item) -> None:
        """Before a test that needs a model: its mark is right, and it is meant for this model."""
        if self.off:
            return
        with self.failing_plainly():
            wanted = settings_at([item]).models
            run = None if wanted is None else self.run
        if wanted is None or run is None:
            return
        from pytest_llmcheck.errors import ConfigError, did_you_mean

        known = {*self.config.models, *(spec.name for spec in run.active)}
        with self.failing_plainly():
            if unknown := [name for name in wanted if name not in known]:
                hint = did_you_mean(unknown[0], known)
                raise ConfigError(
                    f"@pytest.mark.llm(models=...) of {item.nodeid}: no model {unknown[0]!r}: {hint}"
                )
        model = self.model_of(item)
        active = [spec.name for spec in run.active] if model is None else [model]
        if not {*active} & {*wanted}:
            verb = "are" if len(active) > 1 else "is"
            pytest.skip(f"for models {', '.join(wanted)}; active {verb} {', '.join(active)}")

    def model_of(self, item: pytest.Item) -> str | None:
        """The model that a test runs on; None if it is not run for each model."""
        if chosen := model_in_id(item):
            return chosen
        if self.off or PARAMETER not in getattr(item, "fixturenames", ()) or len(self.active) > 1:
            return None
        return self.active[0].name

    @contextmanager
    def failing_plainly(self) -> Iterator[None]:
        """What a user can mend fails the test with its message alone."""
        __tracebackhide__ = True
        from pytest_llmcheck.errors import LlmcheckError

        try:
            yield
        except LlmcheckError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def snapshot(self, item: pytest.Item) -> LlmSnapshot:
        """For the fixture `llm_snapshot`."""
        from pytest_llmcheck.snapshots import LlmSnapshot, Mode

        with self.failing_plainly():
            reference = self.config.reference
            model = self.model_of(item)
        made = LlmSnapshot(
            item=item,
            test_name=name_in_module(item),
            mode=Mode.UPDATE if self._updating else Mode.COMPARE,
            reference=reference,
            heard=self.recorder.judged,
            writes=model is None or model == reference,
            noted=lambda name, finding: self.run.note_finding(name, finding),
        )
        item.stash[SNAPSHOT] = made
        return made

    def explain(self, op: str, left: object, right: object) -> list[str] | None:
        """Lines for an assertion that compared with a baseline."""
        return explain(op, left, right)

    # -- reports --------------------------------------------------------------------------------

    def complete(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Add to a report what was asked and judged; an undecided test is never reported as passed."""
        if report.when == "setup":
            self.left_open.inherit(item)
        needs_model = NEEDS_MODEL in getattr(item, "fixturenames", ())
        if not needs_model and not self.recorder.anything and UNDECIDED not in item.stash:
            return
        from pytest_llmcheck.reports.outcomes import decide

        # Most phases have nothing: setup and teardown of any test.
        entry, undecided = self.recorder.take() if self.recorder.anything else (None, ())
        open_questions = item.stash.setdefault(UNDECIDED, [])
        open_questions.extend(undecided)
        if report.when == "call":
            snapshot = item.stash.get(SNAPSHOT, None)
            if snapshot is not None and report.failed and (details := snapshot.details()):
                report.sections.append(("llmcheck snapshot", details))
        # What a fixture judges after its yield comes too late for the report of the call.
        questions = {"call": open_questions, "teardown": undecided}.get(report.when or "", ())
        if call.excinfo is None:
            decide(report, item, questions, strict=self._pytest.getoption("--llm-strict"))
        if entry is not None or report.failed:
            from pytest_llmcheck.reports.prompts import show_prompts

            show_prompts(report, item, () if entry is None else entry.replies)
        if not self.off:
            # It travels from the workers of xdist, see `pytest_report_to_serializable` in plugin.py.
            report.llmcheck = {  # type: ignore[attr-defined]  # an attribute of our own
                "model": self.model_of(item),
                "test": nodeid_without_model(item),
                "entry": entry,
            }

    def hear(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended, here or in a worker."""
        said = getattr(report, "llmcheck", None)
        if hasattr(self._pytest, XDIST_WORKER):
            return
        if said is None:
            if self._report is not None and report.when not in ("setup", "call", "teardown"):
                self._report.lose(report)
            return
        if self._report is None:
            from pytest_llmcheck.reports.run import RunReport

            self._report = RunReport(self._pytest.rootpath, self.config, self.active)
        self._report.add(report, said)

    def summarise(self, terminal: pytest.TerminalReporter) -> None:
        """The table at the end."""
        if self._report is not None:
            from pytest_llmcheck.reports.terminal import summarise

            self._report.sort(self.collected)
            summarise(terminal, self._report)

    def finish(self, session: pytest.Session, exit_status: int) -> None:
        """The session is over."""
        if self._report is not None:
            cut = exit_status in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
            self._report.stopped = bool(session.shouldstop or session.shouldfail or cut)
            self._report.end(exit_status)
        self.close()

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        if self._run is not None:
            self._run.close()
        if self._shared is not None:
            from pytest_llmcheck.session.pool import remove_shared_folder

            remove_shared_folder(self._shared)
            self._shared = None

    def workers_meet_at(self, run: str) -> None:
        """This process controls workers, which share a folder under this name."""
        self._shared = run

    @property
    def off(self) -> bool:
        """Whether tests that need a model are skipped, whatever the configuration says."""
        return bool(self._pytest.getoption("--llm-off"))

    @property
    def _updating(self) -> bool:
        return bool(self._pytest.getoption("--llm-update"))

    def _progress(self) -> Progress | None:
        from pytest_llmcheck.reports.progress import TerminalProgress

        terminal = self._pytest.pluginmanager.get_plugin("terminalreporter")
        capture = self._pytest.pluginmanager.get_plugin("capturemanager")
        return None if terminal is None else TerminalProgress(terminal, capture)
