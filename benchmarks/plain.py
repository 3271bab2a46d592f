"""64 chats without log-probabilities against a loop over `create_chat_completion`; how: see `sides`."""

from __future__ import annotations

from benchmarks import table
from benchmarks.loop import loop
from benchmarks.options import Options, parse
from benchmarks.sides import contest, ours


def main(options: Options | None = None) -> None:
    """Print the ratios for each model."""
    options = options or Options()
    how = "As with log-probabilities, but without them on both sides."
    table.begin("64 chats without log-probabilities, against the plain loop", how, options)
    mine = {"width 4": (ours(0), 1.4), "width 8": (ours(0, width=8), 1.6)}
    contest(options, mine, ("the loop", loop(0)), share=0.5)


if __name__ == "__main__":
    main(parse())
