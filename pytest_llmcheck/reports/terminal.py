"""The table at the end of a run: tests x models, which candidate is safe, what broke and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.verdict import Status

if TYPE_CHECKING:
    import pytest

    from pytest_llmcheck.engines.types import Fingerprint
    from pytest_llmcheck.reports.run import RunReport
    from pytest_llmcheck.session.record import TestLine

COLOURS = {"passed": "green", "FAILED": "red", "ERROR": "red", "undecided": "yellow", "skipped": "yellow"}
BAD = ("failed", "error")
UNDECIDED = (Status.INCONCLUSIVE, Status.NOT_APPLICABLE)
MOST_REASON_LINES = 6
MOST_UNDECIDED = 5


def summarise(terminal: pytest.TerminalReporter, report: RunReport) -> None:
    """Write the table and its conclusion."""
    models = [name for name in report.models if any(line.model == name for line in report.lines)]
    lines = [line for line in report.lines if line.model in models]
    others = [line for line in report.lines if line.model is None]
    terminal.write_sep("=", "llmcheck")
    if models:
        _table(terminal, lines, models)
        terminal.write_line("")
    for name in models:
        text, colour = conclusion(report.lines, name, report.reference, stopped=report.stopped)
        terminal.write_line(f"{name}{_made_of(report.made_of.get(name))}: {text}", **{colour: True})
    if others:
        bad = sum(line.outcome in BAD for line in others)
        count = f"{len(others)} test{'s' if len(others) != 1 else ''}"
        how = f"{bad} of {count} fail{'s' if bad == 1 else ''}" if bad else f"{count}, none fails"
        terminal.write_line(f"not run per model: {how}", red=bool(bad))
    if broken := first_break(lines, models, report.reference):
        terminal.write_line("")
        terminal.write_line(f"why {broken.model} fails {broken.test}:")
        reason = broken.reason.splitlines()
        for line in reason[:MOST_REASON_LINES]:
            terminal.write_line(f"  {line}")
        if len(reason) > MOST_REASON_LINES:
            terminal.write_line("  ... (whole above)")
    if open_ := undecided(report.lines):
        terminal.write_line("")
        for said in open_:
            terminal.write_line(said)
    if said := from_cache(report.cached, report.replies):
        terminal.write_line(said)
    for note in report.notes:
        terminal.write_line(note, yellow=True)
    if report.trouble is not None:
        terminal.write_line(f"no run record: {report.trouble}", yellow=True)
    elif report.path is not None:
        terminal.write_line(f"run record: {report.path}")


def from_cache(cached: int, replies: int) -> str:
    """How many of the replies no model was asked for; empty if none."""
    if not cached:
        return ""
    noun = "reply" if replies == 1 else "replies"
    return f"{cached} of {replies} {noun} came from the reply cache (--llm-cache off asks again)"


def shown(line: TestLine) -> str:
    """A test's outcome as the table has it."""
    if line.outcome in BAD:
        return line.outcome.upper()
    if line.outcome == "skipped" and any(verdict.status in UNDECIDED for verdict in line.verdicts):
        return "undecided"
    return line.outcome


def undecided(lines: list[TestLine]) -> list[str]:
    """The tests that could not be decided, and the first line of why, once; empty if there are none."""
    tests = [line for line in lines if shown(line) == "undecided"]
    if not tests:
        return []
    by_reason: dict[str, list[str]] = {}
    for test in tests[:MOST_UNDECIDED]:
        first = next(verdict for verdict in test.verdicts if verdict.status in UNDECIDED)
        reason = f"{first.status}: {first.check}: {first.reason}".partition("\n")[0]
        by_reason.setdefault(reason, []).append(test.nodeid)
    said = ["undecided, which is neither passed nor failed:"]
    for reason, ids in by_reason.items():
        said += [*(f"  {nodeid}" for nodeid in ids), f"    {reason}"]
    if (more := len(tests) - MOST_UNDECIDED) > 0:
        said.append(f"  and {more} more; -rs lists all")
    return said


def _table(terminal: pytest.TerminalReporter, lines: list[TestLine], models: list[str]) -> None:
    cells = {(line.test, line.model): shown(line) for line in lines}
    tests = list(dict.fromkeys(line.test for line in lines))
    width = max(len(test) for test in tests)
    widths = [
        max(len(name), *(len(cell) for (_, model), cell in cells.items() if model == name)) for name in models
    ]
    titles = [name.ljust(size) for name, size in zip(models, widths, strict=True)]
    terminal.write_line("  ".join([" " * width, *titles]).rstrip())
    for test in tests:
        terminal.write(test.ljust(width))
        for name, size in zip(models, widths, strict=True):
            cell = cells.get((test, name), "-")
            terminal.write("  ")
            terminal.write(cell.ljust(size), **{COLOURS[cell]: True} if cell in COLOURS else {})
        terminal.write_line("")


