"""64 chats against llama.cpp's own server with eight slots; how: see `sides`.

The server runs with the wheel's libraries and its own defaults (flash attention and repacking as it likes,
continuous batching), 1024 tokens of context for each slot. Sixteen threads, with a connection for
each request, keep its slots busy. It is given the prompts that we rendered, and reuses its prompt caches
(`cache_prompt`).
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import table
from benchmarks.judges import environment, judge
from benchmarks.options import Options, parse
from benchmarks.sides import Outcome, contest, ours
from pytest_llmcheck.prompts import normalise, template_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sides import Opened, Side
    from pytest_llmcheck.models import ResolvedModel

SLOTS = 8
CLIENTS = 16


def main(options: Options | None = None) -> None:
    """Print the ratios for each model."""
    options = options or Options()
    tool = judge("llama-server")
    if tool is None:
        table.missing("64 chats against llama-server", "it is not built: run `make judges` first")
        return
    how = (
        f"As before without log-probabilities, against `llama-server -np {SLOTS} -c {SLOTS * 1024}` with the "
        f"same number of threads, driven by {CLIENTS} threads over HTTP."
    )
    table.begin("64 chats without log-probabilities, against llama-server", how, options)
    mine = {"width 4": (ours(0), 0.85), "width 8": (ours(0, width=8), 1.0)}
    contest(options, mine, ("llama-server", serving(tool)))


def serving(tool: Path) -> Opened:
    """The server, started for a model and asked over HTTP."""

    @contextmanager
    def opened(model: ResolvedModel, options: Options) -> Iterator[Side]:
        template = template_of(model.header, model.spec, tools=False)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        threads = str(options.threads)
        flags = ["-np", str(SLOTS), "-c", str(SLOTS * 1024), "-t", threads, "-tb", threads]
        flags += ["-ngl", "99" if options.device == "gpu" else "0", "--no-webui"]
        command = [str(tool), "-m", str(model.path), "--host", "127.0.0.1", "--port", str(port), *flags]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                wait_for(port, process)

                def ask(prompt: str, max_tokens: int) -> tuple[int, int]:
                    body = {
                        "prompt": prompt,
                        "n_predict": max_tokens,
                        "temperature": 0.0,
                        "cache_prompt": True,
                    }
                    answer = post(port, "/completion", body)
                    return answer["tokens_predicted"], answer["tokens_evaluated"]

                def run(chats: list[list[dict[str, str]]], max_tokens: int) -> Outcome:
                    started = perf_counter()
                    prompts = [template.render(normalise(messages)) for messages in chats]
                    counts = list(clients.map(ask, prompts, [max_tokens] * len(prompts)))
                    return Outcome(
                        perf_counter() - started, sum(n for n, _ in counts), sum(n for _, n in counts)
                    )

                with ThreadPoolExecutor(CLIENTS) as clients:
                    yield run
            finally:
                process.terminate()
                process.wait()

    return opened


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Until the model is loaded and the libraries are the wheel's."""
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"llama-server ended with {process.returncode}"
        assert time.monotonic() < deadline, f"llama-server was not ready after {seconds:g} s"
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                break
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        expected = environment()["LD_LIBRARY_PATH"]
        used = {line.split()[-1] for line in maps.read_text().splitlines() if "/libggml" in line}
        assert used, "llama-server has loaded no library of ggml"
        assert all(path.startswith(expected) for path in used), f"not the wheel's libraries: {sorted(used)}"


def post(port: int, path: str, body: object) -> Any:
    """The JSON that comes back.

    A connection that is kept alive holds one of the server's threads, of which there are few.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return json.loads(content)
    finally:
        connection.close()


if __name__ == "__main__":
    main(parse())
