"""Templates that mean harm, or are merely broken, and a worker that is treated badly."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts import ChatTemplate, renderer, wire
from pytest_llmcheck.prompts.renderer import RENDERER

USER = [{"role": "user", "content": "Hi"}]
HONEST = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"

ENDLESS = {
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    # In C code, where no tracer and no signal handler would run: while compiling, and while rendering.
    "power of constants": "{{ 10**(10**8) }}",
    "power": "{% set n = messages | length %}{{ (n + 9)**((n + 9)**8) }}",
    "filler text": "{{ lipsum(n=10**8) }}",
}
GREEDY = {
    "doubling": (
        "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
    ),
    "doubling lists": (
        "{% set n = namespace(s=[0]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}"
    ),
    "centre": "{{ 'x' | center(10**9) }}",
    "format": "{{ '%999999999d' % 1 }}",
    "format method": "{{ '{:>999999999}'.format(1) }}",
    "list": "{{ [0] * 10**9 }}",
    "indented": "{{ messages | tojson(indent=10**9) }}",
    "blocks": "{% set s %}{% for i in range(99999) %}{{ 'x' * 99999 }}{% endfor %}{% endset %}{{ s }}",
}
FORBIDDEN = {
    "class": "{{ ''.__class__ }}",
    "subclasses": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "attr": "{{ ('' | attr('__class__')).__mro__ }}",
    "format": "{{ '{0.__class__}'.format(1) }}",
    "format_map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "globals of a function": "{{ raise_exception.__globals__ }}",
    "globals of a class": "{{ cycler.__init__.__globals__.os }}",
    "code": "{{ strftime_now.__code__ }}",
    "changes": "{{ messages.append(1) }}",
    "import": "{% import 'os' as os %}{{ os }}",
    "from": "{% from 'os' import system %}",
    "include": "{% include '/etc/passwd' %}",
    "include, if any": "{% include ['/etc/passwd', 'x'] ignore missing %}",
    "extends": "{% extends 'base' %}",
}
DEEP = {
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "conditions": "{% if messages %}" * 300 + "{% endif %}" * 300,
    "loops": "{% for m in messages %}" * 30 + "{% endfor %}" * 30,
}
CALLS_ITSELF = {
    "macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "two macros": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "loop": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
}


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos_token=None, eos_token=None)


def problem(source: str, **given: Any) -> str:
    with pytest.raises(PromptError) as caught:
        template(source).render(USER, **given)
    return str(caught.value)


def worker() -> psutil.Process:
    """The process that renders for this one; it is started if need be."""
    assert template(HONEST).render(USER) == "<user>Hi"
    (found,) = [
        child
        for child in psutil.Process().children()
        if any("pytest_llmcheck.prompts.worker" in part for part in child.cmdline())
    ]
    return found


@pytest.fixture(autouse=True)
def _the_run_goes_on() -> Any:
    yield
    assert template(HONEST).render(USER) == "<user>Hi"


class TestTemplates:
    @pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
    def test_endless(self, source: str) -> None:
        # A worker that did nothing before: what it used counts when it ends.
        worker().kill()
        worker()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        message = problem(source)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert message == (
            "the chat template: stopped after 1 s of computing, as in an endless loop: do not trust this "
            "template, set another chat_template for this model, or shorten messages of many megabytes"
        )
        # Not the wall clock's time, which depends on who else is at work.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2

    @pytest.mark.parametrize("source", GREEDY.values(), ids=GREEDY)
    def test_greedy(self, source: str) -> None:
        assert problem(source) == (
            "the chat template: it needs more than the 224 MB of memory that a template may take: do not "
            "trust this template, set another chat_template for this model, or shorten messages of many "
            "megabytes"
        )

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
    def test_memory_of_the_whole_process(self) -> None:
        # In a process of its own: the peak of a child counts what its parent had when it was started.
        code = (
            "import resource, sys\n"
            "from pytest_llmcheck.prompts import ChatTemplate\n"
            "from pytest_llmcheck.errors import PromptError\n"
            "for source in sys.argv[1:]:\n"
            "    try: ChatTemplate(source, bos_token=None, eos_token=None).render([{'role': 'user'}])\n"
            "    except PromptError as error: print(int('224 MB' in str(error)))\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        )
        command = [sys.executable, "-c", code, *GREEDY.values()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        *stopped, peak = map(int, done.stdout.split())
        assert stopped == [1] * len(GREEDY)
        assert 100_000 < peak < 256 * 1024

    def test_megabytes(self) -> None:
        source = "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}"
        message = problem(source)
        assert message.startswith("the chat template: it printed more than 41")
        assert message.endswith("shorten messages of many megabytes")

    def test_what_it_may_print_grows_with_the_messages(self) -> None:
        text = "ä😀" * 1_000_000
        source = "{% for i in range(3) %}{{ messages[0].content }}{% endfor %}"
        assert template(source).render([{"role": "user", "content": text}]) == text * 3

    @pytest.mark.parametrize("source", FORBIDDEN.values(), ids=FORBIDDEN)
    def test_forbidden(self, source: str) -> None:
        message = problem(source)
        assert message.startswith("the chat template, line 1: the sandbox forbids it: ")
        assert message.endswith("; do not trust this template, set another")

    @pytest.mark.parametrize("source", DEEP.values(), ids=DEEP)
    def test_deep(self, source: str) -> None:
        assert problem(source) == (
            "the chat template: nested too deeply to be compiled; mend the file, or set another "
            "chat_template for this model"
        )

    @pytest.mark.parametrize("source", CALLS_ITSELF.values(), ids=CALLS_ITSELF)
    def test_calls_itself(self, source: str) -> None:
        assert problem(source) == (
            "the chat template, line 1: it calls itself without end; set another chat_template for this model"
        )

    def test_variables_have_the_same_limits(self) -> None:
        with pytest.raises(PromptError, match="stopped after 1 s of computing"):
            _ = template("{{ 10**(10**8) }}").variables

    def test_its_words_are_cut_and_can_be_printed(self) -> None:
        message = problem("{{ raise_exception('\\ud800' + 'x' * 1000000) }}")
        assert message.startswith("the chat template, line 1: it refuses these messages: \\ud800xxx")
        assert len(message) < 2 * wire.MESSAGE_CHARACTERS
        message.encode()

    def test_no_text(self) -> None:
        assert "surrogates not allowed" in problem("{{ '\\ud800' }}")

    def test_data_that_contains_itself(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        assert problem(HONEST, documents=loop) == (
            "the messages, tools or variables contain themselves, or are nested too deeply: give plain, flat "
            "data"
        )

    def test_memory_of_others_is_not_held_against_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        worker().kill()
        small = "from pytest_llmcheck.prompts import wire; wire.DATA_BYTES >>= 2; from pytest_llmcheck"
        monkeypatch.setattr(renderer, "_PROGRAM", renderer._PROGRAM.replace("from pytest_llmcheck", small, 1))
        first = worker()
        for letter in "abcdefghijklmnop":
            # Each holds 4 MB as long as it is compiled.
            assert template("{% set s = '" + letter * 4_000_000 + "' %}x").render(USER) == "x"
        assert worker() != first
        first.wait(10)

    def test_a_message_that_the_limit_does_not_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        worker().kill()
        small = "from pytest_llmcheck.prompts import wire; wire.DATA_BYTES >>= 3; from pytest_llmcheck"
        monkeypatch.setattr(renderer, "_PROGRAM", renderer._PROGRAM.replace("from pytest_llmcheck", small, 1))
        told = problem(HONEST, x="x" * 40_000_000)
        assert "of memory that a template may take" in told
        assert "megabytes" in told
        assert template(HONEST).render(USER).startswith("<user>Hi")


class TestWorker:
    def test_it_is_shared_and_kept(self) -> None:
        first = worker()
        with ThreadPoolExecutor(4) as pool:
            for done in pool.map(lambda n: template(HONEST + str(n % 40)).render(USER), range(100)):
                assert done.startswith("<user>Hi")
        assert worker() == first

    def test_it_sees_nothing_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("A_SECRET", "1")
        worker().kill()
        process = worker()
        assert "A_SECRET" not in process.environ()
        assert os.getsid(process.pid) == process.pid

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
    def test_it_is_killed_between_two_prompts(self, end: signal.Signals) -> None:
        process = worker()
        process.send_signal(end)
        psutil.wait_procs([process], timeout=10)
        assert worker() != process

    def test_ctrl_c(self) -> None:
        process = worker()
        process.send_signal(signal.SIGINT)
        assert worker() == process

    def test_ctrl_c_amid_a_prompt(self) -> None:
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                template(ENDLESS["nested loops"]).render(USER)
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_it_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The second is more than a pipe holds.
        for size in (1, 1_000_000):
            worker().suspend()
            with monkeypatch.context() as patch:
                patch.setattr(renderer, "WALL_SECONDS", 0.2)
                assert problem(HONEST, x="x" * size) == (
                    "the chat template: no answer within 30 s, which it did not spend computing: try again "
                    "when this machine is less busy"
                )

    @pytest.mark.parametrize(
        ("program", "expected"),
        [
            ("import os; os.abort()", "the process that renders it was ended by SIGABRT; do not trust"),
            ("raise SystemExit(3)", "cannot be started: it ended with exit status 3; check that this Python"),
            (
                "print('garbage' * 100)",
                "the process that renders it gave an answer that is none; do not trust",
            ),
            (
                "import sys; sys.stdout.buffer.write(b'F' + bytes(7) + b'\\x02{}'); sys.stdout.flush()",
                "the process that renders it gave an answer that is none",
            ),
            (
                "import sys; sys.path.clear(); sys.path += ['/nowhere']; import jinja2",
                "cannot be started: it ended with exit status 1",
            ),
            (
                "import sys; sys.path += sys.argv[1:]; sys.modules['jinja2'] = None;"
                "from pytest_llmcheck.prompts.worker import main; main()",
                "cannot be started: ModuleNotFoundError: import of jinja2 halted; None in sys.modules; check",
            ),
        ],
    )
    def test_it_is_not_what_it_should_be(
        self, monkeypatch: pytest.MonkeyPatch, program: str, expected: str
    ) -> None:
        worker().kill()
        # It has to read the question: else it may be gone before that is written.
        monkeypatch.setattr(renderer, "_PROGRAM", f"import sys; sys.stdin.buffer.read(9); {program}")
        assert expected in problem(HONEST)

    def test_no_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        worker().kill()
        for nowhere in ("", "/nowhere/python"):
            monkeypatch.setattr(sys, "executable", nowhere)
            assert "the process that renders it cannot be started: " in problem(HONEST)

    def test_a_signal_that_its_parent_ignores_and_blocks(self) -> None:
        worker().kill()
        before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
        try:
            assert "stopped after 1 s" in problem(ENDLESS["power"])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            signal.signal(signal.SIGPROF, before)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def run(code: str) -> str:
    """What a program prints that has rendered one prompt; it warns of nothing."""
    start = (
        "import os, signal, sys, time, psutil\n"
        "from pytest_llmcheck.prompts import ChatTemplate\n"
        "t = ChatTemplate('{{ messages[0].content }}', bos_token=None, eos_token=None)\n"
        "assert t.render([{'role': 'user', 'content': 'a'}]) == 'a'\n"
        "(worker,) = psutil.Process().children()\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", start + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout


def runs(pid: int) -> bool:
    # Orphans may stay as zombies: in a container, nobody may reap them.
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


class TestItsParent:
    def test_ends(self) -> None:
        pid = int(run("print(worker.pid)"))
        assert not psutil.pid_exists(pid)

    def test_is_killed(self) -> None:
        pid = int(run("print(worker.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"))
        deadline = time.monotonic() + 10
        while runs(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not runs(pid)

    def test_forks(self) -> None:
        code = (
            "child = os.fork()\n"
            "done = t.render([{'role': 'user', 'content': 'child' if child == 0 else 'parent'}])\n"
            "(own,) = psutil.Process().children()[-1:] if child == 0 else [worker]\n"
            "if child: os.waitpid(child, 0)\n"
            "print(done, own == worker, worker.is_running(), flush=True)\n"
        )
        assert sorted(run(code).splitlines()) == ["child False True", "parent True True"]

    def test_forks_and_is_killed(self) -> None:
        code = (
            "child = os.fork()\n"
            "if child == 0:\n"
            "    deadline = time.monotonic() + 10\n"
            "    runs = lambda: worker.is_running() and worker.status() != 'zombie'\n"
            "    while runs() and time.monotonic() < deadline: time.sleep(0.01)\n"
            "    print(runs(), flush=True)\n"
            "    os._exit(0)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        assert run(code) == "False\n"

    def test_drops_the_renderer(self) -> None:
        code = (
            "import gc\n"
            "from pytest_llmcheck.prompts import renderer\n"
            "own = renderer.Renderer()\n"
            "assert own.render('k', 'x', '2024-01-01', {}) == 'x'\n"
            "(other,) = set(psutil.Process().children()) - {worker}\n"
            "del own\n"
            "gc.collect()\n"
            "print(other.is_running(), worker.is_running())\n"
        )
        assert run(code) == "False True\n"


def test_an_endless_template_holds_up_nobody_for_long() -> None:
    done: list[str] = []

    def ask() -> None:
        done.append(template(HONEST).render(USER))

    thread = threading.Thread(target=ask)
    thread.start()
    with pytest.raises(PromptError):
        template(ENDLESS["power"]).render(USER)
    thread.join()
    assert done == ["<user>Hi"]


def test_the_promise() -> None:
    """Two seconds and 256 MB: what the limits leave is for the start of a process and its read-only pages."""
    assert wire.CPU_SECONDS <= 1
    assert wire.DATA_BYTES + (8 << 20) < 240 << 20
    assert isinstance(RENDERER, renderer.Renderer)