def _made_of(made: Fingerprint | None) -> str:
    """Quantisation and device that a model's reply states, in brackets; empty if it gave none."""
    return "" if made is None else f" ({made.quant.replace(' (', ', ').removesuffix(')')}, {made.device})"


def conclusion(
    lines: list[TestLine], model: str, reference: str, *, stopped: bool = False
) -> tuple[str, str]:
    """What to say of a model, and its colour.

    A candidate is broken by a test that it fails and the reference passes; where the reference did not run,
    by any test that it fails. It is safe if all tests pass, those that are not run per model included. A test
    that ends in an error, or that has no baseline yet, says nothing of the model.
    """
    mine = {line.test: line for line in lines if line.model == model}
    base = {line.test: line.outcome for line in lines if line.model == reference}
    count = f"{len(mine)} test{'s' if len(mine) != 1 else ''}"
    unready = [test for test, line in mine.items() if line.outcome == "error" or lacks_baseline(line)]
    bad = [test for test, line in mine.items() if line.outcome in BAD and test not in unready]
    passed = sum(line.outcome == "passed" for line in mine.values())
    notes = _unready([mine[test] for test in unready])
    if model == reference:
        if bad:
            return f"the reference itself fails {len(bad)} of {count}{notes}", "red"
        open_ = sum(shown(line) == "undecided" for line in mine.values())
        notes = f"{f'; {open_} undecided' if open_ else ''}{notes}"
        colour = "red" if unready else "yellow" if open_ else "green"
        return f"reference, passes {passed} of {count}{notes}", colour
    shared = [test for test in bad if base.get(test) in BAD]
    if len(shared) < len(bad):
        also = f"; {len(shared)} of them fail on {reference} too" if shared else ""
        return f"BROKEN, fails {len(bad)} of {count}{also}{notes}", "red"
    if bad:
        return f"fails {len(bad)} of {count}, as {reference} does: no verdict on the candidate{notes}", "red"
    if unready:
        return f"no verdict, passes {passed} of {count}{notes}", "red"
    if passed < len(mine):
        undecided = sum(shown(line) == "undecided" for line in mine.values())
        how = f"{undecided} undecided" if undecided else f"{len(mine) - passed} skipped"
        return f"no test fails, {how} of {count}", "yellow"
    others = [line for line in lines if line.model is None]
    if any(line.outcome in BAD for line in others):
        return f"passes {count}, but tests that are not run per model fail", "red"
    if any(shown(line) == "undecided" for line in others):
        return f"passes {count}, but tests that are not run per model are undecided", "yellow"
    if stopped:
        return f"passes the {count} that ran before the run was stopped: no verdict", "yellow"
    return f"safe, passes {'all ' if len(mine) > 1 else ''}{count}", "green"


def lacks_baseline(line: TestLine) -> bool:
    """Whether the test failed only for want of a baseline."""
    failed = [verdict for verdict in line.verdicts if verdict.status == Status.FAILED]
    return bool(failed) and all(verdict.reason.startswith("no baseline: ") for verdict in failed)


def _unready(lines: list[TestLine]) -> str:
    """What kept tests from judging the model, to be added to a conclusion."""
    errors = sum(line.outcome == "error" for line in lines)
    notes = f"; {errors} ended in an error" if errors else ""
    if missing := len(lines) - errors:
        has = "has" if missing == 1 else "have"
        notes += f"; {missing} {has} no baseline yet: pytest --llm-update"
    return notes


def first_break(lines: list[TestLine], models: list[str], reference: str) -> TestLine | None:
    """One broken test to be told in words: if possible one that the reference passes."""
    good = {line.test for line in lines if line.model == reference and line.outcome == "passed"}
    bad = [line for line in lines if line.outcome in BAD]

    def rank(line: TestLine) -> tuple[bool, int, bool]:
        # The poorest candidate is usually the last; and a check says more in a line than a difference does.
        failed = [verdict.check for verdict in line.verdicts if verdict.status == Status.FAILED]
        by_check = any(not check.startswith("snapshot") for check in failed)
        return line.test not in good, -models.index(line.model or ""), not by_check

    bad.sort(key=rank)
    return bad[0] if bad else None
