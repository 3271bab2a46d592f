"""How two texts are compared: letter by letter, or without regard to case or white space."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spelling:
    """A text as it is compared, and where each of its characters stands in the text itself.

    Attributes:
        text: what is compared.
        places: for each character of it, and for its end, the place in the original.
    """

    def __init__(self, original: str, *, ignore_case: bool = False, ignore_space: bool = False) -> None:
        self._original, self._ignore_case, self._ignore_space = original, ignore_case, ignore_space
        text = " ".join(original.split()) if ignore_space else original
        self.text = text.casefold() if ignore_case else text

    @cached_property
    def places(self) -> Sequence[int]:
        """See the class; made when first asked for, since most texts are only compared."""
        if not self._ignore_case and not self._ignore_space:
            return range(len(self._original) + 1)
        return _places(self._original, ignore_case=self._ignore_case, ignore_space=self._ignore_space)

    def find(self, part: str) -> list[int] | None:
        """Begin and end of the first place, in the original, where a part stands; None for none."""
        spelt = Spelling(part, ignore_case=self._ignore_case, ignore_space=self._ignore_space).text
        start = self.text.find(spelt) if spelt else -1
        if start < 0:
            return None
        return [self.places[start], self.places[start + len(spelt) - 1] + 1]


def common_length(one: str, other: str) -> int:
    """So many characters two texts have in common at their beginning."""
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def _places(original: str, *, ignore_case: bool, ignore_space: bool) -> list[int]:
    places: list[int] = []
    between = True  # at the beginning, as after a space, white space adds nothing
    for place, letter in enumerate(original):
        if ignore_space and letter.isspace():
            if not between:
                places.append(place)
            between = True
            continue
        between = False
        # One letter may become several: "ß" is folded to "ss".
        places.extend([place] * (len(letter.casefold()) if ignore_case else 1))
    if ignore_space and places and between:
        places.pop()
    return [*places, len(original)]
