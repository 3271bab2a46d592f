"""What a failed comparison says: the essentials in a few lines, the long form apart."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.snapshots.attribution import differences
from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmcheck.prompts.audit import Finding
    from pytest_llmcheck.snapshots.baseline import Baseline
    from pytest_llmcheck.snapshots.comparators import Difference

# pytest cuts an explanation at 8 lines or 640 characters, and lets it exceed both by a little.
DIFFERENCE_LINES = 4
CHARACTERS = 640


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a comparison failed.

    Attributes:
        lines: the first is the headline; at most seven.
        details: the long form, any length.
    """

    lines: tuple[str, ...]
    details: str | None = None


def other_template(expected: Baseline, received: Baseline) -> Finding | None:
    """That a reply's chat template is not the baseline's, whatever the comparison says; None where it is."""
    recorded, now = (baseline.facts.get("template") for baseline in (expected, received))
    if recorded is None or now is None or recorded == now:
        return None
    from pytest_llmcheck.prompts.audit.findings import found

    return found(
        "template-differs",
        f"the chat template ({now[:12]}) is not that of the baselines ({recorded[:12]}): their replies may "
        "answer other prompts, so a difference need not come from the weights",
    )


def missing(shown: str, reference: str, command: str) -> Explanation:
    """There is no baseline."""
    return Explanation(
        (
            f"no baseline: {shown}",
            f"nothing was written; the reference {reference!r} records it with:",
            f"  {command}",
        )
    )


def different(
    shown: str, expected: Baseline, received: Baseline, attribution: str, found: Difference, accept: str
) -> Explanation:
    """The comparator found a difference."""
    head = (f"{title(received)} differs from {_of(expected)}: {shown}", attribution)
    lines = found.lines
    more = found.more
    if len(lines) + (more > 0) > DIFFERENCE_LINES:
        more += len(lines) - DIFFERENCE_LINES + 1
        lines = lines[: DIFFERENCE_LINES - 1]
    room = (CHARACTERS - sum(map(len, (*head, accept)))) // DIFFERENCE_LINES
    lines = tuple(cut(line, max(room, 48)) for line in lines)
    rest = (f"and {more} more, see the details below",) if more else ()
    facts = [
        f"{key}: {expected.facts.get(key, 'none')} -> {received.facts.get(key, 'none')}"
        for key in (differences(expected.facts, received.facts) if expected.facts and received.facts else ())
    ]
    return Explanation(
        (*head, *lines, *rest, accept),
        "\n".join([*head, *facts, "", found.details or "\n".join(found.lines)]),
    )


def equal(shown: str, expected: Baseline, received: Baseline, comparator: str) -> Explanation:
    """``!=`` was asserted, and the comparator found no difference."""
    return Explanation((f"{title(received)} equals {_of(expected)}, compared as {comparator}: {shown}",))


def title(received: Baseline) -> str:
    """What is compared, for the start of a sentence."""
    names = {"reply": f"reply of {received.facts.get('model', '?')}", "text": "text", "json": "JSON value"}
    return names[received.kind]


def _of(expected: Baseline) -> str:
    return f"the baseline of {expected.facts['model']}" if "model" in expected.facts else "the baseline"


def update_command(item: pytest.Item, test_name: str, model: str) -> str:
    """The command that records this test's baselines with a model, to be run where pytest was started."""
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    function = test_name.removeprefix("".join(f"{name}." for name in classes))
    file = relative(item.path, item.config.invocation_params.dir)
    return shlex.join(["pytest", "::".join([file, *classes, function]), "--llm-model", model, "--llm-update"])


def relative(path: Path, folder: Path) -> str:
    """The path as seen from a folder, with forward slashes; absolute where there is no way."""
    try:
        return os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:  # another drive
        return str(path)
