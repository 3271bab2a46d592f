"""Several replies to one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llmcheck.engines.reply import Reply


class Samples(Sequence["Reply"]):
    """The replies of `llm.sample`, in the order of their seeds."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self._replies = tuple(replies)

    @overload
    def __getitem__(self, index: int) -> Reply: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Reply | Samples:
        if isinstance(index, slice):
            return Samples(self._replies[index])
        return self._replies[index]

    def __len__(self) -> int:
        return len(self._replies)

    @property
    def texts(self) -> tuple[str, ...]:
        """The replies' texts."""
        return tuple(reply.text for reply in self._replies)

    def __repr__(self) -> str:
        return f"<{len(self)} samples, {len(set(self.texts))} different texts>"
