"""The model host: lives, answers, dies, and is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import psutil
import pytest
import scipy.stats
from scipy.special import softmax

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.engines.llama.line import describe_exit
from pytest_llmcheck.engines.types import Request, Sampling, ScoreRequest
from pytest_llmcheck.errors import EngineError, PromptError
from tests.support.engines import engine, words
from tests.support.gguf_files import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.client import LlamaEngine

LONG = Request(prompt="hello", max_tokens=8000, sampling=Sampling(temperature=2.0, top_k=0, seed=3))


@pytest.fixture
def small(tiny: Path, short_tmp: Path) -> Iterator[LlamaEngine]:
    made = engine(tiny, short_tmp)
    yield made
    made.close()


@pytest.fixture
def slow(smollm: Path, short_tmp: Path) -> Iterator[LlamaEngine]:
    """A model that takes more than a minute for `LONG`."""
    made = engine(smollm, short_tmp, n_ctx=8192)
    yield made
    made.close()


def started(made: LlamaEngine) -> int:
    made.load()
    assert made.pid is not None
    return made.pid


def gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


class Killer:
    """Sends a signal to every host that an engine starts, once each has been decoding for a moment."""

    def __init__(self, made: LlamaEngine, kind: signal.Signals, times: int) -> None:
        self.pids: list[int] = []
        self._made, self._kind, self._times = made, kind, times
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        deadline = time.monotonic() + 60
        while len(self.pids) < self._times and time.monotonic() < deadline:
            pid = self._made.pid
            if pid is None or pid in self.pids:
                time.sleep(0.02)
                continue
            time.sleep(0.8)
            self.pids.append(pid)
            os.kill(pid, self._kind)

    def join(self) -> None:
        self._thread.join()


def test_answers_with_tokens_alternatives_and_timings(small: LlamaEngine) -> None:
    done = small.complete(Request(prompt="hello there", max_tokens=7, top_logprobs=3))
    assert 1 <= len(done.tokens) <= 7
    assert done.finish_reason == ("stop" if done.end else "length")
    for token in done.tokens:
        assert token.top[0].id == token.id
        assert token.top[0].logprob == token.logprob <= 0
        assert [a.logprob for a in token.top] == sorted((a.logprob for a in token.top), reverse=True)
    assert done.timings.prompt_tokens == len(done.prompt_ids) == 11
    assert 0 < done.timings.prefill <= done.timings.ttft <= done.timings.total


def test_says_what_it_is(small: LlamaEngine) -> None:
    info = small.load()
    assert info.device == "CPU"
    assert info.build.startswith("llama-cpp-python 0.3.")
    assert (info.numerics.grid, info.numerics.width, info.numerics.rows) == (64, 4, "2")
    assert "<|im_end|>" in info.end_of_generation


def test_loading_reports_progress(tiny: Path, short_tmp: Path) -> None:
    seen: list[tuple[str, float]] = []
    made = engine(tiny, short_tmp, progress=lambda stage, fraction: seen.append((stage, fraction)))
    made.load()
    made.close()
    assert seen[-1] == ("loading tiny", 1.0)


def test_workers_share_a_host_and_it_ends_with_the_last(tiny: Path, short_tmp: Path) -> None:
    first, second = engine(tiny, short_tmp), engine(tiny, short_tmp)
    assert first.load() == second.load()
    pid = first.pid
    assert pid is not None
    assert second.pid == pid
    first.close()
    assert second.complete(Request(prompt="x", max_tokens=2)).tokens
    second.close()
    assert gone(pid)


def test_contexts_share_the_weights(tiny: Path, short_tmp: Path) -> None:
    first, second = engine(tiny, short_tmp), engine(tiny, short_tmp, n_ctx=512, kv=("f32", "f32"))
    assert first.load().numerics.cache == "f16/f16"
    assert second.load().numerics.cache == "f32/f32"
    assert first.pid == second.pid
    with pytest.raises(PromptError, match="the context holds 512"):
        second.complete(Request(prompt="x" * 600))
    assert first.complete(Request(prompt="x" * 600, max_tokens=1)).tokens
    first.close()
    second.close()


def test_different_weights_do_not_share(tiny: Path, short_tmp: Path) -> None:
    first, second = engine(tiny, short_tmp), engine(tiny, short_tmp, width=8)
    first.load()
    second.load()
    assert first.pid != second.pid
    first.close()
    second.close()


def test_host_is_in_a_session_of_its_own(small: LlamaEngine) -> None:
    small.load()
    assert small.pid is not None
    assert os.getsid(small.pid) == small.pid != os.getsid(0)


def test_requests_of_many_threads_are_all_answered(small: LlamaEngine) -> None:
    asked = Request(prompt="the same", max_tokens=6)
    alone = small.complete(asked)
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(small.complete(asked).tokens)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [alone.tokens] * 8


def test_killed_once_it_is_asked_again(slow: LlamaEngine) -> None:
    first = started(slow)
    killer = Killer(slow, signal.SIGKILL, times=1)
    asked = msgspec.structs.replace(LONG, max_tokens=150)
    done = slow.complete(asked)
    killer.join()
    assert killer.pids == [first]
    assert slow.pid != first
    assert slow.complete(asked).tokens == done.tokens


def test_killed_again_it_fails(slow: LlamaEngine) -> None:
    slow.load()
    killer = Killer(slow, signal.SIGKILL, times=2)
    with pytest.raises(EngineError) as error:
        slow.complete(LONG)
    killer.join()
    message = str(error.value)
    assert f"(process {killer.pids[1]}) was killed by SIGKILL (perhaps out of memory)" in message
    assert "while it was working on this request; the next test starts a new one" in message
    assert "end of its log:" in message
    assert slow.complete(Request(prompt="again", max_tokens=3)).tokens


@pytest.mark.parametrize("kind", [signal.SIGSEGV, signal.SIGABRT])
def test_the_signal_is_named(slow: LlamaEngine, kind: signal.Signals) -> None:
    slow.load()
    killer = Killer(slow, kind, times=2)
    with pytest.raises(EngineError, match=f"was killed by {kind.name}"):
        slow.complete(LONG)
    killer.join()


@pytest.mark.parametrize("kind", [signal.SIGSEGV, signal.SIGKILL])
def test_the_signal_is_known_to_those_who_did_not_start_the_host(
    slow: LlamaEngine, smollm: Path, short_tmp: Path, kind: signal.Signals
) -> None:
    pid = started(slow)
    other = engine(smollm, short_tmp, n_ctx=8192)
    other.load()
    assert other.pid == pid
    line = other._line
    assert line is not None
    os.kill(pid, kind)
    assert gone(pid)
    assert kind.name in line.how_it_ended(other._starter.log(pid))
    other.close()


def test_stopped_host_counts_as_hung(smollm: Path, short_tmp: Path) -> None:
    made = engine(smollm, short_tmp, patience=3.0, n_ctx=8192)
    made.load()
    killer = Killer(made, signal.SIGSTOP, times=2)
    with pytest.raises(EngineError, match=r"did not answer for \d+ s and was killed"):
        made.complete(LONG)
    killer.join()
    assert all(gone(pid) for pid in killer.pids)
    assert made.complete(Request(prompt="again", max_tokens=3)).tokens
    made.close()


def test_time_limit_is_the_hosts_own(slow: LlamaEngine) -> None:
    pid = started(slow)
    limited = msgspec.structs.replace(LONG, timeout=0.5)
    with pytest.raises(EngineError, match=r"no reply within the time limit of 0\.5 s .*raise `timeout`"):
        slow.complete(limited)
    assert slow.pid == pid


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A suite that a shell has started in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_client_cancels(slow: LlamaEngine) -> None:
    """Ctrl-C in the test process: the host gives up and serves the next request at once."""
    slow.load()
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        slow.complete(LONG)
    began = time.monotonic()
    assert slow.complete(Request(prompt="again", max_tokens=2)).tokens
    assert time.monotonic() - began < 20.0


def test_host_ends_when_its_client_is_killed(tiny: Path, short_tmp: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.support.engines import engine\n"
        f"made = engine(Path({str(tiny)!r}), Path({str(short_tmp)!r}))\n"
        "made.load(); print(made.pid, flush=True)\n"
        "time.sleep(60)"
    )
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    with client.stdout:
        pid = int(client.stdout.readline())
    assert psutil.pid_exists(pid)
    client.kill()
    client.wait()
    assert gone(pid)


def test_prompt_that_does_not_fit(small: LlamaEngine) -> None:
    with pytest.raises(PromptError) as error:
        small.complete(Request(prompt="x" * 2000))
    assert str(error.value) == (
        "model 'tiny': the prompt has 2000 tokens and the context holds 1024, the reply included: shorten "
        "the messages, or raise n_ctx above 2000 for this model or test"
    )
    assert small.complete(Request(prompt="x", max_tokens=1)).tokens


def test_empty_prompt(small: LlamaEngine) -> None:
    with pytest.raises(PromptError, match="the prompt is empty"):
        small.complete(Request(prompt=""))


def test_context_that_fills_up(tiny: Path, short_tmp: Path) -> None:
    made = engine(tiny, short_tmp, n_ctx=256)
    flood = Request(prompt="x" * 250, max_tokens=100, sampling=Sampling(temperature=5.0, top_k=0, seed=1))
    done = made.complete(flood)
    made.close()
    assert done.finish_reason in ("context", "stop")
    assert len(done.tokens) <= 7


def test_unknown_architecture_says_so(tmp_path: Path, short_tmp: Path) -> None:
    path = tiny_llama(tmp_path / "strange.gguf", architecture="strangeformer", context=1024)
    made = engine(path, short_tmp)
    with pytest.raises(EngineError) as error:
        made.load()
    assert "unknown model architecture: 'strangeformer'" in str(error.value)
    assert "Is the file whole" in str(error.value)
    made.close()


def test_gpu_that_is_not_there(tiny: Path, short_tmp: Path) -> None:
    made = engine(tiny, short_tmp, device="gpu")
    with pytest.raises(EngineError, match=r"asks for a GPU, but .*Rebuild it with CMAKE_ARGS"):
        made.load()
    made.close()


def test_width_of_one_names_the_threads(tiny: Path, short_tmp: Path) -> None:
    made = engine(tiny, short_tmp, width=1)
    assert made.load().numerics.rows == "1, 2 threads"
    made.close()


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">I", 2**31) + b"x",
        struct.pack(">I", 3) + b"\xc1\xc1\xc1",
        struct.pack(">I", 5) + msgspec.msgpack.encode({"a": 1})[:5].ljust(5, b"\0"),
    ],
    ids=["too long", "not MessagePack", "not a message"],
)
def test_strangers_are_dropped_and_others_served(small: LlamaEngine, short_tmp: Path, frame: bytes) -> None:
    small.load()
    path = next(short_tmp.glob("*.sock"))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(str(path))
        stranger.sendall(frame)
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert small.complete(Request(prompt="x", max_tokens=1)).tokens


@pytest.mark.parametrize(
    "greeting",
    [
        protocol.Hello(protocol.VERSION, "0" * 32),
        protocol.Ping(1),
        protocol.Hello(protocol.VERSION, "x" * 5000),
    ],
    ids=["wrong secret", "no greeting", "too long"],
)
def test_who_does_not_belong_to_the_run_is_refused(
    small: LlamaEngine, short_tmp: Path, greeting: protocol.Message
) -> None:
    small.load()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(str(next(short_tmp.glob("*.sock"))))
        protocol.send(stranger, greeting)
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert small.complete(Request(prompt="x", max_tokens=1)).tokens
    (log,) = short_tmp.glob("*.log")
    assert "refusing a client: " in log.read_text(encoding="utf-8")


def test_the_secret_and_the_socket_are_the_users_own(small: LlamaEngine, short_tmp: Path) -> None:
    small.load()
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in short_tmp.iterdir()}
    assert modes[".sock"] == 0o600
    assert (short_tmp / "secret").stat().st_mode & 0o777 == 0o600
    assert short_tmp.stat().st_mode & 0o077 == 0


def test_another_version_is_refused(small: LlamaEngine, short_tmp: Path) -> None:
    small.load()
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(5)
        other.connect(str(next(short_tmp.glob("*.sock"))))
        protocol.send(other, protocol.Hello(99, protocol.secret_of(short_tmp)))
        body = protocol.receive(other)
        assert body is not None
        assert protocol.from_host.decode(body) == protocol.Welcome(protocol.VERSION, small.pid or 0)
        assert protocol.receive(other) is None


def test_stale_socket_is_replaced(tiny: Path, short_tmp: Path) -> None:
    made = engine(tiny, short_tmp)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(made._starter._socket))
    made.load()
    made.close()


def test_host_that_cannot_start_says_why(
    tiny: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EngineError, match="the model host cannot start: it ended with exit status 1"):
        engine(tiny, short_tmp).load()


def test_exit_statuses_in_words() -> None:
    assert describe_exit(3) == "ended with exit status 3"
    assert describe_exit(-6) == "was killed by SIGABRT"


def test_tokenises_control_tokens(small: LlamaEngine) -> None:
    assert small.tokenise("<|im_start|>a") == (1, 3 + ord("a"))


def test_words_are_about_as_many_tokens(slow: LlamaEngine) -> None:
    assert abs(len(slow.tokenise(words(150))) - 150) < 15


def test_many_are_decoded_together_and_each_as_if_alone(small: LlamaEngine) -> None:
    # Long enough that the first is not finished before the last has come.
    wild = [Sampling(temperature=2.0, top_k=0, seed=i) for i in range(10)]
    asked = [Request(prompt="number", max_tokens=400, sampling=sampling) for sampling in wild]
    alone = [small.complete(one).tokens for one in asked]
    together = [ticket.result() for ticket in [small.submit(one) for one in asked]]
    assert [done.tokens for done in together] == alone
    assert max(done.timings.company for done in together) == 3


def test_a_client_that_dies_frees_its_slots(smollm: Path, short_tmp: Path) -> None:
    made = engine(smollm, short_tmp, n_ctx=8192)
    made.load()
    program = (
        "import sys, time; from pathlib import Path; from tests.support.engines import engine\n"
        "from tests.engines.test_host import LONG\n"
        f"made = engine(Path({str(smollm)!r}), Path({str(short_tmp)!r}), n_ctx=8192)\n"
        "tickets = [made.submit(LONG) for _ in range(4)]; print('asked', flush=True)\n"
        "time.sleep(60)"
    )
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == "asked\n"
    time.sleep(1.0)
    client.kill()
    client.wait()
    began = time.monotonic()
    done = made.complete(Request(prompt="hello", max_tokens=3))
    assert time.monotonic() - began < 20.0
    assert done.timings.company == 0
    made.close()


def test_scoring_agrees_with_what_was_generated(small: LlamaEngine) -> None:
    done = small.complete(Request(prompt="hello there", max_tokens=12, top_logprobs=4))
    ids = tuple(token.id for token in done.tokens)
    scored = small.score(ScoreRequest(prompt="hello there", continuation=ids, top_logprobs=4))
    assert [token.id for token in scored.tokens] == [*ids]
    for generated, given in zip(done.tokens, scored.tokens, strict=True):
        # Other numbers of rows, other kernels: close, and not equal bits.
        assert given.logprob == pytest.approx(generated.logprob, abs=1e-3)
        assert given.top[0].id == generated.id
    assert scored.timings.decode == 0.0


@pytest.mark.parametrize(
    ("continuation", "message"),
    [
        ((), "the continuation is empty"),
        ("", "the continuation is empty"),
        ((5, 999_999), "token 999999 of the continuation is not in the vocabulary"),
        (tuple([5] * 1025), r"have 1 \+ 1025 tokens and the context holds 1024"),
    ],
)
def test_continuations_that_cannot_be_scored(
    small: LlamaEngine, continuation: str | tuple[int, ...], message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        small.score(ScoreRequest(prompt="x", continuation=continuation))


def test_rows_of_one_model_are_compared_by_another(tiny: Path, short_tmp: Path, tmp_path: Path) -> None:
    first = engine(tiny, short_tmp)
    second = engine(tiny_llama(tmp_path / "b.gguf", seed=9, context=1024), short_tmp)
    path = short_tmp / "rows"
    asked = ScoreRequest(prompt="hello", continuation="a text that is compared, token by token")
    first.score(msgspec.structs.replace(asked, write_rows=str(path)))
    rows = np.fromfile(path, dtype=np.float32)
    scored = second.score(msgspec.structs.replace(asked, read_rows=str(path)))
    assert rows.size == len(scored.tokens) * second.load().n_vocab
    assert all(value > 0 for value in scored.divergence)
    again = first.score(msgspec.structs.replace(asked, read_rows=str(path)))
    assert max(abs(value) for value in again.divergence) < 1e-12
    assert all(again.same_top)
    # What the reader found is what the definition gives for the rows of both.
    other = short_tmp / "others"
    second.score(msgspec.structs.replace(asked, write_rows=str(other)))
    p, q = (np.fromfile(one, dtype=np.float32).reshape(len(scored.tokens), -1) for one in (path, other))
    expected = scipy.stats.entropy(softmax(p, axis=1), softmax(q, axis=1), axis=1)
    assert np.allclose(scored.divergence, expected, rtol=1e-5)
    first.close()
    second.close()


def test_rows_of_another_vocabulary_are_refused(small: LlamaEngine, short_tmp: Path) -> None:
    (short_tmp / "rows").write_bytes(b"1234")
    with pytest.raises(EngineError, match="the two models have different vocabularies"):
        small.score(ScoreRequest(prompt="x", continuation="abc", read_rows=str(short_tmp / "rows")))


def test_unfinished_rows_leave_no_file(small: LlamaEngine, short_tmp: Path) -> None:
    with pytest.raises(EngineError, match="No such file"):
        small.score(ScoreRequest(prompt="x", continuation="abc", write_rows=str(short_tmp / "no" / "rows")))
    assert not list(short_tmp.glob("*.part"))
