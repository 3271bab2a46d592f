"""One test run, as seen from one process of it."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import ConfigError, LlmcheckError, did_you_mean
from pytest_llmcheck.session.answers import Answers
from pytest_llmcheck.session.cache import ReplyCache
from pytest_llmcheck.session.llm import LLM
from pytest_llmcheck.session.pool import Pool
from pytest_llmcheck.session.settings import MarkSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_llmcheck.config import Config
    from pytest_llmcheck.models import ModelSpec, Progress, ResolvedModel
    from pytest_llmcheck.prompts.audit import Finding
    from pytest_llmcheck.prompts.tool_calls.recognise import ToolFormats
    from pytest_llmcheck.session.cache import Mode
    from pytest_llmcheck.session.plan import Plan
    from pytest_llmcheck.session.recorder import Recorder
    from pytest_llmcheck.verdict import Check


class Run:
    """Which models are active, their engines, and what the running test asks.

    Args:
        config: the project's settings.
        active: the models that tests run on, the reference first.
        health: checks that are part of every `expect`.
        tool_formats: gives what plugins returned from ``pytest_llmcheck_tool_formats``.
        folder: where the workers of an xdist run meet; None without xdist.
        progress: shown while hashing, quantising and loading.
        recorder: hears all replies and verdicts.
        settings: gives what the marks say at the moment of a call.
        cache: ``on``, ``off``, ``refresh`` or ``only``, see `ReplyCache`.
        plan: makes the plan of the run, given the time limit of a request; None plans nothing.
    """

    def __init__(
        self,
        config: Config,
        active: tuple[ModelSpec, ...],
        *,
        health: tuple[Check, ...],
        recorder: Recorder,
        settings: Callable[[], MarkSettings] = MarkSettings,
        tool_formats: Callable[[], Sequence[object]] = tuple,
        folder: Path | None = None,
        progress: Progress | None = None,
        cache: Mode = "on",
        plan: Callable[[float], Plan] | None = None,
    ) -> None:
        self.config = config
        self.active = active
        self.health = health
        self.recorder = recorder
        self._settings = settings
        self._tool_formats = tool_formats
        self.pool = Pool(folder, progress, room_seconds=config.timeout)
        self.answers = Answers(
            self.pool,
            ReplyCache(mode=cache, limit_bytes=config.cache_size * 1_000_000),
            None if plan is None else plan(config.timeout),
        )
        self._llms: dict[str, LLM] = {}
        self._noted: set[str] = set()
        self._audited: set[str] = set()
        self._auditing = threading.Lock()

    @property
    def settings(self) -> MarkSettings:
        """What the marks of the running test, or of the fixture's module, say."""
        return self._settings()

    @cached_property
    def tool_formats(self) -> ToolFormats:
        """Which chat template has which format of tool calls.

        Raises:
            ConfigError: a plugin added something else.
        """
        from pytest_llmcheck.prompts.tool_calls.recognise import ToolFormats

        return ToolFormats(self._tool_formats())

    def llm(self, name: str) -> LLM:
        """The handle of a declared or active model.

        Raises:
            ConfigError: no such model.
            ModelError: its file cannot be found, read or made.
        """
        found = self._llms.get(name)
        if found is None:
            known = {**self.config.models, **{spec.name: spec for spec in self.active}}
            if name not in known:
                raise ConfigError(f"no model is called {name!r}: {did_you_mean(name, known)}")
            found = self._llms[name] = LLM(self, self.pool.resolve(known[name]))
        return found

    def tell_trouble(self) -> None:
        """Say once that the cache cannot be used, if so."""
        trouble = self.answers.cache.trouble
        if trouble is not None:
            self.note_once(trouble)

    def audit(self, model: ResolvedModel) -> None:
        """Before a model's first prompt: what is wrong with its prompts is told at the end of the run."""
        with self._auditing:
            if model.spec.name in self._audited:
                return
            self._audited.add(model.spec.name)
            from pytest_llmcheck.models import cache_dir
            from pytest_llmcheck.session.audits import audit_model

            # Only an active reference: CI may hold the candidate's weights alone.
            specs = [spec for spec in self.active if spec.name == self.config.reference]
            reference = self._resolved(specs[0]) if specs and specs[0].name != model.spec.name else None
            for finding in audit_model(model, reference, cache_dir()):
                self.note_finding(model.spec.name, finding)

    def note_finding(self, model: str, finding: Finding) -> None:
        """Something is wrong with a model's prompts; told at the end of the run, unless it is a mere note."""
        spec = {**self.config.models, **{spec.name: spec for spec in self.active}}.get(model)
        if finding.severity != "note" and (spec is None or finding.id not in spec.audit_ignore):
            self.note_once(
                f"model {model!r}: {finding.severity} {finding.id}: {finding.explanation}. "
                f'To mend it: {finding.fix}. To silence it: audit_ignore = ["{finding.id}"]'
            )

    def _resolved(self, spec: ModelSpec) -> ResolvedModel | None:
        try:
            return self.pool.resolve(spec)
        except LlmcheckError:
            return None  # said by the tests that need it

    def note_once(self, text: str) -> None:
        """Something for the end of the run, said once however often it is noted."""
        if text not in self._noted:
            self._noted.add(text)
            self.recorder.note(text)

    def close(self) -> None:
        """Let go of all engines."""
        self.answers.close()


class LLMs:
    """`llms["name"]`: any declared model, for tests that need two at once."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, name: str) -> LLM:
        __tracebackhide__ = True
        try:
            return self._run.llm(name)
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.config.models)

    def __len__(self) -> int:
        return len(self._run.config.models)
