"""How many tokens a prompt has, part by part, and how many the context leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_llmcheck.errors import did_you_mean
from pytest_llmcheck.verdict import CheckFailed, Status, so_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.verdict import Verdict

KINDS = ("system", "tools", "documents", "history", "user", "generation")
"""Of parts of a prompt, in the order in which most templates write them."""


class BudgetCheck(Protocol):
    """A check that can judge a `Count` as well as a reply, such as `fits_context`."""

    def __call__(self, reply: Count) -> Verdict:
        """Judge the count."""


class PartCount(NamedTuple):
    """The tokens of one kind of part of a prompt, wherever it stands."""

    kind: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Count:
    """What `llm.count` gives. ``print(count)`` shows it as a table.

    Attributes:
        model: the model's name.
        n_ctx: tokens that the context holds, prompt and reply together.
        parts: in the order of the prompt, each kind once: ``system``, ``tools``, ``documents``, ``history``,
            ``user`` (the last message of the user) and ``generation`` (what asks for the reply). What the
            template adds by itself counts with the part that it surrounds. They sum exactly to `total`.
    """

    model: str
    n_ctx: int
    parts: tuple[PartCount, ...]
    judged: Callable[[Verdict], None] | None = field(default=None, compare=False, repr=False)

    @property
    def total(self) -> int:
        """Tokens of the whole prompt."""
        return sum(part.tokens for part in self.parts)

    @property
    def left(self) -> int:
        """Tokens that the context leaves for the reply; negative where the prompt does not fit."""
        return self.n_ctx - self.total

    def __getitem__(self, kind: str) -> int:
        """Tokens of one kind of part; 0 where the prompt has none.

        Raises:
            KeyError: there is no such kind: a misspelt one would be 0 for ever.
        """
        __tracebackhide__ = True
        if kind not in KINDS:
            raise KeyError(f"no kind of part is called {kind!r}: {did_you_mean(str(kind), KINDS)}")
        return next((part.tokens for part in self.parts if part.kind == kind), 0)

    def share(self, kind: str) -> float:
        """Of the prompt's tokens, 0 to 1.

        Raises:
            KeyError: there is no such kind.
        """
        __tracebackhide__ = True
        return self[kind] / self.total if self.total else 0.0

    def expect(self, *checks: BudgetCheck) -> Count:
        """Judge the prompt before anything is asked; every failed check is reported at once.

        Args:
            checks: such as ``fits_context(reserve=512)``.

        Returns:
            The count itself.

        Raises:
            CheckFailed: at least one check failed. Undecided verdicts are as for `Reply.expect`.
            TypeError: a check that needs a reply.
        """
        __tracebackhide__ = True
        for check in checks:
            if not getattr(check, "counts", False):
                raise TypeError(f"a count takes checks such as fits_context(), got {check!r}")
        verdicts = tuple(check(self) for check in checks)
        if self.judged is not None:
            for verdict in verdicts:
                self.judged(verdict)
        failed = [verdict for verdict in verdicts if verdict.status is Status.FAILED]
        if failed:
            told = [f"{so_many(len(failed), len(checks))} failed on the prompt for {self.model}"]
            told += [f"  {verdict.check}: {verdict.reason}" for verdict in failed]
            raise CheckFailed("\n".join([*told, *(f"  {line}" for line in self.lines())]), verdicts)
        return self

    def lines(self) -> list[str]:
        """The table, for messages."""
        rows = [(part.kind, part.tokens, f"{self.share(part.kind):.0%}") for part in self.parts]
        rows += [("prompt", self.total, ""), ("context", self.n_ctx, ""), ("left", self.left, "")]
        names = max(len(name) for name, _, _ in rows)
        numbers = max(len(f"{tokens:,}") for _, tokens, _ in rows)
        return [f"{name:<{names}}  {tokens:>{numbers},}  {share:>4}".rstrip() for name, tokens, share in rows]

    def __str__(self) -> str:
        return "\n".join(self.lines())
