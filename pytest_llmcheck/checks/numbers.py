"""Numbers in a text, and whether those that count are among them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pytest_llmcheck.json_values import checked_tolerance
from pytest_llmcheck.verdict import Status, Verdict
from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llmcheck.verdict import Check, Judged

Mark = Literal[".", ","]

_SHOWN = 12
_LONGEST = 40
# Thin, narrow and no-break spaces, Swiss and typographic apostrophes, Python's underscore, LaTeX's comma.
_GROUPERS = ("\u2009", "\u202f", "\u00a0", "'", "\u2019", "_", "{,}")
_OTHER: dict[Mark, Mark] = {".": ",", ",": "."}
_GROUPER = {mark: "|".join(map(re.escape, (mark, *_GROUPERS))) for mark in (".", ",")}
_SEPARATOR = rf"\.|{_GROUPER[',']}"
# Digits behind a letter of these scripts are part of a name: H2O, B31. Others write without spaces.
_NAME = r"A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff_"
_FRACTION = "\u00bc-\u00be\u2150-\u215e"
_RUN = re.compile(
    rf"""
    (?P<name> [{_NAME}][{_NAME}\d]* (?: (?<=\d) (?:[.,]\d+)+ )? )
    |
    (?: (?<![\w)\]}}%.,]) (?P<sign>[-+\u2212]) [$€£¥]? )?
    (?:
      (?P<run> (?: (?<![{_NAME}\d.])\. )? \d+ (?: (?:{_SEPARATOR}) \d+ )* )
      (?: \ ? (?P<added>[{_FRACTION}]) )?
    | (?P<fraction>[{_FRACTION}])
    )
    (?:
      [eE] (?P<e>[-+]?\d{{1,4}}) (?!\w)
    | \ ? (?:[x\u00d7\u00b7\u22c5*]|\\times|\\cdot) \ ? 10
      (?: \^ \{{? (?P<power>[-+\u2212]?\d{{1,4}}) \}}? | (?P<raised>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,4}}) )
    )?
    """,
    re.VERBOSE,
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺\u2212", "0123456789-+-")
_WORDS = (
    (
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    (
        "null",
        "eins",
        "zwei",
        "drei",
        "vier",
        "fünf",
        "sechs",
        "sieben",
        "acht",
        "neun",
        "zehn",
        "elf",
        "zwölf",
    ),
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as a text has it.

    Attributes:
        value: exactly what is written; a percent sign or a unit does not change it.
        span: begin and end in the text, in characters.
    """

    value: Decimal
    span: tuple[int, int]


def numbers_in(text: str, decimal: Mark = ".") -> list[Number]:
    """The numbers of a text, in order, each as long as it can be: there is no 31 in 310, nor in 31.5.

    Args:
        text: any text.
        decimal: the decimal mark where a number can be read in two ways, as 1.234 and 1,234 can.
    """
    numbers: list[Number] = []
    for found in _RUN.finditer(text):
        if found["name"]:
            continue
        start = found.start("run" if found["run"] else "fraction")
        parts = list(_parts(found["run"] or "0", decimal))
        read = [Number(value, (start + begin, start + end)) for value, begin, end in parts]
        # What stands before the run belongs to its first number, what stands behind it to its last.
        value = read[-1].value
        if fraction := found["added"] or found["fraction"]:
            value += Decimal(str(round(unicodedata.numeric(fraction), 12)))
        if exponent := found["e"] or found["power"] or found["raised"]:
            value = value.scaleb(int(exponent.translate(_RAISED)))
        read[-1] = Number(value, (read[-1].span[0], found.end()))
        if found["sign"] in ("-", "\u2212"):
            read[0] = Number(-read[0].value, (found.start(), read[0].span[1]))
        numbers += read
    return numbers


def _parts(run: str, decimal: Mark) -> Iterator[tuple[Decimal, int, int]]:
    """The numbers of a run of digits and separators, and where they stand in it.

    One number if it can be read as one, if need be with the other mark. Else 1.5,2.5 is a list of decimals;
    31.12.2024 and 1,2,3 are whole numbers.
    """
    other = _OTHER[decimal]
    for mark in (decimal, other):
        if (value := _one(run, mark)) is not None:
            yield value, 0, len(run)
            return
    mixed = decimal in run and re.search(_GROUPER[other], run)
    at = 0
    for piece in filter(None, re.split(_GROUPER[other] if mixed else _SEPARATOR, run)):
        at = run.index(piece, at)
        for value, begin, end in _parts(piece, decimal):
            yield value, at + begin, at + end
        at += len(piece)


def _one(run: str, decimal: Mark) -> Decimal | None:
    """The number, with this decimal mark; None if it is none."""
    before, mark, behind = run.rpartition(decimal)
    whole, digits = (before or "0", f".{behind}") if mark else (run, "")
    if mark and not behind.isdigit():
        return None
    if whole.isdigit():
        return Decimal(whole + digits)
    grouper = re.search(_SEPARATOR, whole)
    first, *groups = whole.split(grouper[0]) if grouper else [whole]
    thousands = len(first) <= 3 and all(len(group) == 3 for group in groups)
    # 12,34,567, as in India; with a decimal comma it is a list.
    lakh = (
        decimal == "."
        and len(groups) > 1
        and 1 <= len(first) <= 2
        and [*map(len, groups)] == [2] * (len(groups) - 1) + [3]
    )
    if (
        grouper is None
        or grouper[0] == decimal
        or not (thousands or lakh)
        or not all(map(str.isdigit, [first, *groups]))
    ):
        return None
    return Decimal("".join([first, *groups]) + digits)


