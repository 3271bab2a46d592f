"""The reply cache: what goes in comes out bit for bit, whatever happens to its file or to its other users."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck.engines.llama import machine
from pytest_llmcheck.engines.llama.machine import library_hash
from pytest_llmcheck.engines.llama.settings import (
    Adapter,
    ContextSettings,
    HostSettings,
    Info,
    Rope,
    Settings,
)
from pytest_llmcheck.engines.types import (
    Alternative,
    Completion,
    Constraint,
    Request,
    Sampling,
    ScoreRequest,
    Scoring,
    Timings,
    Token,
)
from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.models.store import CACHE_DIR_VARIABLE
from pytest_llmcheck.session import cache as room
from pytest_llmcheck.session import cache_file as file
from pytest_llmcheck.session import cache_keys as keys
from pytest_llmcheck.session.cache import Mode, ReplyCache
from tests.support.replies import NUMERICS, TIMINGS, sha

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL = Settings(
    name="q4",
    weights=sha("q4"),
    host=HostSettings(path="/models/q4.gguf"),
    context=ContextSettings(n_ctx=2048, adapters=(Adapter("/lora/a.gguf", sha("a"), 1.0),)),
)
INFO = Info(
    build="llama-cpp-python 0.3.36",
    device="CPU",
    numerics=NUMERICS,
    n_vocab=49152,
    end_of_generation=("<|im_end|>",),
    load_seconds=0.25,
)
ROOT = Path(__file__).parent.parent.parent


def reply(text: str = "Paris.", **fields: Any) -> Completion:
    made: dict[str, Any] = {
        "text": text,
        "finish_reason": "stop",
        "tokens": (Token(1, "Paris.", -0.25, (Alternative(1, "Paris.", -0.25), Alternative(2, "x", -3.5))),),
        "end": Token(0, "", -0.5),
        "prompt_ids": (5, 6, 7),
        "timings": TIMINGS,
    }
    return Completion(**{**made, **fields})


def ask(prompt: str = "Capital of France?", **fields: Any) -> Request:
    return Request(prompt=prompt, **fields)


@pytest.fixture(autouse=True)
def _code(monkeypatch: pytest.MonkeyPatch) -> None:
    # Processes of one test agree, also while somebody is working on the engine.
    monkeypatch.setattr(keys, "code_identity", lambda: "tests")


class Folder:
    """Opens caches over one file, and closes them when the test ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[ReplyCache] = []

    def __call__(self, mode: Mode = "on", **fields: Any) -> ReplyCache:
        made = ReplyCache(self.path, mode=mode, **fields)
        self.opened.append(made)
        return made


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path / "cache" / "replies.sqlite")
    yield folder
    for opened in folder.opened:
        opened.close()


def fill(cache: ReplyCache, count: int = 1, size: int = 10) -> list[Request]:
    """So many replies, "0" * size and so on, and what was asked for them."""
    asked = [ask(f"prompt {number}") for number in range(count)]
    for number, request in enumerate(asked):
        cache.put(cache.key(MODEL, INFO, request), reply(str(number % 10) * size))
    return asked


def look(
    cache: ReplyCache, request: Request, model: Settings = MODEL, info: Info = INFO
) -> Completion | None:
    return cache.get(cache.key(model, info, request))


floats = st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(0, 2**31 - 1)
alternatives = st.builds(Alternative, numbers, texts, floats)
tokens = st.builds(Token, numbers, texts, floats, st.lists(alternatives, max_size=5).map(tuple))
timings = st.builds(
    Timings,
    **dict.fromkeys(("queued", "prefill", "ttft", "decode", "total"), floats),
    prompt_tokens=numbers,
    reply_tokens=numbers,
)
completions = st.builds(
    Completion,
    text=texts,
    finish_reason=st.sampled_from(["stop", "length", "context"]),
    tokens=st.lists(tokens, max_size=8).map(tuple),
    end=st.none() | tokens,
    prompt_ids=st.lists(numbers).map(tuple),
    timings=timings,
    ignored=st.lists(texts, max_size=2).map(tuple),
)
scorings = st.builds(
    Scoring,
    tokens=st.lists(tokens, max_size=8).map(tuple),
    prompt_ids=st.lists(numbers).map(tuple),
    timings=timings,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplyCache]:
    cache = ReplyCache(tmp_path_factory.mktemp("cache") / "replies.sqlite", mode="on")
    yield cache
    cache.close()


