"""Several instructions at once, judged strictly and loosely as IFEval does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmcheck.checks.instructions.base import Finding, Instruction, explain, written
from pytest_llmcheck.engines.judging import no_check
from pytest_llmcheck.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llmcheck.verdict import Check, Judged


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a text follows some instructions, in their order.

    IFEval's four numbers over many texts are the shares of `strict` and `loose` that are True
    (instruction-level), and of `all_strict` and `all_loose` (prompt-level).

    Attributes:
        checks: the instructions, as their users wrote them.
        strict: whether the text follows each; None where that cannot be decided.
        loose: whether the text or one of its `loose_variants` does; None where that cannot be decided.
        findings: what each strict look said.
    """

    checks: tuple[str, ...]
    strict: tuple[bool | None, ...]
    loose: tuple[bool | None, ...]
    findings: tuple[Finding, ...]

    @property
    def all_strict(self) -> bool | None:
        """Whether every instruction is followed strictly; None where that cannot be decided."""
        return _all(self.strict)

    @property
    def all_loose(self) -> bool | None:
        """Whether every instruction is followed loosely; None where that cannot be decided."""
        return _all(self.loose)


def loose_variants(text: str) -> tuple[str, ...]:
    r"""The eight readings of a text by which IFEval forgives a model its small talk and its Markdown.

    The "loose" criterion of Zhou et al. 2023 (arXiv:2311.07911): the text itself, without its first line,
    without its last line, without both, and each of these with every ``*`` removed. Those that repeat
    another are left out.
    """
    lines = text.split("\n")
    cut = [text, *("\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1]))]
    return tuple(dict.fromkeys([*cut, *(variant.replace("*", "") for variant in cut)]))


def judge(text: str, checks: Iterable[Check]) -> Judgement:
    """Judge a text by instructions, strictly and loosely.

    Args:
        text: the reply, verbatim.
        checks: instruction checks, such as `words` or `instruction` make.

    Raises:
        TypeError: it is no list, or one is not an instruction check.
    """
    __tracebackhide__ = True
    if isinstance(checks, Instruction):
        raise TypeError(f"judge takes a list of instruction checks: write judge(text, [{checks!r}])")
    instructions = _instructions("judge", checks)
    findings = tuple(instruction.judge(text) for instruction in instructions)
    strict = tuple(found.followed for found in findings)
    variants = loose_variants(text)[1:] if not all(strict) else ()
    loose = tuple(
        True if followed else _any(followed, instruction, variants)
        for followed, instruction in zip(strict, instructions, strict=True)
    )
    return Judgement(tuple(map(repr, instructions)), strict, loose, findings)


@dataclass(frozen=True, repr=False)
class Follows:
    """See `follows`."""

    instructions: tuple[Instruction, ...]
    name = "follows"

    def __repr__(self) -> str:
        return written(self.name, *self.instructions)

    def __call__(self, reply: Judged) -> Verdict:
        """Judge strictly; the loose verdict is in the reason and the evidence."""
        judged = judge(reply.text, self.instructions)
        count, followed = len(judged.strict), judged.strict.count(True)
        status = Finding(judged.all_strict, "").status
        lines = [f"{followed} of {_so_many(count)} followed, loosely {judged.loose.count(True)}"]
        for check, found, loose in zip(judged.checks, judged.findings, judged.loose, strict=True):
            if not found.followed:
                undecided = "" if found.followed is False else "undecided; "
                told = f"{check}: {undecided}{explain(reply, found)}"
                lines.append(told.replace("\n", "\n  "))
                if loose:
                    lines.append("  loosely it is followed")
        return Verdict(status, repr(self), "\n".join(lines), followed / count, _evidence(judged))


def follows(*instructions: Check) -> Check:
    """The reply follows all the instructions, each to the letter; the loose verdict is told beside it.

    The verdict is the strict one, as is that of an instruction that stands alone in ``expect``. Loosely, an
    instruction is followed if one of the `loose_variants` of the reply follows it. The score is the share
    that is followed strictly. Where one cannot be decided and none is broken, the verdict is inconclusive.
    Source: Zhou et al. 2023 (arXiv:2311.07911).

    Args:
        instructions: such as ``words(at_most=60)`` and ``no_commas()``.

    Raises:
        TypeError: one is not an instruction check.
        ValueError: none is given.
    """
    __tracebackhide__ = True
    if not instructions:
        raise ValueError("follows() judges nothing; give instructions, such as follows(no_commas())")
    return Follows(_instructions("follows", instructions))


def _instructions(function: str, checks: Iterable[object]) -> tuple[Instruction, ...]:
    __tracebackhide__ = True
    given = tuple(checks)
    for check in given:
        if not isinstance(check, Instruction):
            raise TypeError(no_check(function, check, "instruction checks such as words(at_most=60)"))
    return given  # type: ignore[return-value]  # each was looked at


def _any(strict: bool | None, instruction: Instruction, variants: Sequence[str]) -> bool | None:
    undecided = strict is None
    for variant in variants:
        followed = instruction.judge(variant).followed
        if followed:
            return True
        undecided |= followed is None
    return None if undecided else False


def _all(followed: Sequence[bool | None]) -> bool | None:
    if False in followed:
        return False
    return None if None in followed else True


def _so_many(count: int) -> str:
    return "1 instruction" if count == 1 else f"{count} instructions"


def _evidence(judged: Judgement) -> dict[str, object]:
    instructions = [
        {"check": check, "strict": strict, "loose": loose, "reason": found.reason, **found.full_evidence}
        for check, strict, loose, found in zip(
            judged.checks, judged.strict, judged.loose, judged.findings, strict=True
        )
    ]
    return {"strict": judged.all_strict, "loose": judged.all_loose, "instructions": instructions}
