"""The test process's side of the engine: asks the model host, and asks again if it dies."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from filelock import FileLock, Timeout

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.engines.llama.line import HostEnded, Line, tail
from pytest_llmcheck.engines.llama.start import Starter
from pytest_llmcheck.errors import ConfigError, EngineError, LlmcheckError, ModelError, PromptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_llmcheck.engines.llama.line import Pending
    from pytest_llmcheck.engines.llama.settings import Info, Settings
    from pytest_llmcheck.engines.types import Completion, Request, ScoreRequest, Scoring
    from pytest_llmcheck.prompts.forged import Spans

PATIENCE = 30.0
"""Seconds without any sign of life after which a host counts as hung."""

TRIES = 50
"""How often a request is sent at most: a host may die of another one that is tried before it."""

A = TypeVar("A", bound=protocol.Message)
R = TypeVar("R")

KINDS: dict[str, type[LlmcheckError]] = {
    "config": ConfigError,
    "model": ModelError,
    "prompt": PromptError,
}


class AskAgain(Exception):  # noqa: N818 - a signal, not an error
    """The request was not answered through no known fault of its own; `error` says what happened."""

    def __init__(self, error: EngineError, *, alone: bool) -> None:
        self.error = error
        self.alone = alone


class LlamaEngine:
    """A model that answers. Thread-safe; starts its host on first use and again after it died.

    Args:
        settings: what to load.
        folder: private folder of the run; workers that share it share the host.
        progress: called with (stage, fraction) while the model is loading.
        patience: seconds without a sign of life after which the host is killed.
        room_seconds: how long to wait for other models of the run to make room.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        progress: Callable[[str, float], None] | None = None,
        patience: float = PATIENCE,
        room_seconds: float = 600.0,
    ) -> None:
        self.settings = settings
        self._folder = folder
        self._patience = patience
        self._interval = min(patience / 4, 2.0)
        self._room_seconds = room_seconds
        self._starter = Starter(settings, folder, progress)
        self._opening = threading.Lock()
        self._closed = False
        self._restarting = False
        self._line: Line | None = None
        self._info: Info | None = None

    def load(self) -> Info:
        """Load the model, unless that has happened; what the host says of itself.

        Raises:
            EngineError: llama.cpp refused the file, or the host cannot start.
            ModelError: the file cannot be read, or it does not fit into memory.
        """
        if self._info is None:
            self._open()
        assert self._info is not None
        return self._info

    @property
    def pid(self) -> int | None:
        """Process id of the host, while one is running for us."""
        return None if self._line is None or self._line.ended else self._line.pid

    def complete(self, request: Request) -> Completion:
        """Continue a prompt.

        Raises:
            PromptError: the prompt is empty or does not fit.
            EngineError: the host died under this request, hung, or ran into the time limit.
        """
        return self.submit(request).result()

    def submit(self, request: Request) -> Ticket[Completion]:
        """Ask without waiting, so that many requests are decoded together."""
        settings = self.settings
        return Ticket(
            self,
            lambda id_, alone: protocol.Generate(id_, settings, request, alone),
            lambda answer: answer.completion,
            protocol.Done,
            request.timeout,
        )

    def score(self, request: ScoreRequest) -> Scoring:
        """Log-probabilities of a given continuation. Raises as `complete` does."""
        return self.submit_score(request).result()

    def submit_score(self, request: ScoreRequest) -> Ticket[Scoring]:
        """Ask for log-probabilities without waiting."""
        settings = self.settings
        return Ticket(
            self,
            lambda id_, alone: protocol.Rate(id_, settings, request, alone),
            lambda answer: answer.scoring,
            protocol.Rated,
            request.timeout,
        )

    def tokenise(self, text: str, plain: Spans = ()) -> tuple[int, ...]:
        """Token ids of a rendered prompt; `plain` as for `Request`."""
        ticket: Ticket[tuple[int, ...]] = Ticket(
            self,
            lambda id_, _: protocol.Tokenise(id_, text, plain),
            lambda answer: answer.ids,
            protocol.Tokens,
            self._room_seconds,
        )
        return ticket.result()

    def close(self) -> None:
        """Let go of the host for good; it ends with its last client."""
        self._closed = True
        with self._opening:
            if self._line is not None:
                self._line.close()
                self._line = None

    # -- one request ------------------------------------------------------------------------------

    def send(self, message: Callable[[int], protocol.Message]) -> tuple[Line, Pending]:
        """Hand a request to the host, which is started if need be."""
        line = self._open()
        return line, line.ask(message)

    def wait(self, line: Line, pending: Pending, answer: type[A], limit: float) -> A:
        """The answer to a request.

        Raises:
            AskAgain: there will be none, and another try may go well.
            LlmcheckError: the host refuses, or died while it worked on this request alone.
        """
        try:
            while True:
                try:
                    result = pending.future.result(timeout=self._interval)
                    break
                except TimeoutError:
                    self._look_after(line, limit)
        except HostEnded:
            error = EngineError(self._obituary(line), passing=True)
            if pending.begun:
                raise error from None
            raise AskAgain(error, alone=True) from None
        except EngineError as error:
            if pending.begun:
                raise
            raise AskAgain(error, alone=True) from None
        except BaseException:
            # Ctrl-C: nobody waits for this answer any more.
            line.cancel(pending.id)
            raise
        if isinstance(result, protocol.Failed):
            raise self._refusal(result)
        if not isinstance(result, answer):
            raise EngineError(f"the model host answered {type(result).__name__} to {answer.__name__}")
        return result

    def _refusal(self, failed: protocol.Failed) -> Exception:
        name = f"model {self.settings.name!r}"
        message = failed.message if failed.message.startswith(name) else f"{name}: {failed.message}"
        match failed.kind:
            case "together":
                return AskAgain(EngineError(message), alone=True)
            case "leaving":
                return AskAgain(EngineError(message, passing=True), alone=False)
            case "unloaded":
                return Unloaded(message)
            case "room":
                return NoRoom(message)
        return KINDS.get(failed.kind, EngineError)(message)

    def _look_after(self, line: Line, limit: float) -> None:
        """Kill a host that shows no life, or that has been in one decode call beyond the time limit."""
        silent = line.silent(self._interval)
        if silent > self._patience:
            why = f"did not answer for {silent:.0f} s"
        elif line.busy > max(limit, self._patience):
            why = f"has been in one call of llama.cpp for {line.busy:.0f} s (time limit {limit:g} s)"
        else:
            return
        log = self._starter.log(line.pid)
        line.kill(log, why)
        raise EngineError(
            f"the model host of {self.settings.name!r} (process {line.pid}) {why} and was killed; the next "
            f"test starts a new one{tail(log)}",
            passing=True,
        )

    def _obituary(self, line: Line) -> str:
        log = self._starter.log(line.pid)
        how = line.how_it_ended(log)
        return (
            f"the model host of {self.settings.name!r} (process {line.pid}) {how} while it was working on "
            f"this request; the next test starts a new one{tail(log)}"
        )

    # -- the host ---------------------------------------------------------------------------------

    def _open(self) -> Line:
        with self._opening:
            if self._closed:
                raise EngineError(f"model {self.settings.name!r}: the run is over, nothing is asked any more")
            if self._line is None or self._line.ended:
                if self._line is not None:
                    self._line.close()
                    self._restarting = True
                self._line = None
                self._line, self._info = self._connect()
            return self._line

    def _connect(self) -> tuple[Line, Info]:
        """A host with the model loaded.

        Only one process of the run loads at a time: two that look at the free memory at the same time would
        both find enough.
        """
        with contextlib.suppress(OSError, HostEnded, Unloaded, AskAgain):
            # Usually another worker has loaded it already, and nobody has to queue.
            line = self._starter.find()
            return line, self._load(line, wait=False)
        deadline = time.monotonic() + self._room_seconds
        try:
            with FileLock(self._folder / "loading.lock", timeout=self._room_seconds):
                return self._connect_alone(deadline)
        except Timeout:
            raise EngineError(
                f"model {self.settings.name!r}: another worker has been loading a model for "
                f"{self._room_seconds:g} s (the time limit); see the logs in {self._folder}"
            ) from None

    def _connect_alone(self, deadline: float) -> tuple[Line, Info]:
        tries = lonely = 0
        while True:
            line = self._starter.find_or_start()
            try:
                return line, self._load(line, wait=True)
            except NoRoom as full:
                # The last of the others may have ended since memory was looked at; and what was killed in
                # a call, or on a GPU, gives it back a little later.
                lonely = 0 if self._starter.ask_for_room() else lonely + 1
                if lonely == (20 if self._restarting else 2) or self._closed:
                    raise ModelError(str(full)) from None
                if time.monotonic() > deadline:
                    raise ModelError(
                        f"model {self.settings.name!r}: waited {self._room_seconds:g} s (the time limit) for "
                        f"other models of this run to make room\n{full}"
                    ) from None
                time.sleep(0.1)
            except AskAgain as again:
                tries += 1
                if tries == 2:
                    raise again.error from None

    def _load(self, line: Line, *, wait: bool) -> Info:
        try:
            pending = line.ask(lambda id_: protocol.Load(id_, self.settings, wait))
            # Each step of loading and of the probe is a sign of life of its own.
            return self.wait(line, pending, protocol.Loaded, self._room_seconds).info
        except BaseException:
            line.close()
            raise


