"""Single-stream decode with top-5 log-probabilities against llama-bench: same file, threads and build."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.judges import environment, judge
from benchmarks.models import ladder
from pytest_llmcheck.engines.llama.client import LlamaEngine
from pytest_llmcheck.engines.llama.settings import Settings
from pytest_llmcheck.engines.types import Request
from pytest_llmcheck.models import context_of
from pytest_llmcheck.models import usable_cores

ROUNDS = 7
POSITIONS = 256
PROMPT = (
    "<|im_start|>user\nWrite a very long story about a lighthouse keeper, with many details.<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def main() -> None:
    """Print tokens/s of both and their ratio, per quantisation."""
    tool = judge("llama-bench")
    if tool is None:
        print("decode: llama-bench is not built, run `make judges` first")
        return
    threads = usable_cores()
    print(f"single-stream decode up to {POSITIONS} positions, {threads} threads, medians of {ROUNDS} rounds")
    for model in ladder("Q8_0", "Q4_K_M", "Q2_K", "F16"):
        settings = Settings(
            name=model.spec.name,
            path=str(model.path),
            n_ctx=context_of(model.header, model.spec),
            width=4,
            threads=threads,
            device="cpu",
        )
        ours, theirs = [], []
        with tempfile.TemporaryDirectory(prefix="llmc-") as folder:
            engine = LlamaEngine(settings, Path(folder))
            prompt_tokens = len(engine.tokenise(PROMPT))
            request = Request(prompt=PROMPT, max_tokens=POSITIONS - prompt_tokens, top_logprobs=5)
            engine.complete(request)
            for _ in range(ROUNDS):
                done = engine.complete(request)
                assert done.finish_reason == "length", "the story is too short to measure"
                ours.append(done.timings.tokens_per_second or 0.0)
                theirs.append(bench(tool, model.path, threads, len(done.tokens)))
            engine.close()
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"  {model.header.quant.split(' ')[0]:8} ours {statistics.median(ours):6.1f} tokens/s   "
            f"llama-bench {statistics.median(theirs):6.1f} tokens/s   ratio {ratio:.2f}",
            flush=True,
        )


def bench(tool: Path, model: Path, threads: int, tokens: int) -> float:
    """tokens/s of llama-bench's tg test."""
    command = [
        str(tool),
        "-m",
        str(model),
        "-p",
        "0",
        "-n",
        str(tokens),
        "-t",
        str(threads),
        "-r",
        "1",
        "-o",
        "json",
    ]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)[0]["avg_ts"])


if __name__ == "__main__":
    main()