class TestRoundTrip:
    @given(done=completions, prompt=texts)
    @settings(deadline=None, max_examples=150)
    def test_a_completion(self, shared: ReplyCache, done: Completion, prompt: str) -> None:
        key = shared.key(MODEL, INFO, ask(prompt))
        shared.put(key, done)
        found = shared.get(key)
        assert found == done
        assert repr(found) == repr(done)  # tells 0.0 from -0.0

    @given(done=scorings, continuation=texts | st.lists(numbers).map(tuple))
    @settings(deadline=None, max_examples=50)
    def test_a_scoring(self, shared: ReplyCache, done: Scoring, continuation: str | tuple[int, ...]) -> None:
        key = shared.key(MODEL, INFO, ScoreRequest(prompt="p", continuation=continuation))
        shared.put(key, done)
        assert repr(shared.get(key)) == repr(done)

    @given(st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]))
    @settings(deadline=None, max_examples=100)
    def test_every_bit_of_a_float(self, shared: ReplyCache, value: float) -> None:
        key = shared.key(MODEL, INFO, ask("float"))
        shared.put(key, reply(tokens=(Token(1, "a", value),)))
        found = shared.get(key)
        assert found is not None
        assert struct.pack("<d", found.tokens[0].logprob) == struct.pack("<d", value)

    def test_in_another_process_of_another_day(self, cache: Folder) -> None:
        (asked,) = fill(first := cache())
        first.close()
        second = cache()
        assert look(second, asked) == reply("0" * 10)
        assert (second.hits, second.misses, second.written, second.trouble) == (1, 0, 0, None)
        assert (first.hits, first.misses, first.written, first.trouble) == (0, 0, 1, None)

    def test_the_latest_wins(self, cache: Folder) -> None:
        one = cache()
        key = one.key(MODEL, INFO, ask())
        one.put(key, reply("first, which is longer"))
        one.put(key, reply("second"))
        found = one.get(key)
        assert found is not None
        assert found.text == "second"
        one.close()
        assert stored(cache.path) == total(cache.path)

    def test_what_cannot_be_written_as_utf8_is_asked_again(self, cache: Folder) -> None:
        one = cache()
        key = one.key(MODEL, INFO, ask("a lone surrogate \ud800"))
        one.put(key, reply("\udfff"))
        assert one.get(key) is None
        one.put(key, reply("fine"))
        assert one.get(key) == reply("fine")
        assert one.trouble is None

    def test_rows_are_never_cached(self, cache: Folder) -> None:
        one = cache()
        done = Scoring(tokens=(), prompt_ids=(), timings=TIMINGS)
        plain = ScoreRequest(prompt="p", continuation="c")
        for asked in (change(plain, read_rows="/rows"), change(plain, write_rows="/rows")):
            key = one.key(MODEL, INFO, asked)
            one.put(key, done)
            assert one.get(key) is None
            with pytest.raises(EngineError, match="exchanges rows between models, which is never cached"):
                cache("only").get(key)
        assert (one.written, one.misses) == (0, 0)


CONTEXT, HOST = MODEL.context, MODEL.host
change = msgspec.structs.replace


