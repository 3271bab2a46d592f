"""The worker's answers, asked in this process: what it keeps, and how it says what went wrong."""

from __future__ import annotations

import io
import marshal
from typing import Any

import pytest

from pytest_llmcheck.prompts.wire import (
    ANSWER,
    DONE,
    FAILED,
    KEPT_TEMPLATES,
    QUESTION,
    UNKNOWN,
    Failure,
    Trouble,
    Verb,
)
from pytest_llmcheck.prompts.worker import Worker, serve

NOW = "2024-07-26T00:00:00"


def question(key: str, source: str | None, given: Any = None, verb: Verb = Verb.RENDER) -> bytes:
    return marshal.dumps((verb.value, key, source, NOW, given or {}))


def test_a_template_is_sent_once() -> None:
    worker = Worker()
    assert worker.answer(question("a", None)) == (UNKNOWN, b"")
    assert worker.answer(question("a", "<{{ x }}>", {"x": 1})) == (DONE, b"<1>")
    assert worker.answer(question("a", None, {"x": "ä"})) == (DONE, "<ä>".encode())


def test_the_oldest_are_forgotten() -> None:
    worker = Worker()
    for number in range(KEPT_TEMPLATES + 1):
        worker.answer(question(str(number), "x"))
        worker.answer(question("0", None))
    assert worker.answer(question("0", None)) == (DONE, b"x")
    assert worker.answer(question("1", None)) == (UNKNOWN, b"")
    assert worker.answer(question("2", None)) == (DONE, b"x")


def test_variables_need_the_source() -> None:
    worker = Worker()
    source = "{{ b }}{% set c = a %}{{ c }}{{ strftime_now('%d %b %Y') }}"
    assert worker.answer(question("k", source)) == (DONE, b"26 Jul 2024")
    assert worker.answer(question("k", None, verb=Verb.VARIABLES)) == (UNKNOWN, b"")
    assert worker.answer(question("k", source, verb=Verb.VARIABLES)) == (DONE, b"a\nb")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\n{% if %}", Failure(Trouble.SYNTAX, "Expected an expression, got 'end of statement block'", 2)),
        ("{% for x in y %}" * 30 + "{% endfor %}" * 30, Failure(Trouble.DEEP)),
        ("\n{{ raise_exception('No') }}", Failure(Trouble.REFUSED, "No", 2)),
        ("{{ x.y }}", Failure(Trouble.UNDEFINED, "'x' is undefined", 1)),
        ("{{ ''.__class__ }}", Failure(Trouble.FORBIDDEN, "access to '__class__' of a str", 1)),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Failure(Trouble.ENDLESS, "", 1)),
        ("{{ 1 / 0 }}", Failure(Trouble.FAILED, "ZeroDivisionError: division by zero", 1)),
        (
            "{% include 'other' %}",
            Failure(
                Trouble.FORBIDDEN,
                "it asks for another template, 'other', and a chat template has to stand alone",
                1,
            ),
        ),
    ],
)
def test_failures(source: str, expected: Failure) -> None:
    kind, payload = Worker().answer(question("k", source))
    assert (kind, Failure.unpack(payload)) == (FAILED, expected)


def test_too_much_output() -> None:
    kind, payload = Worker().answer(question("k", "{% for i in range(9999) %}{{ 'x' * 999 }}{% endfor %}"))
    assert kind == FAILED
    failure = Failure.unpack(payload)
    assert failure.trouble == Trouble.LONG
    assert 4 << 20 < int(failure.text) < 5 << 20


def test_an_undefined_key_that_has_the_name_of_a_method() -> None:
    # As in transformers; only Python's internals are an error.
    source = "{{ x.pop is defined }}{{ 1 if x.update else 2 }}"
    assert Worker().answer(question("k", source, {"x": {}})) == (DONE, b"False2")


def test_it_serves_until_its_questions_end() -> None:
    asked = [question("a", "one"), question("a", None), question("b", None)]
    stream = b"".join(QUESTION.pack(len(each)) + each for each in asked)
    answers = io.BytesIO()
    serve(io.BytesIO(stream + QUESTION.pack(100) + b"cut"), answers)
    expected = [(DONE, b"one"), (DONE, b"one"), (UNKNOWN, b"")]
    assert answers.getvalue() == b"".join(ANSWER.pack(kind, len(said)) + said for kind, said in expected)


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"{}", b"[1]", b'["cpu", 1, null]', b'["?", "", null]', b"\xff"]
)
def test_a_failure_that_is_none(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of json, of an enumeration, or ours
        Failure.unpack(payload)
