"""The worker: compiles and renders chat templates, which are code from strangers, in a process of its own.

A sandbox inside Python keeps a template from other objects, not from the machine: ``10**(10**8)``,
``"x" | center(10**9)`` or a loop that doubles a string hold the interpreter in C code, where no tracer and
no signal handler runs. So the kernel keeps the limits: an interval timer over CPU time, whose default action
ends the process wherever it is, and a limit on its memory. `renderer` starts it and says what happened.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.prompts.wire import (
    ANSWER,
    CPU_SECONDS,
    DATA_BYTES,
    DONE,
    FAILED,
    KEPT_TEMPLATES,
    QUESTION,
    UNKNOWN,
    Failure,
    Moment,
    Trouble,
    Verb,
    output_limit,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO

    import jinja2


_PART = 1 << 16


class Worker:
    """Compiled templates, and answers to questions about them. Keeps no limit by itself."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, jinja2.Template] = OrderedDict()

    def answer(self, question: bytes) -> tuple[bytes, bytes]:
        """The kind and the payload of the answer to one question."""
        try:
            verb, key, source, now, given = marshal.loads(question)
            if source is None and (key not in self._compiled or verb == Verb.VARIABLES):
                return UNKNOWN, b""
            if verb == Verb.VARIABLES:
                done = self._variables(key, source, now)
            else:
                done = self._render(key, source, now, given, output_limit(len(question)))
        except MemoryError:
            failure = Failure(Trouble.MEMORY)
        # Whatever is raised in there is the template's doing: also a TypeError or a ZeroDivisionError.
        except Exception as error:
            failure = describe(error)
        else:
            return done
        # Outside of the handler, which holds on to the frames and all that the template made in them.
        return FAILED, failure.pack()

    def _render(
        self, key: str, source: str | None, now: Moment, given: dict[str, Any], limit: int
    ) -> tuple[bytes, bytes]:
        pieces = []
        room = limit
        for piece in self._template(key, source, now).generate(given):
            room -= len(piece)
            if room < 0:
                return FAILED, Failure(Trouble.LONG, str(limit)).pack()
            pieces.append(piece)
        return DONE, "".join(pieces).encode()

    def _variables(self, key: str, source: str, now: Moment) -> tuple[bytes, bytes]:
        from jinja2 import meta

        # Compiled first, so that a syntax error is reported in one way only.
        environment = self._template(key, source, now).environment
        names = meta.find_undeclared_variables(environment.parse(source))
        return DONE, "\n".join(sorted(names)).encode()

    def _template(self, key: str, source: str | None, now: Moment) -> jinja2.Template:
        found = self._compiled.get(key)
        if found is None:
            assert source is not None
            found = self._compiled[key] = compile_template(source, now)
            if len(self._compiled) > KEPT_TEMPLATES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return found


class CompilationError(Exception):
    """The source is no template; with what was the matter."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def compile_template(source: str, now: Moment) -> jinja2.Template:
    """The template, in an environment of its own.

    Raises:
        CompilationError: it cannot be compiled.
    """
    import jinja2

    from pytest_llmcheck.prompts.sandbox import make_environment

    try:
        return make_environment(datetime.fromisoformat(now)).from_string(source)
    except jinja2.TemplateSyntaxError as error:
        failure = Failure(Trouble.SYNTAX, (error.message or "").rstrip("."), error.lineno)
    except (RecursionError, SyntaxError):
        # jinja2 writes Python, which refuses more than 20 loops or 100 indentations inside each other.
        failure = Failure(Trouble.DEEP)
    raise CompilationError(failure)


def describe(error: Exception) -> Failure:
    """What an error of a template means."""
    import jinja2

    from pytest_llmcheck.prompts.sandbox import RaisedByTemplateError

    if isinstance(error, CompilationError):
        return error.failure
    line = _line_of(error.__traceback__)
    if isinstance(error, RaisedByTemplateError):
        return Failure(Trouble.REFUSED, str(error), line)
    if isinstance(error, jinja2.UndefinedError):
        return Failure(Trouble.UNDEFINED, str(error), line)
    if isinstance(error, jinja2.exceptions.SecurityError):
        return Failure(Trouble.FORBIDDEN, str(error), line)
    if isinstance(error, RecursionError):
        return Failure(Trouble.ENDLESS, "", line)
    return Failure(Trouble.FAILED, f"{type(error).__name__}: {error}", line)


def _line_of(traceback: TracebackType | None) -> int | None:
    """The template's innermost line; jinja2 maps the frames of compiled templates back to their source."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def confine() -> None:
    """Bind this process to the limits, for good."""
    import resource

    # A parent that handles or blocks the signal hands that down, and the limit would not hold.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    # Ctrl-C is the parent's to handle; with its end our input ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, limit in ((resource.RLIMIT_DATA, DATA_BYTES), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(name)
        lowest = limit if most == resource.RLIM_INFINITY else min(limit, most)
        try:
            resource.setrlimit(name, (lowest, lowest))
        except (ValueError, OSError):
            # Other systems refuse or ignore limits on memory; that on CPU time holds there.
            if sys.platform == "linux":
                raise


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the questions end."""
    worker = Worker()
    while len(header := questions.read(QUESTION.size)) == QUESTION.size:
        (length,) = QUESTION.unpack(header)
        try:
            question = questions.read(length)
        except MemoryError:
            # Nothing of it was read. Who asks listens only when all of it is.
            kind, payload = FAILED, Failure(Trouble.MEMORY).pack()
            _skip(questions, length)
        else:
            if len(question) < length:
                break
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            kind, payload = worker.answer(question)
            signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            answers.write(ANSWER.pack(kind, len(payload)))
            answers.write(payload)
            answers.flush()
        except BrokenPipeError:
            break


def _skip(questions: BinaryIO, length: int) -> None:
    while length > 0 and (part := questions.read(min(length, _PART))):
        length -= len(part)


def main() -> None:
    """Confine this process, and serve on stdin and stdout."""
    answers = sys.stdout.buffer
    try:
        confine()
        # Imported before the first question, which has a limit on its time.
        import pytest_llmcheck.prompts.sandbox  # noqa: F401 - for its time alone
    except Exception as error:
        payload = Failure(Trouble.START, f"{type(error).__name__}: {error}").pack()
        answers.write(ANSWER.pack(FAILED, len(payload)) + payload)
        answers.flush()
    else:
        serve(sys.stdin.buffer, answers)
    # Nothing here needs an orderly end, and the pipes may be broken.
    os._exit(0)
