"""Arrays in GGUF metadata, decoded when asked: a vocabulary of 150,000 strings costs nothing unread."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from pytest_llmcheck.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

Item = str | int | float | bool

#: `struct` codes of GGUF's value types, by number; 8 is a string and 9 an array.
SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
STRING, ARRAY = 8, 9


class GGUFArray(Sequence[Item]):
    """A typed array in the header of a file; immutable, decoded item by item.

    Attributes:
        kind: GGUF's number of the item type (4: uint32, 8: string, ...).
    """

    def __init__(self, where: str, kind: int, count: int, data: bytes, start: int) -> None:
        """`where` names file and key in messages; `data` holds the checked items from `start` on."""
        self.kind = kind
        self._where = where
        self._count = count
        self._data = data
        self._start = start
        self._starts = array("Q", [start])

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(self._count)))
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError(f"index outside an array of {self._count}")
        if self.kind == STRING:
            return self._text(index)
        code = SCALARS[self.kind]
        (value,) = struct.unpack_from(
            "<" + code, self._data, self._start + index * struct.calcsize("<" + code)
        )
        return value  # type: ignore[no-any-return]  # struct is untyped; the code decides

    def __iter__(self) -> Iterator[Item]:
        if self.kind == STRING:
            if self._count:
                self._start_of(self._count - 1)
            return map(self._text, range(self._count))
        return iter(struct.unpack_from(f"<{self._count}{SCALARS[self.kind]}", self._data, self._start))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # compares by content, which is not worth hashing

    def __repr__(self) -> str:
        shown = ", ".join(repr(self[i]) for i in range(min(3, self._count)))
        return f"<{self._count} items: {shown}{', ...' if self._count > 3 else ''}>"

    def _start_of(self, index: int) -> int:
        """Where a string begins. All strings before it have to be stepped over, once."""
        starts = self._starts
        if index >= len(starts):
            length_of = struct.Struct("<Q").unpack_from
            # A list of its own, which replaces the other when it is complete: threads may read here too.
            starts = starts[:]
            position = starts[-1]
            for _ in range(index + 1 - len(starts)):
                position += 8 + length_of(self._data, position)[0]
                starts.append(position)
            self._starts = starts
        return starts[index]

    def _text(self, index: int) -> str:
        start = self._start_of(index)
        (length,) = struct.unpack_from("<Q", self._data, start)
        raw = self._data[start + 8 : start + 8 + length]
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ModelError(
                f"{self._where}[{index}] is not valid UTF-8: {raw[:40]!r}; "
                f"the file is damaged or was converted wrongly, download or convert it again"
            ) from None
