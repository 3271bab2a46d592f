"""What a host does with messages in any order: nobody is left without an answer or blamed wrongly."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_llmcheck.engines.llama import protocol
from pytest_llmcheck.engines.llama.connection import Asked
from pytest_llmcheck.engines.llama.service import Service
from pytest_llmcheck.engines.types import Request, Sampling, ScoreRequest
from pytest_llmcheck.models import check_fit
from tests.support.engines import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.settings import Settings

WILD = Sampling(temperature=2.0, top_k=0, seed=1)


class Client:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.gone = False
        self.cancelled: set[int] = set()
        self.heard: list[Any] = []

    def send(self, message: protocol.Message) -> None:
        self.heard.append(message)

    @property
    def told(self) -> list[tuple[str, int]]:
        kinds = [(getattr(m, "kind", type(m).__name__), m.id) for m in self.heard]
        return [(kind, id_) for kind, id_ in kinds if kind != "Progress"]


class House:
    """A service without a host around it, turned by hand."""

    def __init__(self, path: Path) -> None:
        self.service = Service(self)
        self.client = Client()
        self.first = settings(path)
        self.give(protocol.Load(0, self.first, wait=True))
        assert self.client.told == [("Loaded", 0)]
        self.client.heard.clear()

    def working(self) -> None:
        pass

    def give(self, message: Any) -> None:
        self.service.accept(Asked(self.client, message, perf_counter()))  # type: ignore[arg-type]  # as good

    def generate(self, id_: int, tokens: int = 5, *, alone: bool = False, of: Settings | None = None) -> None:
        request = Request(prompt="hello", max_tokens=tokens, sampling=WILD)
        self.give(protocol.Generate(id_, of or self.first, request, alone))

    def turn(self, count: int) -> None:
        for _ in range(count):
            self.service.turn()

    def finish(self) -> None:
        turns = 0
        while self.service.busy:
            self.service.turn()
            turns += 1
            assert turns < 5000, self.client.told


@pytest.fixture
def house(tiny: Path) -> Iterator[House]:
    made = House(tiny)
    yield made
    made.service.close()


def test_who_is_alone_is_alone_from_the_first_call_on(house: House) -> None:
    house.generate(1, 40)
    house.turn(3)
    house.generate(2, 40, alone=True)
    house.generate(3, 40)
    house.turn(5)
    # It waits for those before it, and lets nobody in.
    assert ("Begun", 2) not in house.client.told
    while ("Begun", 2) not in house.client.told:
        house.turn(1)
    assert ("Done", 1) in house.client.told
    # Not even tokenised: a prompt may be what ends the process.
    house.give(protocol.Tokenise(4, "words"))
    house.turn(3)
    assert [id_ for _, id_ in house.client.told] == [1, 2]
    house.finish()
    assert sorted(house.client.told) == [("Begun", 2), ("Done", 1), ("Done", 2), ("Done", 3), ("Tokens", 4)]
    assert house.client.told.index(("Done", 2)) < house.client.told.index(("Tokens", 4))


def test_one_alone_after_the_other(house: House) -> None:
    for id_ in (1, 2, 3):
        house.generate(id_, alone=True)
    house.client.cancelled.add(2)
    house.finish()
    assert house.client.told == [("Begun", 1), ("Done", 1), ("cancelled", 2), ("Begun", 3), ("Done", 3)]


def test_a_refused_request_alone_does_not_hold_up_the_rest(house: House) -> None:
    empty = Request(prompt="")
    house.give(protocol.Generate(1, house.first, empty, alone=True))
    house.generate(2)
    house.finish()
    house.generate(3)
    house.finish()
    assert house.client.told == [("Begun", 1), ("prompt", 1), ("Done", 2), ("Done", 3)]


def test_files_that_cannot_be_made_are_answers(house: House, tmp_path: Path) -> None:
    nowhere = ScoreRequest(prompt="x", continuation="abc", write_rows=str(tmp_path / "no" / "rows"))
    house.give(protocol.Rate(1, house.first, nowhere))
    house.give(protocol.Rate(2, house.first, msgspec.structs.replace(nowhere, write_rows="")))
    house.finish()
    assert house.client.told == [("engine", 1), ("Rated", 2)]


def test_contexts_of_one_host_take_turns(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_only(header: Any, spec: Any, available: int, **more: Any) -> Any:
        model = house.service._model
        assert model is not None
        return check_fit(header, spec, 0 if model.contexts else available, **more)

    monkeypatch.setattr("pytest_llmcheck.engines.llama.room.check_fit", one_only)
    second = msgspec.structs.replace(
        house.first, context=msgspec.structs.replace(house.first.context, n_ctx=512)
    )
    for id_ in range(1, 7):
        house.generate(id_, 30)
    house.turn(4)
    house.give(protocol.Load(10, second, wait=True))
    house.generate(11, of=second)
    assert not any(id_ >= 10 for _, id_ in house.client.told)
    house.finish()
    told = {id_: kind for kind, id_ in house.client.told}
    # The four that had slots are finished; those that waited are asked anew, behind who needed the room.
    assert [told[id_] for id_ in range(1, 7)] == ["Done"] * 4 + ["leaving"] * 2
    assert (told[10], told[11]) == ("Loaded", "Done")
    # And back again.
    house.client.heard.clear()
    house.generate(5)
    house.finish()
    assert house.client.told == [("Done", 5)]


def test_what_never_fits_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(header: Any, spec: Any, available: int, **more: Any) -> Any:
        return check_fit(header, spec, 0, **more)

    monkeypatch.setattr("pytest_llmcheck.engines.llama.room.check_fit", none)
    other = msgspec.structs.replace(
        house.first, context=msgspec.structs.replace(house.first.context, n_ctx=512)
    )
    house.give(protocol.Load(1, other, wait=True))
    assert house.client.told == [("room", 1)]


def test_an_error_nobody_thought_of_reaches_everybody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for id_ in range(6):
        house.generate(id_, 30)
    house.turn(8)
    (scheduler,) = house.service._schedulers.values()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no thread to stand on")

    monkeypatch.setattr(scheduler.context, "step", broken)
    house.finish()
    kinds = {kind for kind, _ in house.client.told}
    assert kinds == {"together"}
    assert len(house.client.told) == 6
    monkeypatch.undo()
    house.client.heard.clear()
    house.generate(9)
    house.finish()
    assert house.client.told == [("Done", 9)]


def test_a_state_that_cannot_be_saved_or_restored_is_only_a_detour(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = (
        "the shop page was down on monday, and then again on tuesday; who asked got no answer at all. " * 2
    )
    request = Request(prompt=prompt, max_tokens=5)

    def ask(id_: int) -> object:
        house.give(protocol.Generate(id_, house.first, request))
        house.finish()
        return house.client.heard[-1].completion

    first = ask(1)
    (scheduler,) = house.service._schedulers.values()

    def broken(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as saving:
        saving.setattr(scheduler.context, "save", broken)
        assert ask(2).tokens == first.tokens  # type: ignore[attr-defined]
    assert ask(3).tokens == first.tokens  # type: ignore[attr-defined]
    assert ask(4).timings.reused_tokens > 0  # type: ignore[attr-defined]

    def refused(*_: object) -> None:
        from pytest_llmcheck.errors import EngineError

        raise EngineError("llama.cpp cannot restore the state of slot 0")

    with monkeypatch.context() as restoring:
        restoring.setattr(scheduler.context, "restore", refused)
        assert ask(5).tokens == first.tokens  # type: ignore[attr-defined]
    assert scheduler.store.size == 0 or ask(6).tokens == first.tokens  # type: ignore[attr-defined]
