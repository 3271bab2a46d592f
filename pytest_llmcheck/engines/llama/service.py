"""What the host does for its clients: loads, generates, scores; the only part of it that needs llama.cpp."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.engines.llama.log import Log
from pytest_llmcheck.engines.llama.probe import noise_of
from pytest_llmcheck.engines.llama.room import NoRoom
from pytest_llmcheck.engines.llama.scheduler import Abandoned, Scheduler, StepFailed
from pytest_llmcheck.engines.llama.tasks import Generation, Score
from pytest_llmcheck.engines.llama.weights import Model
from pytest_llmcheck.engines.types import Completion
from pytest_llmcheck.errors import ConfigError, EngineError, LlmcheckError, ModelError, PromptError

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.canonical import Context
    from pytest_llmcheck.engines.llama.connection import Asked, Connection
    from pytest_llmcheck.engines.llama.settings import ContextSettings, Info, Settings
    from pytest_llmcheck.engines.llama.tasks import Answer


class Watched(Protocol):
    """Who is told when llama.cpp is called, so that a hang can be seen."""

    def working(self) -> None:
        """A call begins."""


class Service:
    """One model, its contexts and the requests on them. Used by one thread.

    While a request is worked on alone, everything else waits unread: even a prompt that is only tokenised may
    be the one that ends the process.
    """

    def __init__(self, host: Watched) -> None:
        self._host = host
        self._log = Log()
        self._model: Model | None = None
        self._infos: dict[ContextSettings, Info] = {}
        self._schedulers: dict[ContextSettings, Scheduler] = {}
        self._alone: deque[Asked] = deque()
        self._held: deque[Asked] = deque()
        self._for_room: deque[Asked] = deque()
        self._exclusive = False
        self.ready_at = perf_counter()

    @property
    def stay_seconds(self) -> float:
        """How long the model is to stay at least: loading takes time, and turns shall not be all of it."""
        return 0.0 if self._model is None else 2 * self._model.load_seconds

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        waiting = self._alone or self._held or self._for_room
        return bool(waiting) or any(scheduler.busy for scheduler in self._schedulers.values())

    def accept(self, asked: Asked) -> None:
        """Take a message; it is answered at once, or when the work is done."""
        if self._exclusive:
            self._held.append(asked)
        elif asked.alone:
            self._alone.append(asked)
        else:
            self._serve(asked)

    def turn(self) -> None:
        """Do a little of the work."""
        if not any(scheduler.active for scheduler in self._schedulers.values()):
            self._between()
        # Who is to be alone, or needs the room of another context, waits until the others have finished.
        admit = not (self._alone or self._exclusive or self._for_room)
        for scheduler in [*self._schedulers.values()]:
            if scheduler.busy:
                try:
                    scheduler.turn(admit=admit)
                except Exception as error:
                    # Nobody is left without an answer, and the host goes on.
                    kind = StepFailed if scheduler.active > 1 else EngineError
                    scheduler.fail(kind(str(error) or type(error).__name__))

    def _between(self) -> None:
        """Nothing holds a slot: the time for what needs all of them, or their room."""
        if self._exclusive:
            self._exclusive = False
            held, self._held = self._held, deque()
            for asked in held:
                self.accept(asked)
        elif self._alone:
            asked = self._alone.popleft()
            if not asked.abandoned:
                asked.connection.send(protocol.Begun(asked.message.id))
                self._exclusive = True
            self._serve(asked)
        elif self._for_room:
            for scheduler in self._schedulers.values():
                # Their clients ask anew, and get in line behind who waits for the room.
                scheduler.fail(Leaving("another context needs the room"))
            waiting, self._for_room = self._for_room, deque()
            for asked in waiting:
                self._serve(asked)

    def _serve(self, asked: Asked) -> None:
        connection, message, received = asked
        # From here on a hang can be seen: tokenising and compiling are calls of llama.cpp too.
        self._host.working()
        try:
            if asked.abandoned:
                raise Abandoned
            match message:
                case protocol.Load():
                    connection.send(protocol.Loaded(message.id, self._load(connection, message)))
                case protocol.Tokenise():
                    ids = tuple(self._loaded().vocabulary.tokenise(message.text, message.plain))
                    connection.send(protocol.Tokens(message.id, ids))
                case _:
                    self._begin(connection, message, received)
        except NoRoom as error:
            if any(scheduler.busy for scheduler in self._schedulers.values()):
                self._for_room.append(asked)
            else:
                connection.send(failure(message.id, error))
        except (LlmcheckError, Abandoned, MemoryError, OSError) as error:
            connection.send(failure(message.id, error))

    def _begin(
        self, connection: Connection, message: protocol.Generate | protocol.Rate, received: float
    ) -> None:
        id_ = message.id

        def finished(answer: Answer | Exception) -> None:
            connection.cancelled.discard(id_)
            if isinstance(answer, Exception):
                connection.send(failure(id_, answer))
            elif isinstance(answer, Completion):
                connection.send(protocol.Done(id_, answer))
            else:
                connection.send(protocol.Rated(id_, answer))

        scheduler = self._scheduler(message.settings)
        make = Generation if isinstance(message, protocol.Generate) else Score
        task = make(
            message.request,  # type: ignore[arg-type]  # each with the request of its own kind
            self._loaded().vocabulary,
            n_ctx=message.settings.context.n_ctx,
            received=received,
            abandoned=lambda: connection.gone or id_ in connection.cancelled,
            finished=finished,
        )
        if message.alone:
            scheduler.admit(task)
        else:
            scheduler.add(task)

    def _load(self, connection: Connection, message: protocol.Load) -> Info:
        settings = message.settings
        if self._model is None:
            if not message.wait:
                raise NotLoaded
            self._host.working()

            def progress(fraction: float) -> bool:
                self._host.working()
                connection.send(protocol.Progress(message.id, fraction))
                return not (connection.gone or message.id in connection.cancelled)

            self._model = Model(settings, self._log, progress)
            self._scheduler(settings)
            self.ready_at = perf_counter()
        else:
            self._scheduler(settings)
        return self._infos[settings.context]

    def _loaded(self) -> Model:
        if self._model is None:
            raise EngineError("no model is loaded in this host")
        return self._model

    def _scheduler(self, settings: Settings) -> Scheduler:
        """The scheduler of a context, which is made if it is not there."""
        found = self._schedulers.get(settings.context)
        if found is not None:
            return found
        model = self._loaded()
        self._host.working()
        context = self._make_context(model, settings)
        noise = noise_of(context, model, settings, self._host.working)
        info = self._infos[settings.context] = model.info(settings.context, noise=noise)
        made = Scheduler(
            context,
            working=self._host.working,
            reusable=model.reusable,
            steady=context.width == 1 or not info.numerics.stable,
        )
        self._schedulers[settings.context] = made
        return made

    def _make_context(self, model: Model, settings: Settings) -> Context:
        while True:
            try:
                return model.context(settings)
            except NoRoom:
                idle = [(s.used, key) for key, s in self._schedulers.items() if not s.busy]
                if not idle:
                    raise
                _, oldest = min(idle, key=lambda pair: pair[0])
                del self._schedulers[oldest]
                model.drop(oldest)

    def close(self) -> None:
        """Free everything."""
        if self._model is not None:
            self._model.close()
            self._model = None


class Leaving(EngineError):  # noqa: N818 - the client never sees it: it asks again
    """What was asked makes room for something else first."""


class NotLoaded(EngineError):  # noqa: N818 - a state, which the client expects
    """Nothing is loaded, and the client does not want to wait for it."""

    def __init__(self) -> None:
        super().__init__("no model is loaded in this host")


def failure(id_: int, error: Exception) -> protocol.Failed:
    """An error as the client is told of it."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (Abandoned, "cancelled"),
        (Leaving, "leaving"),
        (StepFailed, "together"),
        (NotLoaded, "unloaded"),
        (NoRoom, "room"),
        (PromptError, "prompt"),
        (ModelError, "model"),
        (ConfigError, "config"),
    )
    kind = next((name for cls, name in kinds if isinstance(error, cls)), "engine")
    return protocol.Failed(id_, kind, str(error) or type(error).__name__)
