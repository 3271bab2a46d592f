"""What all instruction checks have in common: one look at a text, and a verdict made of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.verdict import Judged

_SCORES = {Status.PASSED: 1.0, Status.FAILED: 0.0, Status.INCONCLUSIVE: None}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one instruction says of one text.

    Attributes:
        followed: None where it cannot be decided.
        reason: why; what was expected and what came.
        place: where the text first breaks the instruction, in characters; None where no place does.
        evidence: JSON-like details.
    """

    followed: bool | None
    reason: str
    place: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_evidence(self) -> dict[str, Any]:
        """The evidence, with the place."""
        return {**self.evidence, **({} if self.place is None else {"position": self.place})}

    @property
    def status(self) -> Status:
        """The status of a verdict that says this."""
        if self.followed is None:
            return Status.INCONCLUSIVE
        return Status.PASSED if self.followed else Status.FAILED


class Instruction(ABC):
    """An instruction whose following can be read off the text; see the functions that make one."""

    name: ClassVar[str]

    def judge(self, text: str) -> Finding:
        """Look at a text. As in IFEval, one that is blank follows no instruction."""
        if not text.strip():
            return Finding(False, "the reply is empty" if not text else "the reply is blank")
        return self._look(text)

    def __call__(self, reply: Judged) -> Verdict:
        """Judge the raw text, strictly: nothing is stripped off it."""
        found = self.judge(reply.text)
        return Verdict(
            found.status, repr(self), explain(reply, found), _SCORES[found.status], found.full_evidence
        )

    @abstractmethod
    def _look(self, text: str) -> Finding:
        """Look at a text that is not blank."""


def explain(reply: Judged, found: Finding) -> str:
    """The reason of a finding, with lines that point at its place in the reply."""
    if found.place is None:
        return found.reason
    # Imported here: a check must be cheap to import.
    from pytest_llmcheck.engines.pointing import pointed

    return "\n".join([found.reason, *pointed(reply, found.place)])


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many of something there may be; at least one of the two limits is set."""

    at_least: int | None = None
    at_most: int | None = None

    def hold(self, count: int) -> bool:
        """Whether a count is within."""
        return (self.at_least or 0) <= count and (self.at_most is None or count <= self.at_most)

    def __str__(self) -> str:
        if self.at_most is None:
            return f"at least {self.at_least}"
        if self.at_least is None:
            return f"at most {self.at_most}"
        if self.at_least == self.at_most:
            return f"exactly {self.at_least}"
        return f"{self.at_least} to {self.at_most}"

    def of(self, one: str, many: str) -> str:
        """The bounds of a thing, such as ``at least 3 words``."""
        if self.at_most == 0:
            return f"no {one}"
        last = self.at_least if self.at_most is None else self.at_most
        return f"{self} {one if last == 1 else many}"

    def arguments(self) -> dict[str, int]:
        """As a user writes them."""
        if self.at_least is not None and self.at_least == self.at_most:
            return {"exactly": self.at_least}
        limits = {"at_least": self.at_least, "at_most": self.at_most}
        return {name: limit for name, limit in limits.items() if limit is not None}


def bounds(function: str, at_least: int | None, at_most: int | None, exactly: int | None) -> Bounds:
    """The bounds that a user gave to a function.

    Raises:
        TypeError: a limit is not a whole number.
        ValueError: no limit is given, or limits that nothing or everything would hold to.
    """
    __tracebackhide__ = True
    given = {"at_least": at_least, "at_most": at_most, "exactly": exactly}
    for name, limit in given.items():
        if limit is not None:
            whole(f"{function}: {name}", limit, least=1 if name == "at_least" else 0)
    if exactly is not None:
        if at_least is not None or at_most is not None:
            message = f"{function}: exactly= excludes at_least= and at_most="
            raise ValueError(message)
        return Bounds(exactly, exactly)
    if at_least is None and at_most is None:
        message = f"{function} needs a limit: at_least=, at_most= or exactly="
        raise ValueError(message)
    if at_least is not None and at_most is not None and at_least > at_most:
        message = f"{function}: at_least={at_least} is more than at_most={at_most}, so no reply could pass"
        raise ValueError(message)
    return Bounds(at_least, at_most)


def whole(what: str, value: object, *, least: int) -> int:
    """A whole number of at least `least`.

    Raises:
        TypeError: not a whole number.
        ValueError: too small.
    """
    __tracebackhide__ = True
    if not isinstance(value, int) or isinstance(value, bool):
        message = f"{what} takes a whole number, got {value!r}"
        raise TypeError(message)
    if value < least:
        message = f"{what} takes a number of at least {least}, got {value}"
        raise ValueError(message)
    return value


def phrase(what: str, value: object) -> str:
    """A text that is not blank, without the space around it.

    Raises:
        TypeError: not a text.
        ValueError: blank.
    """
    __tracebackhide__ = True
    if not isinstance(value, str):
        message = f"{what} takes a text, got {value!r}"
        raise TypeError(message)
    if not value.strip():
        message = f"{what} takes a text that is not blank, got {value!r}"
        raise ValueError(message)
    return value.strip()


def phrases(function: str, values: Sequence[object]) -> tuple[str, ...]:
    """Texts, at least one, each once, none of them blank.

    Raises:
        TypeError: one is not a text.
        ValueError: none is given, or one is blank.
    """
    __tracebackhide__ = True
    if not values:
        message = f"{function} needs at least one text"
        raise ValueError(message)
    # Not a generator: its frame would be the one that pytest shows.
    return tuple(dict.fromkeys(map(partial(phrase, function), values)))


def written(name: str, *positional: object, **keywords: object) -> str:
    """A call as its user wrote it; keywords that are None are left out.

    >>> written("words", at_most=60), written("language", "de")
    ('words(at_most=60)', "language('de')")
    """
    given = [repr(value) for value in positional]
    given += [f"{key}={value!r}" for key, value in keywords.items() if value is not None]
    return f"{name}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class Counted(Instruction):
    """An instruction about how many of something a reply has."""

    bounds: Bounds

    def __repr__(self) -> str:
        return written(self.name, **self.bounds.arguments())

    def _look(self, text: str) -> Finding:
        places = self._places(text)
        count, evidence = len(places), {"count": len(places)}
        one, many = self._nouns
        wanted = self.bounds.of(one, many)
        if self.bounds.hold(count):
            return Finding(True, f"{count} {one if count == 1 else many}", evidence=evidence)
        most = self.bounds.at_most
        reason = f"expected {wanted}, got {count}"
        if most is not None and count > most:
            return Finding(False, f"{reason}; the first too many:", places[most], evidence)
        return Finding(False, reason, evidence=evidence)

    @property
    @abstractmethod
    def _nouns(self) -> tuple[str, str]:
        """What is counted: one of them, and many."""

    @abstractmethod
    def _places(self, text: str) -> Sequence[int]:
        """Where each begins, in characters; as many as there are."""