class TestKeys:
    @pytest.mark.parametrize(
        ("model", "info", "request_"),
        [
            (change(MODEL, name="other"), INFO, ask()),
            (change(MODEL, host=change(HOST, path="/elsewhere.gguf")), INFO, ask()),
            (change(MODEL, host=change(HOST, require_gpu=True)), INFO, ask()),
            (change(MODEL, context=change(CONTEXT, threads=8)), INFO, ask()),
            (
                change(MODEL, context=change(CONTEXT, adapters=(Adapter("/b.gguf", sha("a"), 1.0),))),
                INFO,
                ask(),
            ),
            (MODEL, change(INFO, load_seconds=9.0, device="another name"), ask()),
            (MODEL, INFO, ask(timeout=1.0)),
            (MODEL, INFO, ask(sampling=Sampling(seed=7, top_k=1))),
        ],
    )
    def test_what_does_not_matter(
        self, cache: Folder, model: Settings, info: Info, request_: Request
    ) -> None:
        one = cache()
        assert one.key(model, info, request_).digest == one.key(MODEL, INFO, ask()).digest

    @pytest.mark.parametrize(
        ("model", "info", "request_"),
        [
            (change(MODEL, weights=sha("q8")), INFO, ask()),
            (change(MODEL, host=change(HOST, device="cpu")), INFO, ask()),
            (change(MODEL, host=change(HOST, gpu_layers=3)), INFO, ask()),
            (change(MODEL, host=change(HOST, tensor_split=(0.5, 0.5))), INFO, ask()),
            (change(MODEL, context=change(CONTEXT, n_ctx=4096)), INFO, ask()),
            (change(MODEL, context=change(CONTEXT, kv=("q8_0", "f16"))), INFO, ask()),
            (change(MODEL, context=change(CONTEXT, rope=Rope(factor=2.0))), INFO, ask()),
            (change(MODEL, context=change(CONTEXT, adapters=())), INFO, ask()),
            (
                change(MODEL, context=change(CONTEXT, adapters=(Adapter("/lora/a.gguf", sha("b"), 1.0),))),
                INFO,
                ask(),
            ),
            (
                change(MODEL, context=change(CONTEXT, adapters=(Adapter("/lora/a.gguf", sha("a"), 0.5),))),
                INFO,
                ask(),
            ),
            (MODEL, change(INFO, numerics=change(NUMERICS, library="other")), ask()),
            (MODEL, change(INFO, numerics=change(NUMERICS, rows="1, 8 threads")), ask()),
            (MODEL, INFO, ask("Capital of Spain?")),
            (MODEL, INFO, ask(max_tokens=3)),
            (MODEL, INFO, ask(top_logprobs=0)),
            (MODEL, INFO, ask(constraint=Constraint("grammar", "root ::= [a-z]"))),
            (MODEL, INFO, ask(sampling=Sampling(temperature=0.5))),
        ],
    )
    def test_what_matters(self, cache: Folder, model: Settings, info: Info, request_: Request) -> None:
        one = cache()
        assert one.key(model, info, request_).digest != one.key(MODEL, INFO, ask()).digest

    def test_seed_and_filters_matter_above_temperature_0(self, cache: Folder) -> None:
        one = cache()
        drawn = [
            Sampling(temperature=0.5),
            Sampling(temperature=0.5, seed=1),
            Sampling(temperature=0.5, seed=2**64 - 1),
            Sampling(temperature=0.5, min_p=0.1),
        ]
        keys = {one.key(MODEL, INFO, ask(sampling=sampling)).digest for sampling in drawn}
        assert len(keys) == len(drawn)

    def test_a_text_is_not_its_tokens(self, cache: Folder) -> None:
        one = cache()
        digests = {
            one.key(MODEL, INFO, ask("p")).digest,
            one.key(MODEL, INFO, ScoreRequest(prompt="p", continuation="1")).digest,
            one.key(MODEL, INFO, ScoreRequest(prompt="p", continuation=(1,))).digest,
            one.key(MODEL, INFO, ScoreRequest(prompt="p1", continuation="")).digest,
        }
        assert len(digests) == 4

    def test_our_own_code_matters(self, cache: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        before, info_before = cache().key(MODEL, INFO, ask()), cache()._keys.of_info(MODEL)
        monkeypatch.setattr(keys, "code_identity", lambda: "corrected")
        assert cache().key(MODEL, INFO, ask()).digest != before.digest
        assert cache()._keys.of_info(MODEL) != info_before

    def test_it_says_what_it_is(self, cache: Folder) -> None:
        one = cache()
        assert str(one.key(MODEL, INFO, ask())) == "reply of model 'q4' to the prompt 'Capital of France?'"
        score = one.key(MODEL, INFO, ScoreRequest(prompt="p" * 500, continuation="c"))
        assert str(score).startswith("scoring of model 'q4' to the prompt 'ppp")
        assert len(str(score)) < 250


class TestInfo:
    def test_it_is_remembered(self, cache: Folder) -> None:
        one = cache()
        assert one.info(MODEL) is None
        one.keep_info(MODEL, INFO)
        one.close()
        two = cache()
        moved = change(MODEL, name="other", host=change(HOST, path="/elsewhere.gguf"))
        assert (two.info(MODEL), two.info(moved)) == (INFO, INFO)
        assert (one.misses, one.written, two.hits) == (0, 0, 0)  # it is no reply

    @pytest.mark.parametrize(
        "other",
        [
            change(MODEL, weights=sha("q8")),
            change(MODEL, context=change(CONTEXT, threads=2)),
            change(MODEL, context=change(CONTEXT, adapters=(Adapter("/lora/a.gguf", sha("a"), 2.0),))),
            change(MODEL, host=change(HOST, require_gpu=True)),
        ],
    )
    def test_not_of_other_settings(self, cache: Folder, other: Settings) -> None:
        one = cache()
        one.keep_info(MODEL, INFO)
        assert one.info(other) is None

    @pytest.mark.parametrize("what", ["library_hash", "machine_identity"])
    def test_not_of_another_machine(self, cache: Folder, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        one = cache()
        one.keep_info(MODEL, INFO)
        monkeypatch.setattr(keys, what, lambda: "other")
        assert one.info(MODEL) is None


class TestModes:
    def test_off_touches_nothing(self, cache: Folder) -> None:
        one = cache("off")
        (asked,) = fill(one)
        one.keep_info(MODEL, INFO)
        assert look(one, asked) is None
        assert one.info(MODEL) is None
        assert not cache.path.parent.exists()
        assert (one.hits, one.misses, one.written) == (0, 0, 0)

    def test_refresh_writes_and_never_reads(self, cache: Folder) -> None:
        (asked,) = fill(cache())
        one = cache("refresh")
        one.keep_info(MODEL, INFO)
        assert look(one, asked) is None
        assert one.info(MODEL) is None
        one.put(one.key(MODEL, INFO, asked), reply("newer"))
        assert (one.hits, one.misses, one.written) == (0, 0, 1)
        assert look(cache(), asked) == reply("newer")

    def test_only_reads(self, cache: Folder) -> None:
        filled = cache()
        (asked,) = fill(filled)
        filled.keep_info(MODEL, INFO)
        filled.close()
        before = cache.path.read_bytes()
        one = cache("only")
        assert one.info(MODEL) == INFO
        assert look(one, asked) is not None
        one.put(one.key(MODEL, INFO, ask("new")), reply())
        one.keep_info(change(MODEL, weights=sha("new")), INFO)
        with pytest.raises(EngineError) as error:
            look(one, ask("new"))
        assert str(error.value) == (
            "not in the reply cache: the reply of model 'q4' to the prompt 'new'. With --llm-cache only no "
            "model is asked; run once with --llm-cache on to fill it"
        )
        with pytest.raises(EngineError, match="what decides the replies of model 'q8' on this machine"):
            one.info(change(MODEL, name="q8", weights=sha("q8")))
        assert (one.hits, one.misses, one.written) == (1, 1, 0)
        one.close()
        assert cache.path.read_bytes() == before
        assert [p.name for p in cache.path.parent.iterdir()] == [cache.path.name]

    def test_only_without_a_file(self, cache: Folder) -> None:
        one = cache("only")
        for _ in range(2):
            with pytest.raises(EngineError, match=r"replies\.sqlite is off .*there is no such file\)\. With"):
                one.info(MODEL)
        assert not cache.path.parent.exists()

    def test_by_default_it_is_in_the_cache_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "there"))
        one = ReplyCache(mode="on")
        fill(one)
        one.close()
        file = tmp_path / "there" / "replies.sqlite"
        assert file.stat().st_mode & 0o777 == 0o600

    def test_strange_characters_in_the_path(self, tmp_path: Path) -> None:
        path = tmp_path / "a?mode=memory#b %20 ü" / "replies.sqlite"
        one = ReplyCache(path, mode="on")
        fill(one)
        one.close()
        assert path.stat().st_size > 0