@dataclass(frozen=True, slots=True)
class MentionsNumbers:
    """See `mentions_numbers`."""

    numbers: tuple[int | float | Decimal, ...]
    tolerance: float = 0.0
    decimal: Mark = "."

    @property
    def name(self) -> str:
        """The function's name."""
        return "mentions_numbers"

    def __repr__(self) -> str:
        tolerance = f", tolerance={self.tolerance:g}" if self.tolerance else ""
        decimal = "" if self.decimal == "." else f", decimal={self.decimal!r}"
        return f"mentions_numbers([{', '.join(map(str, self.numbers))}]{tolerance}{decimal})"

    def __call__(self, reply: Judged) -> Verdict:
        """Judge by the numbers of the text; the score is the share of the wanted ones that occur."""
        came = numbers_in(reply.text, self.decimal)
        found = {str(wanted): self._find(wanted, came) for wanted in self.numbers}
        missing = [wanted for wanted, place in found.items() if place is None]
        score = 1 - len(missing) / len(found)
        if not missing:
            first = next(iter(found.values()))
            place = {"span": [*first.span]} if first is not None else {}
            return Verdict(Status.PASSED, repr(self), f"mentions {', '.join(found)}", score, place)
        told = [cut(reply.text[slice(*number.span)], _LONGEST) for number in came]
        shown = ", ".join(told[:_SHOWN]) + ", ..." * (len(told) > _SHOWN)
        reason = (
            f"expected the numbers {', '.join(found)}"
            if len(found) > 1
            else f"expected the number {missing[0]}"
        )
        reason += f"; missing: {', '.join(missing)}" if len(found) > 1 else ""
        reason += f"\nnumbers in the reply: {shown}" if told else "; there is no number in the reply"
        evidence = {"missing": missing, "numbers": told}
        return Verdict(Status.FAILED, repr(self), reason + self._hint(reply.text, missing), score, evidence)

    def _find(self, wanted: int | float | Decimal, came: Iterable[Number]) -> Number | None:
        # The digits that the user wrote: 0.1 is a tenth.
        exact = Decimal(str(wanted))
        return next((number for number in came if self._near(exact, number.value)), None)

    def _near(self, wanted: Decimal, came: Decimal) -> bool:
        if not self.tolerance:
            return wanted == came
        allowed = Decimal(str(self.tolerance)) * max(Decimal(1), abs(wanted), abs(came))
        return abs(wanted - came) <= allowed

    def _hint(self, text: str, missing: list[str]) -> str:
        other = _OTHER[self.decimal]
        elsewhere = numbers_in(text, other)
        if any(self._find(Decimal(wanted), elsewhere) for wanted in missing):
            return f"\nwith decimal={other!r} it would mention more of them"
        small = [number for number in range(len(_WORDS[0])) if Decimal(number) in map(Decimal, missing)]
        spoken = [words[number] for number in small for words in _WORDS]
        if said := [word for word in spoken if re.search(rf"\b{word}\b", text, re.IGNORECASE)]:
            names = ", ".join(map(repr, said))
            return f"\nit has {names}; words are not read: any_of(..., contains({said[0]!r})) takes that"
        return ""


def mentions_numbers(
    numbers: Iterable[int | float | Decimal], *, tolerance: float = 0.0, decimal: Mark = "."
) -> Check:
    """All the numbers occur in the reply, in any order.

    A number in the text is as long as it can be and counts as it is written:

    - 1,234.5, 1.234,5, 1'234.5, 1 234.5 (with a thin, narrow or no-break space), 1_234.5, 12,34,567 and 31,5
      are one number each. Where both readings are possible, `decimal` decides: 1.234 or 1,234.
    - 3e5, 3E-5, 3 x 10^5 and 3 x 10⁵ are powers of ten; 2½ is 2.5.
    - 31.12.2024, 1.2.3, 1,2,3, 10:30, 5-10 and 1/2 are several whole numbers.
    - -5 is minus five where the minus follows no letter, digit or bracket, and touches the number.
    - A unit, a currency or a percent sign changes nothing: 12 %, $12 and 12kg are 12. So are "12 million".
    - Digits behind a Latin, Greek or Cyrillic letter are none: H2O, B31. Nor are words: "twelve".

    Args:
        numbers: those that must occur; one place is enough for each.
        tolerance: a and b are equal if ``|a - b| <= tolerance * max(1, |a|, |b|)``: absolute for small
            numbers, relative for large ones, as in `json`. With 0, the digits decide: 0.1 is 0.10.
        decimal: the decimal mark of the reply, "." or ",", for numbers such as 1.234 and 1,234.

    Raises:
        TypeError: no list of numbers, or a tolerance that is none.
        ValueError: no number, or one that is not finite; a tolerance that is negative; another mark.
    """
    __tracebackhide__ = True
    if not hasattr(numbers, "__iter__") or isinstance(numbers, str):
        raise TypeError(f"mentions_numbers takes a list of numbers, such as [3, 4.5]; got {numbers!r}")
    wanted = tuple(numbers)
    for number in wanted:
        if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
            raise TypeError(f"mentions_numbers takes numbers, got {type(number).__name__}: {number!r}")
        if not Decimal(str(number)).is_finite():
            raise ValueError(f"mentions_numbers takes finite numbers, got {number!r}")
    if not wanted:
        raise ValueError("mentions_numbers needs at least one number, such as [3, 4.5]")
    checked_tolerance(tolerance)
    if decimal not in (".", ","):
        raise ValueError(f"decimal is '.' or ',', got {decimal!r}")
    return MentionsNumbers(wanted, tolerance, decimal)
