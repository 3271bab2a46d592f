"""What is asked of engines, and what the reply cache spares them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_llmcheck.engines.llama.settings import ContextSettings, HostSettings, Info, Settings
from pytest_llmcheck.engines.types import Completion, Request, ScoreRequest, Scoring
from pytest_llmcheck.errors import EngineError, PromptError
from pytest_llmcheck.models import ModelSpec
from pytest_llmcheck.session.answers import Answers
from pytest_llmcheck.session.cache import Mode, ReplyCache
from pytest_llmcheck.session.pool import Pool, settings_of
from tests.support.replies import NUMERICS, TIMINGS, sha

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = Settings(
    name="m",
    weights=sha("m"),
    host=HostSettings(path="/models/m.gguf"),
    context=ContextSettings(n_ctx=512),
)
INFO = Info(
    build="llama-cpp-python 0.3.36",
    device="CPU",
    numerics=NUMERICS,
    n_vocab=259,
    end_of_generation=("<|im_end|>",),
    load_seconds=0.1,
)


class Ticket:
    """An answer that is there, or an error in its place."""

    def __init__(self, answer: Completion | Exception) -> None:
        self._answer = answer
        self.asked = self.cancelled = False

    def result(self) -> Completion:
        self.asked = True
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def cancel(self) -> None:
        self.cancelled = True


class FakeEngine:
    """Answers with the prompt; a prompt that starts with "!" is an error."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.scored: list[ScoreRequest] = []

    def submit(self, request: Request) -> Ticket:
        failing = request.prompt.startswith("!")
        made = Ticket(PromptError(request.prompt) if failing else completion(request.prompt))
        self.tickets[request.prompt] = made
        return made

    def score(self, request: ScoreRequest) -> Scoring:
        self.scored.append(request)
        return Scoring(tokens=(), prompt_ids=(1,), timings=TIMINGS)


class FakePool:
    """Counts how often an engine was wanted."""

    def __init__(self, info: Info = INFO) -> None:
        self.fake = FakeEngine()
        self.info = info
        self.loaded = 0
        self.closed = False

    def engine(self, settings: Settings) -> tuple[FakeEngine, Info]:
        self.loaded += 1
        return self.fake, self.info

    def close(self) -> None:
        self.closed = True


def completion(text: str) -> Completion:
    return Completion(text=text, finish_reason="stop", tokens=(), end=None, prompt_ids=(1,), timings=TIMINGS)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[Answers, FakePool]]]:
    """Answers of one more run with the same cache file."""
    made: list[Answers] = []

    def one(mode: Mode = "on", info: Info = INFO) -> tuple[Answers, FakePool]:
        pool = FakePool(info)
        answers = Answers(pool, ReplyCache(tmp_path / "replies.sqlite", mode=mode))  # type: ignore[arg-type]
        made.append(answers)
        return answers, pool

    yield one
    for answers in made:
        answers.close()


def asked(*prompts: str) -> list[Request]:
    return [Request(prompt=prompt) for prompt in prompts]


