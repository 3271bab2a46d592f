"""A host that dies: innocent requests are asked again, and one that kills hosts fails alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.sabotage import DECODING, DIES_ONCE, POISON, errors_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sabotage import Scene

SIGNALS = ("SIGSEGV", "SIGABRT", "SIGKILL")


@pytest.mark.parametrize(("kind", "size"), [("SIGSEGV", "smollm"), ("SIGABRT", "tiny"), ("SIGKILL", "tiny")])
def test_killed_once_in_the_middle_of_several_replies(
    scene: Scene, kind: str, size: str, request: pytest.FixtureRequest
) -> None:
    scene.declare({"model": request.getfixturevalue(size)})
    scene.sabotage(DIES_ONCE.format(together=4, signal=kind), DECODING)
    scene.tests(
        """
        def test_many(llm):
            prompts = [f"Tell me about the number {i}" for i in range(6)]
            replies = llm.chat_many(prompts, max_tokens=12)
            alone = [llm.chat(prompt, max_tokens=12) for prompt in prompts]
            assert [reply.tokens for reply in replies] == [reply.tokens for reply in alone]

        def test_samples(llm):
            assert len(llm.sample("Hello", n=4, temperature=1.0, max_tokens=5).texts) == 4
        """
    )
    result = scene.run()
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    assert scene.notes("killed") == [kind]
    assert len(scene.notes("host")) == 2
    assert "model host" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("kind", SIGNALS)
def test_killed_once_under_two_workers(scene: Scene, tiny: Path, kind: str) -> None:
    scene.declare({"tiny": tiny})
    scene.sabotage(DIES_ONCE.format(together=2, signal=kind), DECODING)
    scene.tests(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_one(llm, number):
            assert llm.chat(f"Tell me about the number {number}", max_tokens=12).tokens
        """
    )
    result = scene.run("-n2")
    result.assert_outcomes(passed=6)
    assert result.ret == pytest.ExitCode.OK
    assert scene.notes("killed") == [kind]
    # Whoever is done first may have let go of the second host before the other worker has come.
    assert len(scene.notes("host")) in (2, 3)


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_poisonous_request_fails_alone(scene: Scene, smollm: Path, kind: str) -> None:
    """Two workers: the innocent request that was in flight with it is answered by the next host."""
    scene.declare({"smollm": smollm})
    deed = f"os.kill(os.getpid(), signal.{kind})"
    scene.sabotage(POISON.format(together=2, signal=kind, deed=deed), DECODING)
    scene.tests(
        """
        import pytest

        def test_poisonous(llm):
            llm.chat("POISON", max_tokens=12)

        @pytest.mark.parametrize("number", range(5))
        def test_innocent(llm, number):
            assert llm.chat(f"Tell me about the number {number}", max_tokens=12).tokens
        """
    )
    result = scene.run("-n2")
    result.assert_outcomes(passed=5, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_poisonous*"])
    assert scene.notes("killed") == [kind] * 2
    message = errors_of(result)
    how = {"SIGKILL": "was killed by SIGKILL (perhaps out of memory)"}.get(kind, f"was killed by {kind}")
    assert message.startswith("pytest_llmcheck.EngineError: the model host of 'smollm' (process ")
    assert f") {how} while it was working on this request; the next test starts a new one" in message
    assert "end of its log:" in message
    if kind != "SIGKILL":
        said = {"SIGSEGV": "Segmentation fault", "SIGABRT": "Aborted"}[kind]
        assert f"Fatal Python error: {said}" in message


def test_a_poisonous_request_among_many(scene: Scene, smollm: Path) -> None:
    """One process: the call fails with it, and the tests around go on."""
    scene.declare({"smollm": smollm})
    deed = "os.kill(os.getpid(), signal.SIGABRT)"
    scene.sabotage(POISON.format(together=1, signal="SIGABRT", deed=deed), DECODING)
    scene.tests(
        """
        def test_before(llm):
            assert llm.chat("Hello", max_tokens=5).tokens

        def test_poisonous(llm):
            llm.chat_many(["One", "Two", "POISON", "Four", "Five"], max_tokens=12)

        def test_after(llm):
            assert len(llm.chat_many(["One", "Two", "Four", "Five"], max_tokens=12)) == 4
        """
    )
    result = scene.run()
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "was killed by SIGABRT while it was working on this request" in errors_of(result)
    assert scene.notes("killed") == ["SIGABRT"] * 2
    assert len(scene.notes("host")) == 3
