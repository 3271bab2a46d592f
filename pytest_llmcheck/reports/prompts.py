"""The prompts of a failed test, for a section of its report: what the model saw is the first suspect."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llmcheck.session.record import ReplyRecord

TITLE = "llmcheck prompt"

MOST = 3
"""How many different prompts of a test are shown, the last ones."""

CHARACTERS = 3000
"""How much of a prompt is shown; what is left out is left out of its middle."""


class _Asked(NamedTuple):
    text: str
    tokens: int
    replies: int


class Prompts:
    """The last prompts of one test, each once however often it was asked."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str, bool], _Asked] = {}
        self._dropped = 0

    def add(self, replies: Iterable[ReplyRecord]) -> None:
        """Replies of a phase of the test, in their order."""
        for reply in replies:
            key = (reply.fingerprint.model, reply.prompt, bool(reply.plain))
            before = self._asked.pop(key, None)
            count = 1 if before is None else before.replies + 1
            self._asked[key] = _Asked(reply.prompt, reply.timings.prompt_tokens, count)
        while len(self._asked) > MOST:
            self._asked.pop(next(iter(self._asked)))
            self._dropped += 1

    def section(self) -> str | None:
        """The prompts for people, the last one at the end; None where there are none."""
        if not self._asked:
            return None
        blocks = [
            f"{self._head(model, asked, plain=plain)}\n{_shown(asked.text)}".removesuffix("\n")
            for (model, _, plain), asked in self._asked.items()
        ]
        if self._dropped:
            blocks.insert(0, f"(the last {len(blocks)} of {len(blocks) + self._dropped} prompts)")
        return "\n\n".join(blocks)

    @staticmethod
    def _head(model: str, asked: _Asked, *, plain: bool) -> str:
        # A line break at the end decides much and shows nowhere else.
        end = ", ends with a line break" if asked.text.endswith("\n") else ""
        times = f", asked {asked.replies} times" if asked.replies > 1 else ""
        letters = ", control tokens of users and tools are letters" if plain else ""
        return f"[{model}: {asked.tokens:,} tokens, {len(asked.text):,} characters{end}{letters}{times}]"


_PROMPTS = pytest.StashKey[Prompts]()


def show_prompts(report: pytest.TestReport, item: pytest.Item, replies: Sequence[ReplyRecord]) -> None:
    """Remember what one phase of a test asked, and put it on the report if the test failed.

    Args:
        report: of the phase.
        item: the test.
        replies: that the phase got.
    """
    prompts = item.stash.setdefault(_PROMPTS, Prompts())
    prompts.add(replies)
    # A teardown that asked nothing fails for reasons of its own.
    if report.failed and (report.when == "call" or replies) and (shown := prompts.section()):
        report.sections.append((TITLE, shown))


def _shown(text: str) -> str:
    if len(text) <= CHARACTERS:
        return visible(text, keep="\n\t")
    half = CHARACTERS // 2
    left_out = f"\n[... {len(text) - 2 * half:,} characters left out ...]\n"
    return visible(text[:half], keep="\n\t") + left_out + visible(text[-half:], keep="\n\t")
