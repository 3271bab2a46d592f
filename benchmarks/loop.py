"""The plain loop over `llama_cpp.Llama.create_chat_completion`, in a process of its own.

As a program it loads the model once; each line of its input is a list of conversations, and each line of
its output says how long they took.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.sides import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.options import Options
    from benchmarks.sides import Side
    from pytest_llmcheck.models import ResolvedModel


def loop(top: int) -> Callable[[ResolvedModel, Options], Any]:
    """The loop with so many alternatives to each token; 0 is without log-probabilities.

    `Llama` with its own defaults, but for the threads, the context, and ``logits_all`` where log-
    probabilities need it. It reuses the prefix of the prompt before by itself.
    """

    @contextmanager
    def opened(model: ResolvedModel, options: Options) -> Iterator[Side]:
        layers = -1 if options.device == "gpu" else 0
        arguments = [str(value) for value in (model.path, options.threads, top, layers)]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.loop", *arguments],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def run(conversations: list[list[dict[str, str]]], max_tokens: int) -> Outcome:
            print(json.dumps([conversations, max_tokens]), file=asks, flush=True)
            return Outcome(*json.loads(answers.readline()))

        try:
            yield run
        finally:
            asks.close()
            process.wait()

    return opened


def main() -> None:
    """Serve on the standard streams."""
    from llama_cpp import Llama

    path, threads, top, layers = sys.argv[1], *map(int, sys.argv[2:])
    llm = Llama(
        path,
        n_ctx=1024,
        n_threads=threads,
        n_threads_batch=threads,
        n_gpu_layers=layers,
        logits_all=top > 0,
        verbose=False,
    )
    more: dict[str, Any] = {"logprobs": True, "top_logprobs": top} if top else {}
    for line in sys.stdin:
        conversations, max_tokens = json.loads(line)
        started, tokens, prompts = perf_counter(), 0, 0
        for messages in conversations:
            reply: Any = llm.create_chat_completion(
                messages=messages, max_tokens=max_tokens, temperature=0.0, **more
            )
            # It leaves out the token that ended the reply, which was decoded all the same.
            tokens += reply["usage"]["completion_tokens"] + (reply["choices"][0]["finish_reason"] == "stop")
            prompts += reply["usage"]["prompt_tokens"]
        print(json.dumps([perf_counter() - started, tokens, prompts]), flush=True)


if __name__ == "__main__":
    main()