def stored(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT coalesce(sum(length(value)), 0) FROM replies").fetchone()[0])


def total(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        (total,) = db.execute("SELECT bytes FROM total").fetchone()
        (sizes,) = db.execute("SELECT coalesce(sum(size), 0) FROM uses").fetchone()
        assert total == sizes
        return int(total)


class TestBound:
    LIMIT = 400_000

    def test_what_was_used_longest_ago_goes(self, cache: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [1_000_000]
        monkeypatch.setattr(file, "now", lambda: clock[0])
        asked = fill(first := cache(limit_bytes=self.LIMIT), count=7, size=50_000)
        first.close()
        clock[0] += 3600_000
        second = cache(limit_bytes=self.LIMIT)
        # read, though the oldest; and the second is used in the same run that has to trim
        assert look(second, asked[0]) is not None
        second.close()
        third = cache(limit_bytes=self.LIMIT)
        assert look(third, asked[1]) is not None
        clock[0] += 1000
        third.put(third.key(MODEL, INFO, ask("eighth")), reply("8" * 290_000))
        third.close()
        assert stored(cache.path) <= self.LIMIT
        left = cache()
        assert [look(left, request) is not None for request in asked] == [True, True, *[False] * 5]
        assert look(left, ask("eighth")) is not None

    def test_it_never_grows_far(self, cache: Folder) -> None:
        one = cache(limit_bytes=self.LIMIT)
        largest = 0
        for number in range(100):
            one.put(one.key(MODEL, INFO, ask(str(number))), reply("x" * 20_000))
            if number % 10 == 0:
                largest = max(largest, total(cache.path))
        one.close()
        assert largest <= self.LIMIT * room.SLACK
        assert stored(cache.path) == total(cache.path) <= self.LIMIT
        assert stored(cache.path) > self.LIMIT * 0.7

    def test_the_file_shrinks(self, cache: Folder) -> None:
        fill(first := cache(), count=60, size=50_000)
        first.close()
        before = cache.path.stat().st_size
        fill(second := cache(limit_bytes=self.LIMIT))
        second.close()
        assert before > 3_000_000
        assert cache.path.stat().st_size < 2 * self.LIMIT
        assert second.trouble is None

    def test_a_giant_is_not_kept(self, cache: Folder) -> None:
        one = cache(limit_bytes=self.LIMIT)
        (asked,) = fill(one)
        one.put(one.key(MODEL, INFO, ask("giant")), reply("x" * 500_000))
        assert look(one, asked) is not None
        assert look(one, ask("giant")) is None
        assert (one.written, one.trouble) == (1, None)

    def test_a_repeated_run_writes_nothing(self, cache: Folder) -> None:
        asked = fill(first := cache(), count=20)
        first.close()
        before = cache.path.read_bytes()
        second = cache()
        assert all(look(second, request) for request in asked)
        second.close()
        assert cache.path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from tests.session.test_cache import INFO, MODEL, ask, reply
from pytest_llmcheck.session import cache_keys as keys
from pytest_llmcheck.session.cache import ReplyCache

keys.code_identity = lambda: "tests"

def write(path, name, count):
    cache = ReplyCache(Path(path), mode="on")
    for number in range(count):
        key = cache.key(MODEL, INFO, ask(f"{name} {number}"))
        cache.put(key, reply(f"{name} {number} " + "é" * (number % 40) * 100))
        assert cache.trouble is None, cache.trouble
        if number == 0:
            print("begun", flush=True)
    cache.close()
    print(cache.written, flush=True)
"""


def program(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER + textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def whole(path: Path, names: list[str], count: int) -> dict[str, int]:
    """How many replies of each writer are there; each has to be what was written."""
    with closing(ReplyCache(path, mode="on")) as cache:
        found = dict.fromkeys(names, 0)
        for name in names:
            for number in range(count):
                done = look(cache, ask(f"{name} {number}"))
                if done is not None:
                    assert done == reply(f"{name} {number} " + "é" * (number % 40) * 100)
                    found[name] += 1
        assert cache.trouble is None
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert stored(path) == total(path)
    return found


class TestCompany:
    def test_several_processes_make_and_fill_it_at_once(self, cache: Folder) -> None:
        names = ["a", "b", "c"]
        writers = [program("write(*sys.argv[1:3], 150)", cache.path, name) for name in names]
        assert [finish(writer).split() for writer in writers] == [["begun", "150"]] * 3
        assert whole(cache.path, names, 150) == dict.fromkeys(names, 150)
        with closing(sqlite3.connect(cache.path)) as db:
            made = [
                db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "auto_vacuum", "page_size")
            ]
        assert made == ["wal", 2, 16384]

    def test_a_killed_writer_leaves_whole_replies(self, cache: Folder) -> None:
        draw = random.Random(1)
        names = [f"run{number}" for number in range(6)]
        for name in names:
            writer = program("write(*sys.argv[1:3], 100_000)", cache.path, name)
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.15))
            writer.kill()
            writer.communicate()
            assert writer.returncode == -signal.SIGKILL
        assert min(whole(cache.path, names, 100).values()) > 0

    def test_threads(self, cache: Folder) -> None:
        one = cache()
        wrong: list[object] = []

        def work(name: str) -> None:
            try:
                for number in range(50):
                    key = one.key(MODEL, INFO, ask(f"{name} {number}"))
                    one.put(key, reply(f"{name} {number}"))
                    assert one.get(key) == reply(f"{name} {number}")
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert (one.hits, one.written, one.misses, one.trouble) == (300, 300, 0, None)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
    def test_a_fork_has_a_connection_of_its_own(self, cache: Folder) -> None:
        code = """
            cache = ReplyCache(Path(sys.argv[1]), mode="on")
            key = cache.key(MODEL, INFO, ask("before"))
            cache.put(key, reply("before"))
            import os
            child = os.fork()
            mine = cache.key(MODEL, INFO, ask("child" if not child else "parent"))
            cache.put(mine, reply("after"))
            assert cache.get(key) == reply("before")
            assert cache.trouble is None
            if not child:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert cache.get(cache.key(MODEL, INFO, ask("child"))) == reply("after")
            cache.close()
        """
        finish(program(code, cache.path))

    def test_another_holds_the_file(self, cache: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "BUSY_SECONDS", 0.1)
        (asked,) = fill(cache())
        one = cache()
        with closing(sqlite3.connect(cache.path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            assert look(one, asked) is not None
            fill(one, count=3)
        assert look(one, asked) is not None
        assert (one.hits, one.written) == (2, 0)
        assert one.trouble == f"nothing more is written to the reply cache {cache.path}: database is locked"


class TestTrouble:
    def test_a_full_disk(self, cache: Folder) -> None:
        asked = fill(first := cache(), count=3)
        first.close()
        limit = cache.path.stat().st_size + 150_000
        code = f"""
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
            cache = ReplyCache(Path(sys.argv[1]), mode="on")
            for number in range(40):
                key = cache.key(MODEL, INFO, ask(f"new {{number}}"))
                assert cache.get(key) is None
                cache.put(key, reply("n" * 50_000))
            assert cache.get(cache.key(MODEL, INFO, ask("prompt 0"))) == reply("0" * 10)
            cache.close()
            print(cache.written, cache.trouble)
        """
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
        written, _, trouble = finish(program(code, cache.path)).partition(" ")
        assert 0 <= int(written) < 40
        assert trouble.startswith(f"nothing more is written to the reply cache {cache.path}: ")
        left = cache()
        assert all(look(left, request) for request in asked)
        assert left.trouble is None

    @pytest.mark.skipif(os.getuid() != 0 or sys.platform != "linux", reason="mounts a small file system")
    def test_a_file_system_without_room(self, tmp_path: Path) -> None:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", tmp_path])
        if mounted.returncode:
            pytest.skip("may not mount")
        try:
            one = ReplyCache(tmp_path / "replies.sqlite", mode="on")
            asked = fill(one, count=30, size=20_000)
            found = [look(one, request) for request in asked]
            one.close()
            assert one.trouble is not None
            assert "disk is full" in one.trouble or "disk I/O error" in one.trouble
            assert one.written < 30
            assert all(done == reply(str(i % 10) * 20_000) for i, done in enumerate(found) if done)
        finally:
            subprocess.run(["umount", tmp_path], check=True)

    def test_a_folder_that_cannot_be_written(self, cache: Folder, read_only: Callable[[Path], None]) -> None:
        (asked,) = fill(first := cache())
        first.close()
        read_only(cache.path.parent)
        one = cache()
        assert look(one, asked) == reply("0" * 10)
        fill(one, count=2)
        assert look(one, asked) == reply("0" * 10)
        one.close()
        assert (one.hits, one.written) == (2, 0)
        assert one.trouble is not None
        assert str(cache.path) in one.trouble
        assert look(cache("only"), asked) == reply("0" * 10)

    def test_an_empty_folder_that_cannot_be_written(
        self, tmp_path: Path, read_only: Callable[[Path], None]
    ) -> None:
        read_only(tmp_path)
        one = ReplyCache(tmp_path / "new" / "replies.sqlite", mode="on")
        (asked,) = fill(one)
        assert look(one, asked) is None
        one.close()
        assert one.trouble is not None
        assert "is off for the rest of the run: it cannot be written: Read-only file system" in one.trouble

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        one = ReplyCache(tmp_path / "cache" / "replies.sqlite", mode="on")
        assert look(one, ask()) is None
        one.put(one.key(MODEL, INFO, ask()), reply())
        one.keep_info(MODEL, INFO)
        one.close()
        assert one.trouble == (
            f"the reply cache {tmp_path}/cache/replies.sqlite is off for the rest of the run: "
            "it cannot be read: File exists"
        )

    @pytest.mark.parametrize("damage", ["garbage", "truncated", "header", "tables"])
    def test_a_damaged_file_is_begun_anew(self, cache: Folder, damage: str) -> None:
        (asked, *_) = fill(first := cache(), count=50, size=3000)
        first.close()
        whole = cache.path.read_bytes()
        cache.path.write_bytes(
            {
                "garbage": b"this is no database " * 1000,
                "truncated": whole[: len(whole) // 3],
                "header": whole[:100] + bytes(len(whole) - 100),
                "tables": b"",
            }[damage]
        )
        if damage == "tables":
            with closing(sqlite3.connect(cache.path)) as db:
                db.execute(f"PRAGMA user_version = {file.LAYOUT}")
        one = cache()
        assert look(one, asked) is None
        one.put(one.key(MODEL, INFO, asked), reply("again"))
        one.put(one.key(MODEL, INFO, asked), reply("again"))
        assert look(one, asked) == reply("again")
        assert one.trouble == f"the reply cache {cache.path} was damaged and has been begun anew"
        one.close()
        assert look(cache(), asked) == reply("again")

    def test_only_leaves_a_damaged_file_alone(self, cache: Folder) -> None:
        cache.path.parent.mkdir()
        cache.path.write_bytes(b"this is no database " * 1000)
        with pytest.raises(EngineError, match=r"is off .*file is not a database\)\. With --llm-cache only"):
            look(cache("only"), ask())
        assert cache.path.read_bytes() == b"this is no database " * 1000

    def test_flipped_bits_are_never_served(self, cache: Folder) -> None:
        asked = fill(first := cache(), count=30, size=2000)
        first.close()
        whole = cache.path.read_bytes()
        draw = random.Random(2)
        missed = 0
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(draw.choice((1, 20, 400))):
                damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
            cache.path.write_bytes(damaged)
            with closing(ReplyCache(cache.path, mode="on")) as one:
                for number, request in enumerate(asked):
                    found = look(one, request)
                    assert found is None or found == reply(str(number % 10) * 2000)
                    missed += found is None
                one.put(one.key(MODEL, INFO, ask("new")), reply())
            file.remove(cache.path)
        assert missed > 0

    def test_a_file_of_another_layout_is_begun_anew(self, cache: Folder) -> None:
        fill(first := cache())
        first.close()
        with closing(sqlite3.connect(cache.path)) as db:
            db.execute("PRAGMA user_version = 99")
        (asked,) = fill(one := cache())
        assert look(one, asked) is not None
        assert one.trouble is None

    def test_where_wal_is_not_to_be_had(self, cache: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "_on_network", lambda path: True)
        asked = fill(one := cache(), count=5)
        other = cache()
        assert all(look(other, request) for request in asked)
        fill(other, count=7)
        assert (one.trouble, other.trouble) == (None, None)
        one.close()
        other.close()
        with closing(sqlite3.connect(cache.path)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    def test_a_local_file_system_is_known(self) -> None:
        assert not file._on_network(Path("/proc/self"))


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Makes a folder one that nobody can write to, not even root."""
    if os.getuid() != 0 or sys.platform != "linux":
        pytest.skip("mounts a folder read-only")
    mounted: list[Path] = []

    def make(folder: Path) -> None:
        if subprocess.run(["mount", "--bind", folder, folder]).returncode:
            pytest.skip("may not mount")
        mounted.append(folder)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_it_is_opened_late_and_without_llama_cpp(tmp_path: Path) -> None:
    code = """
        from pytest_llmcheck.session.cache import ReplyCache as Again
        off = Again(Path(sys.argv[1]), mode="off")
        key = off.key(MODEL, INFO, ask())
        off.get(key), off.info(MODEL), off.close()
        on = Again(Path(sys.argv[1]), mode="on")
        on.key(MODEL, INFO, ask())
        print([name for name in ("llama_cpp", "numpy") if name in sys.modules])
    """
    assert finish(program(code, tmp_path / "replies.sqlite")) == "[]\n"
    assert not (tmp_path / "replies.sqlite").exists()
    bare = "import sys; import pytest_llmcheck.session.cache; print('sqlite3' in sys.modules)"
    # Measuring coverage imports sqlite3 itself.
    alone = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    assert subprocess.check_output([sys.executable, "-c", bare], text=True, env=alone) == "False\n"


class TestMachine:
    @pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is the judge")
    def test_the_libraries_are_found_without_importing_them(self) -> None:
        code = (
            "import sys; from pytest_llmcheck.engines.llama import machine; found = machine._libraries()\n"
            "assert 'llama_cpp' not in sys.modules\n"
            "import llama_cpp.llama_cpp\n"
            "mapped = {line.split()[-1] for line in open('/proc/self/maps') if 'libggml' in line "
            "or 'libllama' in line}\n"
            "assert mapped and mapped <= set(map(str, found)), (mapped, found)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_chosen_libraries(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
        for name in ("libllama.so", "libggml.so", "libmtmd.so"):
            (tmp_path / name).write_text(name)
        found = library_hash.__wrapped__()
        (tmp_path / "libmtmd.so").write_text("changed, and computes nothing of ours")
        assert library_hash.__wrapped__() == found
        (tmp_path / "libllama.so").write_text("another build")
        assert library_hash.__wrapped__() != found
        monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path / "missing"))
        with pytest.raises(EngineError, match="correct LLAMA_CPP_LIB_PATH"):
            library_hash.__wrapped__()

    def test_the_version_of_numpy_is_part_of_the_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code = machine.code_identity.__wrapped__()
        assert code == machine.code_identity.__wrapped__()
        read: list[Path] = []

        def another(path: Path) -> str:
            read.append(path)
            return "another version"

        monkeypatch.setattr(machine, "_text", another)
        assert machine.code_identity.__wrapped__() != code
        assert [(path.parent.name, path.is_file()) for path in read] == [("llama_cpp", True), ("numpy", True)]

    def test_what_changes_from_moment_to_moment_is_no_part(self, tmp_path: Path) -> None:
        text = (
            "processor\t: 0\nmodel name\t: EPYC\ncpu MHz\t\t: {mhz}\nflags\t\t: fma avx2\n\n"
            "processor\t: 1\nmodel name\t: other\n"
        )
        path = tmp_path / "cpuinfo"
        path.write_text(text.format(mhz="2400.5"))
        assert machine.processor_features(path) == ["model name=EPYC", "flags=avx2 fma"]
        assert machine.processor_features(tmp_path / "missing") == []

    def test_the_environment_has_a_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = machine.machine_identity.__wrapped__()
        monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "1")
        assert machine.machine_identity.__wrapped__() == before
        seen = {before}
        for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_CUDA_FORCE_MMQ"):
            monkeypatch.setenv(name, "1")
            seen.add(machine.machine_identity.__wrapped__())
        assert len(seen) == 4