def test_only_what_is_not_known_is_asked(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, pool = make()
    assert answers.complete(MODEL, asked("a", "c")) == [(completion("a"), False), (completion("c"), False)]
    answers, pool = make()
    done = answers.complete(MODEL, asked("a", "b", "c", "d"))
    assert [(one.text, cached) for one, cached in done] == [
        ("a", True),
        ("b", False),
        ("c", True),
        ("d", False),
    ]
    assert [*pool.fake.tickets] == ["b", "d"]


def test_what_is_known_needs_no_engine(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, _ = make()
    answers.complete(MODEL, asked("a"))
    answers.score(MODEL, ScoreRequest(prompt="a", continuation="b"))
    answers, pool = make()
    assert answers.info(MODEL) == INFO
    assert answers.complete(MODEL, asked("a"))[0][1]
    assert answers.score(MODEL, ScoreRequest(prompt="a", continuation="b"))[1]
    assert pool.loaded == 0


def test_nothing_to_ask(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, pool = make()
    assert answers.complete(MODEL, []) == []
    assert pool.fake.tickets == {}


def test_the_hosts_own_info_wins(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    """The cache remembers what a host has said; a host that says otherwise is right, and is remembered."""
    answers, _ = make()
    answers.complete(MODEL, asked("a"))
    other = msgspec.structs.replace(
        INFO, device="GPU 0", numerics=msgspec.structs.replace(NUMERICS, processor="GPU 0")
    )
    answers, _ = make(info=other)
    assert answers.info(MODEL) == INFO
    assert [cached for _, cached in answers.complete(MODEL, asked("b"))] == [False]
    assert answers.info(MODEL) == other
    # With those numerics nothing is known of the first prompt; the second was kept under them.
    assert [cached for _, cached in answers.complete(MODEL, asked("a", "b"))] == [False, True]
    answers, pool = make()
    assert answers.info(MODEL) == other
    assert [cached for _, cached in answers.complete(MODEL, asked("a", "b"))] == [True, True]
    assert pool.loaded == 0


def test_one_that_fails_gives_up_the_rest(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, pool = make()
    with pytest.raises(PromptError, match="!c"):
        answers.complete(MODEL, asked("a", "b", "!c", "d", "!e"))
    tickets = pool.fake.tickets
    assert [ticket.asked for ticket in tickets.values()] == [True, True, True, False, False]
    # The one that has failed is not waited for either; to give it up as well does no harm.
    assert [ticket.cancelled for ticket in tickets.values()] == [False, False, True, True, True]
    answers, _ = make()
    done = answers.complete(MODEL, asked("a", "b", "d"))
    assert [cached for _, cached in done] == [True, True, False]


@pytest.mark.parametrize("way", ["read_rows", "write_rows"])
def test_rows_are_always_asked_for(make: Callable[..., tuple[Answers, FakePool]], way: str) -> None:
    answers, pool = make()
    fields: dict[str, Any] = {way: "/tmp/rows"}
    request = ScoreRequest(prompt="a", continuation="b", **fields)
    assert [answers.score(MODEL, request)[1] for _ in range(2)] == [False, False]
    assert pool.fake.scored == [request] * 2


def test_only_asks_nobody(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, _ = make()
    answers.complete(MODEL, asked("a"))
    answers, pool = make("only")
    assert answers.complete(MODEL, asked("a"))[0][1]
    with pytest.raises(EngineError, match="not in the reply cache: the reply of model 'm' to the prompt 'b'"):
        answers.complete(MODEL, asked("a", "b"))
    other = msgspec.structs.replace(MODEL, name="n", weights=sha("n"))
    with pytest.raises(EngineError, match="what decides the replies of model 'n'"):
        answers.info(other)
    assert pool.loaded == 0


@pytest.mark.parametrize("mode", ["off", "refresh"])
def test_off_and_refresh_ask_again(make: Callable[..., tuple[Answers, FakePool]], mode: Mode) -> None:
    make()[0].complete(MODEL, asked("a"))
    answers, pool = make(mode)
    assert answers.complete(MODEL, asked("a")) == [(completion("a"), False)]
    assert pool.loaded == 2  # for what it says of itself, and for the answer


def test_closing_closes_both(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, pool = make()
    answers.complete(MODEL, asked("a"))
    answers.close()
    answers.close()
    assert pool.closed


def test_requests_given_up_free_their_slots(tiny: Path, tmp_path: Path) -> None:
    """With a real host: one of many is too long; the others are not worked on any more."""
    pool = Pool(None, None)
    answers = Answers(pool, ReplyCache(tmp_path / "replies.sqlite", mode="off"))
    settings = settings_of(pool.resolve(ModelSpec(name="tiny", gguf=str(tiny), n_ctx=1024)), None)
    endless = [Request(prompt=f"number {i}", max_tokens=900) for i in range(12)]
    with pytest.raises(PromptError, match="the context holds 1024"):
        answers.complete(settings, [Request(prompt="x" * 2000), *endless])
    done = [one for one, _ in answers.complete(settings, [Request(prompt="next", max_tokens=3)])]
    assert len(done[0].tokens) <= 3
    answers.close()


def test_threads_may_ask_at_once(make: Callable[..., tuple[Answers, FakePool]]) -> None:
    answers, _ = make()
    said: list[str] = []

    def ask(number: int) -> None:
        said.extend(one.text for one, _ in answers.complete(MODEL, asked("same", f"own {number}")))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted(["same"] * 8 + [f"own {number}" for number in range(8)])
