"""The number of threads follows the load of the machine."""

from __future__ import annotations

import pytest

from pytest_llmcheck.engines.llama.pace import Pace


class Machine:
    """Two cores; `busy` says how many other processes want one."""

    def __init__(self, cores: int = 2) -> None:
        self.cores = cores
        self.now = 0.0
        self.busy = 0

    def call(self, pace: Pace, work: float = 0.016) -> int:
        threads = pace.threads
        # Threads that find no core of their own hold up all others at every barrier.
        late = max(0, threads + self.busy - self.cores)
        seconds = work / threads * (1 if late == 0 else 8)
        self.now += seconds
        pace.took("step", seconds)
        return threads

    def calls(self, pace: Pace, count: int) -> list[int]:
        return [self.call(pace) for _ in range(count)]


def test_an_idle_machine_gets_all_threads_always() -> None:
    machine = Machine()
    pace = Pace(2, lambda: machine.now)
    assert set(machine.calls(pace, 1000)) == {2}


def test_a_busy_machine_gets_fewer_and_all_again_afterwards() -> None:
    machine = Machine()
    pace = Pace(2, lambda: machine.now)
    machine.calls(pace, 50)
    machine.busy = 1
    machine.calls(pace, 20)
    used = machine.calls(pace, 2000)
    assert used.count(1) > 0.95 * len(used)
    machine.busy = 0
    machine.calls(pace, 1000)
    assert set(machine.calls(pace, 200)) == {2}


def test_many_cores_are_given_up_by_halves() -> None:
    machine = Machine(cores=16)
    pace = Pace(16, lambda: machine.now)
    machine.calls(pace, 50)
    machine.busy = 10
    used = machine.calls(pace, 4000)[500:]
    assert sum(threads <= 6 for threads in used) > 0.9 * len(used)
    assert max(set(used), key=used.count) == 4


@pytest.mark.parametrize("slow", [1.3, 1.5])
def test_a_little_slower_is_no_reason(slow: float) -> None:
    pace = Pace(2, lambda: 0.0)
    for i in range(400):
        pace.took("step", 0.01 * (slow if i % 2 else 1.0))
        assert pace.threads == 2


def test_one_thread_stays_one() -> None:
    pace = Pace(1)
    for i in range(50):
        pace.took("step", 0.01 * (1 + i))
    assert pace.threads == 1


def test_calls_of_different_kinds_are_not_compared() -> None:
    pace = Pace(2, lambda: 0.0)
    for _ in range(100):
        pace.took(("step", 1), 0.01)
        pace.took(("chunk", 64), 0.1)
    assert pace.threads == 2
