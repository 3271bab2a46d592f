"""The table at the end of a run: tests x models, which candidate is safe, what broke and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pytest_llmcheck.reports.run import RunReport
    from pytest_llmcheck.session.record import TestLine

COLOURS = {"passed": "green", "failed": "red", "error": "red", "skipped": "yellow"}
BAD = ("failed", "error")
MOST_REASON_LINES = 6


def summarise(terminal: pytest.TerminalReporter, report: RunReport) -> None:
    """Write the table and its conclusion."""
    lines = [line for line in report.lines if line.model is not None]
    models = [name for name in report.models if any(line.model == name for line in lines)]
    terminal.write_sep("=", "llmcheck")
    if models:
        _table(terminal, lines, models)
        terminal.write_line("")
    for name in models:
        text, colour = conclusion(lines, name, report.reference, models)
        terminal.write_line(text, **{colour: True})
    if broken := first_break(lines, models, report.reference):
        terminal.write_line("")
        terminal.write_line(f"{broken.model} on {broken.test}:")
        reason = broken.reason.splitlines()
        for line in reason[:MOST_REASON_LINES]:
            terminal.write_line(f"  {line}")
        if len(reason) > MOST_REASON_LINES:
            terminal.write_line("  ... (whole above)")
    if report.trouble is not None:
        terminal.write_line(f"no run record: {report.trouble}", yellow=True)
    elif report.path is not None:
        terminal.write_line(f"run record: {report.path}")


def _table(terminal: pytest.TerminalReporter, lines: list[TestLine], models: list[str]) -> None:
    cells = {(line.test, line.model): line.outcome for line in lines}
    tests = list(dict.fromkeys(line.test for line in lines))
    kinds = {name: quant_of(lines, name) for name in models}
    heads = [(name, kinds[name] if kinds[name].lower() != name.lower() else "") for name in models]
    width = max(len(test) for test in tests)
    widths = [max(len("skipped"), *map(len, head)) for head in heads]
    for row in (0, 1):
        titles = [head[row].ljust(size) for head, size in zip(heads, widths, strict=True)]
        if any(title.strip() for title in titles):
            terminal.write_line("  ".join([" " * width, *titles]).rstrip())
    for test in tests:
        terminal.write(test.ljust(width))
        for name, size in zip(models, widths, strict=True):
            outcome = cells.get((test, name), "-")
            shown = outcome.upper() if outcome in BAD else outcome
            terminal.write("  ")
            terminal.write(shown.ljust(size), **{COLOURS[outcome]: True} if outcome in COLOURS else {})
        terminal.write_line("")


def quant_of(lines: list[TestLine], model: str) -> str:
    """The quantisation that the model's replies state; empty if it gave none."""
    for line in lines:
        if line.model == model and line.replies:
            return line.replies[0].fingerprint.quant
    return ""


def conclusion(lines: list[TestLine], model: str, reference: str, models: list[str]) -> tuple[str, str]:
    """One line on a model, and its colour."""
    mine = {line.test: line.outcome for line in lines if line.model == model}
    bad = [test for test, outcome in mine.items() if outcome in BAD]
    undecided = [test for test, outcome in mine.items() if outcome == "skipped"]
    count = f"{len(mine)} test{'s' if len(mine) != 1 else ''}"
    if model == reference:
        if bad:
            return f"{model}: the reference itself fails {len(bad)} of {count}", "red"
        return f"{model}: reference, passes {len(mine) - len(undecided)} of {count}", "green"
    base = {line.test: line.outcome for line in lines if line.model == reference}
    flips = [test for test in bad if base.get(test) == "passed"]
    if bad and reference in models:
        shared = f" ({len(bad) - len(flips)} of them fail on {reference} too)" if len(flips) < len(bad) else ""
        return f"{model}: BROKEN, fails {len(bad)} of {count}{shared}", "red"
    if bad:
        return f"{model}: BROKEN, fails {len(bad)} of {count}", "red"
    if undecided:
        return f"{model}: undecided, {len(undecided)} of {count} could not be judged", "yellow"
    return f"{model}: safe, passes all {count}", "green"


def first_break(lines: list[TestLine], models: list[str], reference: str) -> TestLine | None:
    """One broken test to be told in words: the first that the reference passes, of the first broken candidate."""
    good = {line.test for line in lines if line.model == reference and line.outcome == "passed"}
    bad = [line for line in lines if line.outcome in BAD]
    bad.sort(key=lambda line: (line.test not in good, models.index(line.model or "")))
    return bad[0] if bad else None