class Ticket(Generic[R]):
    """A request on its way.

    If the host dies or hangs while several requests are in its hands, each is asked again, alone, so that
    one that kills hosts fails by itself.

    Args:
        engine: which to ask.
        message: makes the message of an id; the second argument says whether to be alone.
        content: what is wanted of the answer.
        answer: its type.
        limit: seconds that one call of llama.cpp may take.
    """

    def __init__(
        self,
        engine: LlamaEngine,
        message: Callable[[int, bool], protocol.Message],
        content: Callable[[Any], R],
        answer: type[protocol.Message],
        limit: float,
    ) -> None:
        self._engine = engine
        self._message = message
        self._content = content
        self._answer = answer
        self._limit = limit
        self._sent = self._send(alone=False)

    def _send(self, *, alone: bool) -> tuple[Line, Pending]:
        return self._engine.send(lambda id_: self._message(id_, alone))

    def result(self) -> R:
        """Wait for the answer.

        Raises:
            LlmcheckError: the host refuses, or died or hung while it worked on this request alone.
        """
        alone, tries = False, 1
        while True:
            line, pending = self._sent
            try:
                return self._content(self._engine.wait(line, pending, self._answer, self._limit))
            except AskAgain as again:
                # Making room is no failure; dying under others is one of theirs, up to a point.
                alone = alone or again.alone
                tries += again.alone
                if tries > TRIES:
                    raise again.error from None
                if not again.alone:
                    # It still serves others: asking it over and over would only hold it up.
                    line.wait_ended(0.1)
                self._sent = self._send(alone=alone)

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        line, pending = self._sent
        line.cancel(pending.id)


class Unloaded(EngineError):  # noqa: N818 - a state, which the client expects
    """The host is there, and nothing is loaded in it."""


class NoRoom(ModelError):  # noqa: N818 - others may be asked to make room
    """The model does not fit beside what is loaded now."""
