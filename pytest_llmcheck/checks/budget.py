"""Whether a prompt leaves room for the reply, and what takes the room. They judge replies and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_llmcheck.engines.count import Count
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from pytest_llmcheck.engines.reply import Origin

_Kind = Literal["system", "tools", "documents", "history", "user"]


@dataclass(frozen=True, slots=True)
class FitsContext:
    """See `fits_context`."""

    reserve: int
    counts = True

    @property
    def name(self) -> str:
        """The function's name."""
        return "fits_context"

    def __repr__(self) -> str:
        return f"fits_context(reserve={self.reserve})"

    def __call__(self, reply: object) -> Verdict:
        """Judge the prompt of a reply, or a count."""
        count = _count(reply)
        if count is None:
            return _unknown(repr(self))
        evidence = _evidence(count)
        if count.left >= self.reserve:
            reason = f"the prompt leaves {count.left} of {count.n_ctx} tokens"
            return Verdict(Status.PASSED, repr(self), reason, 1.0, evidence)
        reason = (
            f"expected {self.reserve} tokens to be left for the reply; the prompt has {count.total} and the "
            f"context holds {count.n_ctx}, which leaves {max(count.left, 0)} ({_largest(count)}): shorten "
            "that, or raise n_ctx (in the llm mark or [tool.llmcheck.models.NAME])"
        )
        return Verdict(Status.FAILED, repr(self), reason, 0.0, evidence)


@dataclass(frozen=True, slots=True)
class PromptShare:
    """See `prompt_share`."""

    limits: tuple[tuple[str, float], ...]
    counts = True

    @property
    def name(self) -> str:
        """The function's name."""
        return "prompt_share"

    def __repr__(self) -> str:
        return f"prompt_share({', '.join(f'{kind}={limit:g}' for kind, limit in self.limits)})"

    def __call__(self, reply: object) -> Verdict:
        """Judge the prompt of a reply, or a count."""
        count = _count(reply)
        if count is None:
            return _unknown(repr(self))
        over = [(kind, limit) for kind, limit in self.limits if count.share(kind) > limit]
        score = 1.0 - len(over) / len(self.limits)
        if not over:
            shares = ", ".join(f"{kind} {count.share(kind):.0%}" for kind, _ in self.limits)
            return Verdict(
                Status.PASSED, repr(self), f"{shares} of {count.total} tokens", score, _evidence(count)
            )
        told = "; ".join(
            f"expected {kind} to be at most {limit:.0%} of the prompt, got {count.share(kind):.1%} "
            f"({count[kind]} of {count.total} tokens)"
            for kind, limit in over
        )
        return Verdict(Status.FAILED, repr(self), told, score, _evidence(count))


def fits_context(*, reserve: int = 512) -> FitsContext:
    """The prompt leaves at least this many tokens of the context for the reply.

    For ``reply.expect(...)`` and, before anything is asked, for ``llm.count(...).expect(...)``. Not
    applicable to a reply that was not made by `llm.chat` or its like.

    Args:
        reserve: tokens.

    Raises:
        ValueError: not a whole number of at least 1.
    """
    __tracebackhide__ = True
    if not _is_whole(reserve):
        raise ValueError(f"reserve must be a whole number of tokens, at least 1; got {reserve!r}")
    return FitsContext(reserve)


def prompt_share(
    *,
    system: float | None = None,
    tools: float | None = None,
    documents: float | None = None,
    history: float | None = None,
    user: float | None = None,
) -> PromptShare:
    """Parts of the prompt take at most these shares of its tokens.

    ``prompt_share(documents=0.5)``: retrieved documents are at most half of the prompt. For
    ``reply.expect(...)`` and ``llm.count(...).expect(...)``. Not applicable as for `fits_context`.

    Args:
        system: system prompt, with what the template puts there by itself; 0 to 1.
        tools: definitions of tools.
        documents: what the template made of its variable ``documents``.
        history: messages before the last one of the user, and tool results after it.
        user: the last message of the user.

    Raises:
        ValueError: no part is named, or a share is not from 0 to 1.
    """
    __tracebackhide__ = True
    given: dict[_Kind, float | None] = {
        "system": system,
        "tools": tools,
        "documents": documents,
        "history": history,
        "user": user,
    }
    limits = tuple((kind, share) for kind, share in given.items() if share is not None)
    if not limits:
        raise ValueError("prompt_share() names no part; for example prompt_share(documents=0.5)")
    for kind, share in limits:
        if not _is_share(share):
            raise ValueError(f"{kind} must be a share from 0 to 1, got {share!r}")
    return PromptShare(limits)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _count(judged: object) -> Count | None:
    if isinstance(judged, Count):
        return judged
    origin: Origin | None = getattr(judged, "origin", None)
    return None if origin is None else origin.count()


def _unknown(check: str) -> Verdict:
    reason = "the prompt is not known by its parts: the reply was not made by llm.chat or its like"
    return Verdict(Status.NOT_APPLICABLE, check, reason)


def _evidence(count: Count) -> dict[str, int]:
    return {**dict(count.parts), "total": count.total, "n_ctx": count.n_ctx}


def _largest(count: Count) -> str:
    part = max(count.parts, key=lambda part: part.tokens)
    return f"most of it is {part.kind}: {part.tokens}"
