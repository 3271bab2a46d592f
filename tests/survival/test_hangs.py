"""A host that hangs: a time limit with the reason, and the other tests go on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.sabotage import DECODING, POISON, errors_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sabotage import Scene

IMPATIENT = """
    from pytest_llmcheck.engines.llama.client import LlamaEngine

    LlamaEngine.__init__.__kwdefaults__["patience"] = 4.0
"""
TESTS = """
    import pytest

    def test_poisonous(llm):
        llm.chat("POISON", max_tokens=12)

    @pytest.mark.parametrize("number", range(3))
    def test_innocent(llm, number):
        assert llm.chat(f"Tell me about the number {number}", max_tokens=12).tokens
"""


def test_a_host_that_is_stopped(scene: Scene, smollm: Path) -> None:
    """Two workers, one of them in company of the request under which it stops."""
    scene.declare({"smollm": smollm})
    scene.pytester.makeconftest(IMPATIENT)
    deed = "os.kill(os.getpid(), signal.SIGSTOP)"
    scene.sabotage(POISON.format(together=2, signal="SIGSTOP", deed=deed), DECODING)
    scene.tests(TESTS)
    result = scene.run("-n2")
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert re.search(
        # Whichever of the two workers has lost patience first.
        r"the model host of 'smollm' \(process \d+\) did not answer for \d+ s and was killed"
        r"(?: while it was working on this request)?; the next test starts a new one",
        errors_of(result),
    )
    assert len(scene.notes("host")) == 3
    assert not scene.processes


def test_a_call_that_never_returns(scene: Scene, tiny: Path) -> None:
    scene.declare({"tiny": tiny}, top="timeout = 3")
    scene.pytester.makeconftest(IMPATIENT)
    deed = "scheduler._working()\n        while True:\n            time.sleep(0.1)"
    scene.sabotage(POISON.format(together=1, signal="hangs", deed=deed), DECODING)
    scene.tests(TESTS)
    result = scene.run()
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert re.search(
        r"the model host of 'tiny' \(process \d+\) has been in one call of llama\.cpp for \d+ s "
        r"\(time limit 3 s\) and was killed; the next test starts a new one",
        errors_of(result),
    )
    assert len(scene.notes("host")) == 3
    assert not scene.hosts
