"""llama.cpp's own test cases of its chat parsers (``tests/test-chat.cpp``), read out of the C++ source.

Only what this project needs is understood: chains such as ``tst.test("...").tools({...}).expect(...).run()``.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.archive import archive

if TYPE_CHECKING:
    from collections.abc import Iterator

_LITERAL = re.compile(
    r'R"(?P<mark>[^\s()\\]*)\((?P<raw>.*?)\)(?P=mark)"|"(?P<plain>(?:[^"\\]|\\.)*)"', re.DOTALL
)
_COMMENT = re.compile(rf"(?P<literal>{_LITERAL.pattern})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TESTER = re.compile(r'(\w+)\s*=\s*peg_tester\(\s*("[^"]*"|\w+)|for \(const auto & path :\s*\{([^}]*)\}')
_TEST = re.compile(r"\btst\w?\s*\.test\(")
_METHOD = re.compile(r"\s*\.\s*(\w+)\(")
_TOOL = re.compile(r"static common_chat_tool (\w+)\s*\{(.*?)\n\};", re.DOTALL)
_MESSAGE = re.compile(r"^const common_chat_msg (\w+)\s*=\s*(.*?);\n", re.DOTALL | re.MULTILINE)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}

Call = tuple[str, Any, str]
"""Name, arguments, id."""

_OF_FUNCTIONS = ("LFM2-8B-A1B.jinja", "LFM2.5-Instruct.jinja")
"""What the one function is called with whose tester gets its template as an argument."""


class Case(NamedTuple):
    """What llama.cpp's parser makes of a text.

    Attributes:
        line: of the source.
        template: file name.
        text: what the model says.
        tools: that it was given.
        thinks: whether the template was asked to let it think.
        calls: what is expected.
    """

    line: int
    template: str
    text: str
    tools: list[dict[str, Any]]
    thinks: bool
    calls: list[Call]


@functools.cache
def cases() -> tuple[list[Case], int]:
    """All cases of whole replies, and how many chains were left out: pieces of replies, other settings."""
    source = (archive() / "vendor/llama.cpp/tests/test-chat.cpp").read_text(encoding="utf-8")
    tools = {name: _tool(body) for name, body in _TOOL.findall(source)}
    messages = dict(_MESSAGE.findall(source))
    found: list[Case] = []
    left_out = 0
    testers = list(_TESTER.finditer(source))
    # A loop's own tester has no templates of its own, but those of the loop.
    for test in _TEST.finditer(source, testers[0].start()):
        text_of, methods = _chain(source, test.end())
        said = _text(text_of)
        paths = _paths([tester for tester in testers if tester.start() < test.start()])
        unusual = {"is_partial", "messages", "json_schema", "continue_final_message"} & methods.keys()
        if said is None or unusual or "expect_error" in methods:
            left_out += 1
            continue
        wanted = " ".join(methods.get(key, "") for key in ("expect", "expect_tool_calls"))
        try:
            expected = _calls(wanted, messages)
            given = [tools[name] for name in re.findall(r"\w+", methods.get("tools", ""))]
        except (KeyError, json.JSONDecodeError):
            # A tool or a message of one test alone, or arguments that only begin.
            left_out += 1
            continue
        line = source.count("\n", 0, test.start()) + 1
        thinks = methods.get("enable_thinking", "true") == "true"
        found += [Case(line, path, said, given, thinks, expected) for path in paths]
    return found, left_out


def _paths(testers: list[re.Match[str]]) -> list[str]:
    """The templates of the last tester that was made."""
    written = testers[-1][2]
    if written == "path":
        written = next(tester[3] for tester in reversed(testers) if tester[3] is not None)
    elif not written.startswith('"'):
        return list(_OF_FUNCTIONS)
    return [path.rpartition("/")[2] for path in re.findall(r'"([^"]*)"', written)]


def _chain(source: str, at: int) -> tuple[str, dict[str, str]]:
    """The argument of ``test(`` and those of the methods after it, by their names."""
    first, at = _argument(source, at)
    methods: dict[str, str] = {}
    while found := _METHOD.match(_blanked(source[at : at + 400])):
        methods[found[1]], at = _argument(source, at + found.end())
        if found[1] == "run":
            break
    return first, methods


def _argument(source: str, start: int) -> tuple[str, int]:
    """What stands in brackets that were opened just before, and the place after them."""
    depth, at = 1, start
    while True:
        if skipped := _COMMENT.match(source, at):
            at = skipped.end()
            continue
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        at += 1
        if depth == 0:
            return source[start : at - 1], at


def _literals(source: str) -> Iterator[str]:
    for literal in _LITERAL.finditer(source):
        if literal["raw"] is not None:
            yield literal["raw"]
        else:
            yield re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), literal["plain"], flags=re.DOTALL)


def _blanked(source: str) -> str:
    """The same without what its comments say, at the same places."""
    return _COMMENT.sub(lambda found: found["literal"] or " " * len(found[0]), source)


def _text(source: str) -> str | None:
    """A text made of literals alone; None where variables have a part in it."""
    if _LITERAL.sub("", _blanked(source)).strip(" \n\t+"):
        return None
    return "".join(_literals(source))


def _tool(body: str) -> dict[str, Any]:
    name, description, parameters = _literals(_blanked(body))
    inner = {"name": name, "description": description, "parameters": json.loads(parameters)}
    return {"type": "function", "function": inner}


def _calls(source: str, messages: dict[str, str]) -> list[Call]:
    """The calls that a message, or a list of calls, has."""
    if not source.strip():
        return []
    source = re.sub(r"\bmessage_assist\w*", lambda m: messages.get(m[0], m[0]), _blanked(source))
    kind = re.search(r"simple_assist_msg|message_with_\w+", source)
    if kind is None and not source.strip().startswith("{"):
        raise KeyError(source)
    if kind is None:
        return [_call(_values(inner)) for inner in _groups(source)]
    arguments, _ = _argument(source, source.index("(", kind.start()) + 1)
    if kind[0] == "message_with_reasoning_content_and_multiple_tool_calls":
        return [_call(_values(inner)) for inner in _groups(_split(arguments)[2])]
    values = _values(arguments)[_BEFORE[kind[0]] :]
    # Only the first kind tells an id; a thought may stand in its place.
    return [_call(values if kind[0] == "simple_assist_msg" else values[:2])] if values else []


_BEFORE = {
    "simple_assist_msg": 2,
    "message_with_tool_calls": 0,
    "message_with_tool_calls_and_reasoning": 0,
    "message_with_content_and_tool_call": 1,
    "message_with_reasoning_and_tool_call": 1,
}
"""How many texts stand before the name: content and thought."""


def _groups(source: str) -> list[str]:
    """What stands in each of the ``{...}`` within ``{ {...}, {...} }``."""
    outer, _, _ = source.partition("{")[2].rpartition("}")
    return [part.strip().removeprefix("{").rpartition("}")[0] for part in _split(outer) if part.strip()]


def _split(source: str) -> list[str]:
    """The parts between the commas that stand in no brackets and no text."""
    parts, depth, at, begun = [], 0, 0, 0
    while at < len(source):
        if literal := _LITERAL.match(source, at):
            at = literal.end()
            continue
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(source[at], 0)
        if source[at] == "," and depth == 0:
            parts.append(source[begun:at])
            begun = at + 1
        at += 1
    return [*parts, source[begun:]]


def _values(source: str) -> list[str]:
    """The texts between commas; other values than texts and ``{}`` are an error."""
    parts = _split(source)
    if any(_LITERAL.sub("", part).strip(" \n\t{}") for part in parts):
        raise KeyError(source)
    return ["".join(_literals(part)) for part in parts]


def _call(values: list[str]) -> Call:
    name, arguments, number = [*values, "", ""][:3]
    return name, json.loads(arguments or "{}"), number
