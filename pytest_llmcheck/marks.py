"""What `@pytest.mark.llm(...)` says of a test, a fixture, and of what is running right now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.items import n_ctx_in_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.session.settings import Marked, MarkSettings

MARK = "llm"

_KNOWN = pytest.StashKey[tuple[tuple[pytest.Mark, ...], "Marked"]]()


def marked(node: pytest.Item | pytest.Collector) -> Marked:
    """What the marks of a test, or of a class, module or session, say; the closest wins, keyword by keyword.

    Raises:
        ConfigError: a mark is wrong.
    """
    # A mark may be added at any time; else what a test asks is merged once, not at each question.
    all_marks = tuple(mark for parent in node.listchain() for mark in parent.own_markers)
    known = node.stash.get(_KNOWN, None)
    if known is not None and known[0] == all_marks:
        return known[1]
    told = _merged(node)
    node.stash[_KNOWN] = all_marks, told
    return told


def _merged(node: pytest.Item | pytest.Collector) -> Marked:
    from pytest_llmcheck.session.settings import merge

    # pytest puts the marks of a parameter after those of its function, though they say more.
    callspec = getattr(node, "callspec", None)
    of_parameter = [] if callspec is None else [mark for mark in callspec.marks if mark.name == MARK]
    marks = [(mark.args, mark.kwargs) for mark in (*of_parameter, *node.iter_markers(MARK))]
    return merge(marks, node.nodeid)


def settings_at(nodes: Sequence[pytest.Item | pytest.Collector]) -> MarkSettings:
    """What the marks say of the innermost node; where they have several context lengths, the running test's.

    Args:
        nodes: the test that is running, and the nodes of the fixtures that are being made for it.

    Raises:
        ConfigError: a mark is wrong, or has several context lengths and the test is not run once for each.
    """
    from pytest_llmcheck.session.settings import MarkSettings, at_n_ctx

    if not nodes:
        return MarkSettings()
    innermost = nodes[-1]
    told = marked(innermost)
    here = n_ctx_in_id(innermost)
    if not told.ladder and here is None:
        # Also a fixture of a module without context lengths, for a test that has some.
        return told.settings
    running = next((found for node in reversed(nodes) if (found := n_ctx_in_id(node)) is not None), None)
    return at_n_ctx(told, running, innermost.nodeid)
