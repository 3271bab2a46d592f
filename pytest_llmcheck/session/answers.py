"""What models answer: from the reply cache where it is known, else from their engines."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.llama.client import LlamaEngine, Ticket
    from pytest_llmcheck.engines.llama.settings import Info, Settings
    from pytest_llmcheck.engines.types import Completion, Request, ScoreRequest, Scoring
    from pytest_llmcheck.session.cache import ReplyCache
    from pytest_llmcheck.session.plan import Plan
    from pytest_llmcheck.session.pool import Pool


class Answers:
    """Asks engines only for what is not known. Thread-safe.

    Args:
        pool: of the engines.
        cache: of earlier answers.
        plan: of what will be asked; None plans nothing.
    """

    def __init__(self, pool: Pool, cache: ReplyCache, plan: Plan | None = None) -> None:
        self.pool = pool
        self.cache = cache
        self._plan = plan
        self._planning = threading.Lock()
        self._infos: dict[Settings, Info] = {}

    def info(self, settings: Settings) -> Info:
        """What is to be known of a model; its host is started only if nobody has asked that on this machine.

        Raises:
            ModelError: it does not fit into memory.
            EngineError: llama.cpp refused it, or nothing is known with ``--llm-cache only``.
        """
        info = self._infos.get(settings)
        if info is None:
            info = self.cache.info(settings) or self._loaded(settings)[1]
            self._infos[settings] = info
        return info

    def engine(self, settings: Settings) -> LlamaEngine:
        """The engine itself, its host running."""
        return self._loaded(settings)[0]

    def complete(self, settings: Settings, requests: Sequence[Request]) -> list[tuple[Completion, bool]]:
        """The completions of all requests, decoded together, and whether each came from the cache.

        Raises:
            LlmcheckError: that of the first request that cannot be answered; the others are given up.
        """
        cache, info = self.cache, self.info(settings)
        known = [cache.get(cache.key(settings, info, request)) for request in requests]
        missing = [request for request, found in zip(requests, known, strict=True) if found is None]
        made: list[Completion] = []
        if missing:
            engine, info = self._loaded(settings)
            tickets: list[Ticket[Completion]] = []
            try:
                self._send(engine, info, missing, tickets)
                for request, ticket in zip(missing, tickets, strict=True):
                    made.append(ticket.result())
                    cache.put(cache.key(settings, info, request), made[-1])
            except BaseException:
                for ticket in tickets[len(made) :]:
                    ticket.cancel()
                raise
        fresh = iter(made)
        return [(next(fresh), False) if found is None else (found, True) for found in known]

    def _send(
        self,
        engine: LlamaEngine,
        info: Info,
        requests: Sequence[Request],
        tickets: list[Ticket[Completion]],
    ) -> None:
        """Put requests on their way, or take those that were sent ahead; the next ones follow them."""
        plan, cache = self._plan, self.cache

        def known(request: Request) -> bool:
            return cache.knows(cache.key(engine.settings, info, request))

        for request in requests:
            # A host that is still to be started is not waited for under the lock.
            if plan is None or engine.pid is None:
                tickets.append(engine.submit(request))
            else:
                with self._planning:
                    tickets.append(plan.ticket(engine.settings, request, engine, known))

    def score(self, settings: Settings, request: ScoreRequest) -> tuple[Scoring, bool]:
        """The scoring of a continuation, and whether it came from the cache."""
        cache = self.cache
        found = cache.get(cache.key(settings, self.info(settings), request))
        if found is not None:
            return found, True
        engine, info = self._loaded(settings)
        scoring = engine.score(request)
        cache.put(cache.key(settings, info, request), scoring)
        return scoring, False

    def _loaded(self, settings: Settings) -> tuple[LlamaEngine, Info]:
        engine, info = self.pool.engine(settings)
        if self._infos.get(settings) != info:
            # What the cache knew may be out of date; the host itself is always right.
            self._infos[settings] = info
            self.cache.keep_info(settings, info)
        return engine, info

    def close(self) -> None:
        """Let go of engines and cache."""
        if self._plan is not None:
            with self._planning:
                self._plan.close()
        self.pool.close()
        self.cache.close()
