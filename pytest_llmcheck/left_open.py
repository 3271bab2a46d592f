"""What fixtures leave undecided, they leave undecided for every test that uses them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_llmcheck.session.recorder import Recorder
    from pytest_llmcheck.verdict import Verdict


class LeftOpen:
    """Verdicts that fixtures of this process have left undecided.

    Args:
        recorder: hears the verdicts while a fixture is being made.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._verdicts: dict[tuple[str, str], tuple[Verdict, ...]] = {}

    @contextmanager
    def making(self, fixture: str, node: Any) -> Iterator[None]:
        """While a fixture of this test, class, module or session is being made."""
        before = len(self._recorder.undecided)
        yield
        if undecided := self._recorder.undecided[before:]:
            self._verdicts[fixture, node.nodeid] = undecided
        else:
            self._verdicts.pop((fixture, node.nodeid), None)

    def inherit(self, item: pytest.Item) -> None:
        """What a fixture of a wider scope has left open, it leaves open for every test that uses it."""
        known = self._recorder.undecided
        for node in item.listchain() if self._verdicts else ():
            for fixture in getattr(item, "fixturenames", ()):
                for verdict in self._verdicts.get((fixture, node.nodeid), ()):
                    # The test for which it was made has heard it already.
                    if not any(verdict is other for other in known):
                        self._recorder.judged(verdict)
