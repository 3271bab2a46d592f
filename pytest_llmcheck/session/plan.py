"""Planning ahead: the host works on what the next tests will ask, as they asked it in the run before.

A swap of the weights changes the model and not the prompts, so the last run record says what the selected
tests are going to ask. Tests ask one thing after the other; the host decodes several together in little more
time. As soon as a test asks what the record says, the next few requests are handed to the host too, and given
out when they are asked for. No bit of a reply depends on it. What is never asked is given up at the end.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.engines.types import Request
from pytest_llmcheck.errors import LlmcheckError
from pytest_llmcheck.session.record import TestLine, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pytest_llmcheck.engines.llama.client import LlamaEngine, Ticket
    from pytest_llmcheck.engines.llama.settings import Settings
    from pytest_llmcheck.engines.types import Completion

RECORDS = 5
"""How many of the newest run records are looked at for one in which tests asked something."""


class Plan:
    """What the rest of the run will ask. Used under the lock of `Answers`.

    Args:
        root: pytest's rootdir, with the run records.
        upcoming: the selected tests' ids without the model, in their order, for a model's name and context.
        timeout: of the requests, in seconds.
    """

    def __init__(self, root: Path, upcoming: Callable[[str, int], list[str]], timeout: float) -> None:
        self._root = root
        self._upcoming = upcoming
        self._timeout = timeout
        self._lines: list[TestLine] | None = None
        self._requests: dict[Settings, list[Request]] = {}
        self._places: dict[Settings, dict[Request, deque[int]]] = {}
        self._sent: dict[Settings, dict[int, Ticket[Completion]]] = defaultdict(dict)

    def ticket(
        self, settings: Settings, request: Request, engine: LlamaEngine, known: Callable[[Request], bool]
    ) -> Ticket[Completion]:
        """A request on its way, and behind it those that the record says will follow.

        Args:
            settings: of the model that is asked.
            request: what is asked; nothing follows it if the record does not have it.
            engine: of the model.
            known: whether a request is answered already.
        """
        places = self._of(settings)
        if not places.get(request):
            return engine.submit(request)
        requests, sent = self._requests[settings], self._sent[settings]
        here = places[request].popleft()
        ticket = sent.pop(here, None) or engine.submit(request)
        # Twice the width: while some are decoded, the next prompts are at hand.
        for place in range(here + 1, min(here + 1 + 2 * settings.context.width, len(requests))):
            follows = requests[place]
            if place not in sent and place in places[follows] and not known(follows):
                try:
                    sent[place] = engine.submit(follows)
                except LlmcheckError:
                    # Not what the test has asked: it hears of it if it does.
                    break
        return ticket

    def close(self) -> None:
        """Give up what was never asked for."""
        for sent in self._sent.values():
            for ticket in sent.values():
                ticket.cancel()
            sent.clear()

    def _of(self, settings: Settings) -> dict[Request, deque[int]]:
        """Where each request stands in the order of the run."""
        found = self._places.get(settings)
        if found is None:
            found = self._places[settings] = defaultdict(deque)
            self._requests[settings] = self._read(settings)
            for place, request in enumerate(self._requests[settings]):
                found[request].append(place)
        return found

    def _read(self, settings: Settings) -> list[Request]:
        model = settings.name
        if self._lines is None:
            self._lines = _newest(self._root)
        asked: dict[str, TestLine] = {}
        for line in self._lines:
            # What this model asked itself, else what any other did.
            if line.replies and (line.test not in asked or line.model == model):
                asked[line.test] = line
        return [
            Request(
                prompt=reply.prompt,
                plain=reply.plain,
                max_tokens=reply.fingerprint.max_tokens,
                sampling=reply.fingerprint.sampling,
                timeout=self._timeout,
            )
            for test in self._upcoming(model, settings.context.n_ctx)
            if test in asked
            for reply in asked[test].replies
            # The record has only the hash of a schema.
            if not reply.fingerprint.constraint
        ]


def _newest(root: Path) -> list[TestLine]:
    """The tests of the newest run record in which some asked a model."""
    paths: Iterable[Path] = sorted((root / ".llmcheck" / "runs").glob("*.jsonl"), reverse=True)
    for path in list(paths)[:RECORDS]:
        try:
            lines = [line for line in read_record(path) if isinstance(line, TestLine) and line.replies]
        except (OSError, msgspec.MsgspecError):
            continue
        if lines:
            return lines
    return []
