"""What the renderer and its worker agree on: the limits, and the layout of what goes over the pipes.

A question is its length and a ``marshal`` of plain values: it keeps tuples, big integers and NaN, which JSON
does not, and the worker may trust it, for it comes from us. An answer comes from where a stranger's code
runs, so it is never more than text: a letter for what it is, its length, and UTF-8.
"""

from __future__ import annotations

import json
import struct
from enum import StrEnum
from typing import NamedTuple

CPU_SECONDS = 1.0
"""CPU time of one question: half of the two seconds that are promised, the other half is for the start of a
process and a busy machine. The largest real templates take 0.1 s to compile and 0.001 s to render."""

WALL_SECONDS = 30.0
"""After this the machine, not the template, is the trouble: only CPU time is spent in there."""

DATA_BYTES = 224 << 20
"""Private writable memory of the worker (``RLIMIT_DATA``). With its stack (8 MB) and the pages of the
interpreter's files (some 15 MB) the whole process stays under 256 MB."""

OUTPUT_CHARACTERS = 4 << 20
"""What any template may print, beside `OUTPUT_TIMES` of what it was given."""

OUTPUT_TIMES = 4

MESSAGE_CHARACTERS = 2000
"""What is kept of an error's own words: they may be a template's."""

KEPT_TEMPLATES = 32
"""How many compiled templates a worker holds."""

QUESTION = struct.Struct(">Q")
ANSWER = struct.Struct(">cQ")

DONE, FAILED, UNKNOWN = b"D", b"F", b"U"
"""Kinds of answers. Unknown: the template has to be sent along."""

Moment = str
"""A date and time, in ISO 8601."""


class Verb(StrEnum):
    """What can be asked of the worker."""

    RENDER = "render"
    VARIABLES = "variables"


class Trouble(StrEnum):
    """Why there is no answer. The first ones are told by the worker, the others are seen from outside."""

    SYNTAX = "syntax"
    DEEP = "deep"
    REFUSED = "refused"
    UNDEFINED = "undefined"
    FORBIDDEN = "forbidden"
    ENDLESS = "endless"
    FAILED = "failed"
    LONG = "long"
    MEMORY = "memory"
    START = "start"
    CPU = "cpu"
    WALL = "wall"
    CRASHED = "crashed"


LIMITS = frozenset({Trouble.CPU, Trouble.MEMORY, Trouble.LONG})
"""What only a template does that means harm, or messages of many megabytes."""

PASSING = frozenset({Trouble.START, Trouble.WALL, Trouble.CRASHED})
"""What a busy machine, or one without memory, may do to an honest template."""


class Failure(NamedTuple):
    """Why a template could not be rendered.

    Attributes:
        trouble: the kind.
        text: the words of the error.
        line: of the template; None where it is not known.
    """

    trouble: Trouble
    text: str = ""
    line: int | None = None

    def pack(self) -> bytes:
        """As the payload of an answer."""
        # Lone surrogates could be neither printed nor written to a report.
        text = self.text[:MESSAGE_CHARACTERS].encode(errors="backslashreplace").decode()
        return json.dumps([self.trouble, text, self.line]).encode()

    @classmethod
    def unpack(cls, payload: bytes) -> Failure:
        """The failure in an answer.

        Raises:
            ValueError: it is none: the worker is not what we started any more.
        """
        parts = json.loads(payload)
        if not isinstance(parts, list) or len(parts) != 3:
            raise ValueError("not a failure")
        trouble, text, line = parts
        if not isinstance(text, str) or not isinstance(line, int | None):
            raise ValueError("not a failure")
        return cls(Trouble(trouble), text, line)


def output_limit(asked: int) -> int:
    """How many characters a template may print.

    Args:
        asked: size of the question in bytes: the messages, and what else it is rendered with.
    """
    return OUTPUT_CHARACTERS + OUTPUT_TIMES * asked
