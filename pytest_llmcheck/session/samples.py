"""Several replies to one prompt."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

from pytest_llmcheck.engines.judging import check_arguments, check_without
from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.errors import LlmcheckError
from pytest_llmcheck.session.rates import rule_of
from pytest_llmcheck.session.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pytest_llmcheck.compare.rates import Method
    from pytest_llmcheck.session.rates import Rule
    from pytest_llmcheck.verdict import Check


class Batch:
    """Replies that are asked for together, when one of them is first looked at. Thread-safe.

    Args:
        ask: asks for all of them. Where it fails, whoever looks next asks again.
        health: the checks that each will be held to.
        replies: they, where they are there already.
    """

    def __init__(
        self,
        ask: Callable[[], Iterable[Reply]],
        health: Sequence[Check] = (),
        replies: tuple[Reply, ...] | None = None,
    ) -> None:
        self.health = health
        self._ask = ask
        self._asking = threading.Lock()
        self._replies = replies

    @property
    def asked(self) -> bool:
        """Whether the replies are there."""
        return self._replies is not None

    def replies(self) -> tuple[Reply, ...]:
        """All of them.

        Raises:
            LlmcheckError: they cannot be had.
        """
        __tracebackhide__ = True
        with self._asking:
            if self._replies is None:
                try:
                    self._replies = tuple(self._ask())
                except LlmcheckError as error:
                    # The user's line and the message say all; the frames between are ours.
                    raise error.with_traceback(None) from None
            return self._replies


class Samples(Sequence[Reply]):
    """The replies of `llm.sample`, in the order of their seeds; or any replies, to be judged together.

    Those of `llm.sample` are asked for when one is first looked at, or judged: `len` and `repr` do not ask.

    Args:
        replies: that are there already, such as those of `llm.chat_many`.

    Raises:
        TypeError: something else than replies.
    """

    def __init__(self, replies: Iterable[Reply]) -> None:
        __tracebackhide__ = True
        if isinstance(replies, str | Reply) or not isinstance(replies, Iterable):
            raise TypeError(f"Samples takes a list of replies, got {replies!r}")
        known = tuple(replies)
        for one in known:
            if not isinstance(one, Reply):
                raise TypeError(f"Samples takes a list of replies, got {one!r} among them")
        self._batch = Batch(lambda: known, replies=known)
        self._places = range(len(known))

    @classmethod
    def of(cls, batch: Batch, places: range) -> Samples:
        """Those at these places of a batch."""
        made = cls(())
        made._batch, made._places = batch, places
        return made

    @overload
    def __getitem__(self, index: int) -> Reply: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Reply | Samples:
        __tracebackhide__ = True
        if isinstance(index, slice):
            return Samples.of(self._batch, self._places[index])
        return self._batch.replies()[self._places[index]]

    def __iter__(self) -> Iterator[Reply]:
        __tracebackhide__ = True
        replies = self._batch.replies()
        return iter([replies[place] for place in self._places])

    def __len__(self) -> int:
        return len(self._places)

    @property
    def texts(self) -> tuple[str, ...]:
        """The replies' texts."""
        __tracebackhide__ = True
        return tuple([reply.text for reply in self])

    def expect(
        self,
        *checks: Check,
        rate: float | None = None,
        confidence: float = 0.95,
        method: Method = "wilson",
        without: Collection[str] = (),
    ) -> Samples:
        """Judge how many of the replies pass; a reply passes if all checks and its health do.

        With a `rate`, this is decided on one-sided bounds of the share of all replies that would pass: it
        has passed if the lower bound is at least `rate`, failed if the upper one is below it, and is
        inconclusive between them. A reply that could not be judged counts as failed for the lower bound and
        as passed for the upper one. Without a `rate`, every one of these replies must pass.

        Args:
            checks: as for `Reply.expect`.
            rate: share of replies that must pass, above 0 and below 1.
            confidence: of each bound, above 0.5 and below 1; the error that is accepted is the rest.
            method: ``wilson``, close to its confidence, or ``clopper-pearson``, never less than it; see
                `pytest_llmcheck.compare`.
            without: names of the health checks to leave out, as for `Reply.expect`.

        Returns:
            The samples themselves, so that calls can be chained.

        Raises:
            CheckFailed: too few of them pass. Inconclusive does not raise: the test is reported as skipped
                with the reason if nothing else fails.
            ValueError: there are so few samples that even a perfect score would not show the rate, a value
                is out of its range, or a name unknown; no model has been asked then.
            LlmcheckError: the replies cannot be had, as for `llm.chat`.
        """
        __tracebackhide__ = True
        rule = rule_before_asking(self, checks, rate, confidence, method, without)
        tally = Tally.of(self, checks, without)
        tally.conclude(rule.judge(tally))
        return self

    def __repr__(self) -> str:
        if not self._batch.asked:
            return f"<{len(self)} samples, not asked for yet>"
        return f"<{len(self)} samples, {len(set(self.texts))} different texts>"


def rule_before_asking(
    samples: Samples,
    checks: Sequence[Check],
    rate: float | None,
    confidence: float,
    method: Method,
    without: Collection[str],
) -> Rule:
    """What will decide on samples, if what a test gave to `expect` makes sense; nothing is asked for it.

    Raises:
        TypeError: see `check_arguments` and `check_without`.
        ValueError: see `Samples.expect`.
    """
    __tracebackhide__ = True
    check_arguments(checks)
    rule = rule_of(rate, confidence, method)
    rule.check_size(len(samples))
    # Replies that are there know their health checks themselves.
    if not samples._batch.asked:
        check_without(without, samples._batch.health)
    return rule
