"""What a benchmark is asked on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_llmcheck.models.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        rounds: interleaved rounds; every figure is the median of the ratios of all rounds.
        quick: few requests and few tokens, to see that everything works; not a measurement.
        quants: rungs of the ladder.
        device: where the weights are.
        threads: of every side of a comparison.
    """

    rounds: int = 5
    quick: bool = False
    quants: tuple[str, ...] = ("Q8_0", "Q4_K_M")
    device: Literal["cpu", "gpu"] = "cpu"
    threads: int = field(default_factory=usable_cores)


def parser() -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    made = argparse.ArgumentParser(description="Ratios within one run; nothing else should be running.")
    made.add_argument("--rounds", type=int, help="interleaved rounds (5; with --quick 1)")
    made.add_argument("--quick", action="store_true", help="tiny settings, to see that everything works")
    made.add_argument("--quants", default="Q8_0,Q4_K_M", help="rungs of the ladder, separated by commas")
    made.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    return made


def from_arguments(given: argparse.Namespace) -> Options:
    """What was given, with the defaults of the rest."""
    rounds = given.rounds if given.rounds is not None else 1 if given.quick else 5
    if rounds < 1:
        raise SystemExit("--rounds must be at least 1")
    return Options(
        rounds=rounds, quick=given.quick, quants=tuple(given.quants.split(",")), device=given.device
    )


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of one benchmark."""
    return from_arguments(parser().parse_args(arguments))
