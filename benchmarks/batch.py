"""64 chats with top-5 log-probabilities against a loop over `create_chat_completion`; how: see `sides`."""

from __future__ import annotations

from benchmarks import table
from benchmarks.loop import loop
from benchmarks.options import Options, parse
from benchmarks.sides import contest, ours


def main(options: Options | None = None) -> None:
    """Print the ratio for each model."""
    options = options or Options()
    how = (
        "64 different questions behind one system prompt, at most 48 tokens each, greedy, top-5 "
        "log-probabilities: our host given all at once, against a loop over "
        "`Llama.create_chat_completion(logprobs=True, top_logprobs=5)` on a quarter of them."
    )
    table.begin("64 chats with log-probabilities, against the plain loop", how, options)
    goal = 10.0 if options.device == "gpu" else 5.0
    contest(options, {"width 4": (ours(5), goal)}, ("the loop", loop(5)), share=0.25)


if __name__ == "__main__":
    main(parse())
