"""Continuous batching: the requests of one context, decoded together, joining and leaving at any step.

A turn is at most one chunk of one prompt and one decode step of all replies, as separate calls: prompts do
not hold up replies, and neither changes the bits of the other.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.canonical import LONG
from pytest_llmcheck.engines.llama.pace import Pace
from pytest_llmcheck.engines.llama.prefixes import Entry, PrefixStore
from pytest_llmcheck.engines.llama.tasks import Generation, Task
from pytest_llmcheck.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from pytest_llmcheck.engines.llama.canonical import Context, Row, Rows

MOVE_AT_LEAST = 16
"""Tokens that a reply must still be allowed before it is moved: a move costs as much as a few rows."""


class Abandoned(Exception):  # noqa: N818 - nobody sees it: the client has gone
    """Nobody waits for the answer any more."""


class StepFailed(EngineError):  # noqa: N818 - the client never sees it: it asks again
    """llama.cpp refused a call in which several requests took part; alone, each may go well."""


class Scheduler:
    """Serves the requests of one context in order of arrival.

    Args:
        context: whose slots are used.
        working: called before each call of llama.cpp.
        reusable: how many tokens a state may hold that is saved and restored, see `Model.reusable`.
        steady: whether the number of threads must not change, because bits depend on it.
    """

    def __init__(
        self, context: Context, *, working: Callable[[], None], reusable: float, steady: bool = False
    ) -> None:
        self.context = context
        self.store = PrefixStore()
        self.used = perf_counter()
        self._working = working
        self._pace = None if steady else Pace(context.settings.threads)
        self._reusable = reusable
        self._waiting: deque[Task] = deque()
        self._prefilling: deque[Task] = deque()
        self._decoding: dict[int, Generation] = {}

    @property
    def active(self) -> int:
        """Requests that hold a slot."""
        return len(self._prefilling) + len(self._decoding)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._prefilling or self._decoding)

    def add(self, task: Task) -> None:
        """Let a request wait for its turn."""
        self.store.expect(task.edges)
        self._waiting.append(task)

    def admit(self, task: Task) -> None:
        """Give a request a slot at once; one must be free."""
        self.store.expect(task.edges)
        self._begin(task, min({*range(self.context.width)} - self._held()))

    def turn(self, *, admit: bool = True) -> None:
        """Do a little of the work.

        Args:
            admit: whether waiting requests may take slots.
        """
        self.used = perf_counter()
        self._sort_out()
        if admit:
            self._admit()
        if self._prefilling:
            self._prefill(self._prefilling[0])
        if self._decoding:
            self._close_gaps()
            self._decode()

    def fail(self, error: Exception) -> None:
        """Give this error to everybody."""
        for task in [*self._waiting, *self._prefilling, *self._decoding.values()]:
            with suppress(EngineError):
                self._leave(task)
            task.give(error)
        self._waiting.clear()

    def _sort_out(self) -> None:
        """Drop what nobody waits for, and what has taken too long."""
        now = perf_counter()
        for task in [t for t in self._waiting if t.abandoned()]:
            self._waiting.remove(task)
            task.give(Abandoned())
        for task in [*self._prefilling, *self._decoding.values()]:
            if task.abandoned():
                self._leave(task)
                task.give(Abandoned())
            elif task.overdue(now):
                self._leave(task)
                task.give(task.too_late())

    def _admit(self) -> None:
        free = sorted({*range(self.context.width)} - self._held())
        for slot in free[: len(self._waiting)]:
            self._begin(self._waiting.popleft(), slot)

    def _begin(self, task: Task, slot: int) -> None:
        task.slot = slot
        task.started = perf_counter()
        self._prefilling.append(task)

    def _held(self) -> set[int]:
        return {*self._decoding, *(task.slot for task in self._prefilling if task.slot is not None)}

    def _prefill(self, task: Task) -> None:
        slot = task.slot
        assert slot is not None
        try:
            if task.filled == 0 and (entry := self._restored(task, slot)) and entry.row is not None:
                self._go_on(task, entry.row[None])
                return
            start, end = task.next_chunk
            with self._calling(("chunk", end - start, end // LONG)):
                rows = self.context.chunk(slot, task.tokens, start, end, task.wanted)
            task.company = max(task.company, self.active - 1)
            task.filled = end
            if end <= self._reusable:
                self._keep(task, end, rows[-1] if len(rows) else None)
            if len(rows):
                self._go_on(task, rows)
        except (EngineError, OSError, MemoryError) as error:
            self._leave(task)
            task.give(error)

    def _restored(self, task: Task, slot: int) -> Entry | None:
        """The longest state of the prompt that is kept, put into the slot."""
        entry = self.store.longest(task.edges, task.reusable)
        if entry is None:
            return None
        self._working()
        try:
            self.context.restore(slot, entry.blob, entry.length)
        except EngineError:
            # Only a short cut: the prompt can be computed.
            self.store.clear()
            return None
        task.filled = task.reused = entry.length
        return entry

    @contextmanager
    def _calling(self, kind: Hashable) -> Iterator[None]:
        """Around a call of llama.cpp; calls of equal kind do about equal work."""
        self._working()
        pace = self._pace
        if pace is None:
            yield
            return
        self.context.threads(pace.threads)
        began = perf_counter()
        yield
        pace.took(kind, perf_counter() - began)

    def _keep(self, task: Task, end: int, row: Row | None) -> None:
        """Save the state of a slot if others will need it."""
        if task.slot is None or not self.store.worth_keeping(task.edges, task.reusable):
            return
        # What would not be kept is not saved, and what is shared before it is kept in its place.
        fits = self.store.largest * end // max(self.context.state_size(task.slot), 1)
        key = self.store.worth_keeping(task.edges, min(task.reusable, fits)).get(end)
        if key is None:
            return
        whole = row.copy() if task.prefilled and row is not None else None
        # Only a short cut, too.
        with suppress(EngineError, MemoryError):
            self.store.keep(key, Entry(end, self.context.save(task.slot), whole))

    def _go_on(self, task: Task, rows: Rows) -> None:
        """Give a task the rows that it wants of its prompt, and see what becomes of it."""
        goes_on = task.absorb(rows)
        if not task.prefilled:
            return
        if goes_on and isinstance(task, Generation) and task.slot is not None:
            self._prefilling.remove(task)
            self._decoding[task.slot] = task
        else:
            self._leave(task)
            task.finish()

    def _decode(self) -> None:
        active = dict(self._decoding)
        tokens = {slot: task.next_token for slot, task in active.items()}
        longest = max(self.context.length(slot) for slot in active)
        try:
            with self._calling(("step", max(active), longest // LONG)):
                rows = self.context.step(tokens)
        except EngineError as error:
            for task in active.values():
                self._leave(task)
                task.give(StepFailed(str(error)) if len(active) > 1 else error)
            return
        company = self.active - 1
        for slot, task in active.items():
            task.company = max(task.company, company)
            try:
                goes_on = task.advance(rows[slot])
            except EngineError as error:
                self._leave(task)
                task.give(error)
                continue
            if not goes_on:
                self._leave(task)
                task.finish()

    def _close_gaps(self) -> None:
        """Move the highest reply to the lowest free slot: every slot below it costs a row of each step.

        The state is copied bit for bit, and no bit depends on the number of a slot.
        """
        if self._waiting:
            return
        while self._decoding:
            top = max(self._decoding)
            free = next((slot for slot in range(top) if slot not in self._held()), None)
            task = self._decoding[top]
            length = self.context.length(top)
            # Where a step is padded anyway, nothing is won.
            least = self.context.rule.at_least(length)
            if free is None or task.left < MOVE_AT_LEAST or top < least or length > self._reusable:
                return
            self._working()
            try:
                self.context.restore(free, self.context.save(top), length)
            except (EngineError, MemoryError):
                self.context.clear(free)
                return
            self.context.clear(top)
            del self._decoding[top]
            task.slot = free
            self._decoding[free] = task

    def _leave(self, task: Task) -> None:
        """Free the slot of a task."""
        if task.slot is None:
            return
        if task in self._prefilling:
            self._prefilling.remove(task)
        self._decoding.pop(task.slot, None)
        self.context.clear(task.slot)
        task.slot = None
