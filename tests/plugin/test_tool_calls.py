"""Calls of tools, from the model to the run record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from pytest_llmcheck import ToolCall
from pytest_llmcheck.prompts import ChatTemplate
from pytest_llmcheck.session.record import TestLine, read_record
from tests.support.calling import WEATHER, parsed
from tests.support.projects import errors
from tests.support.steered import steered_llama

if TYPE_CHECKING:
    from tests.support.projects import Project

TALK = (
    "{% if tools %}{{ tools[0].function.name }}{% endif %}"
    "{% for m in messages %}{% for c in m.tool_calls or [] %}CALL{% endfor %}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}"
)
CALL = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
HERMES = (
    TALK.replace("CALL", f"<tool_call>{CALL}</tool_call>") + "{# <think> #}{{ '' if true else '</think>' }}"
)
MISTRAL = TALK.replace("CALL", "[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}")
SHOUTING = TALK.replace("CALL", "CALL {{ c.function.name }}")
"""Templates in little: they name the tool, and show how a call is written."""

TOOLS = """
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "f",
            "description": "It does.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
"""


def held(project: Project, template: str, text: str) -> None:
    """A random model that a grammar has say a text."""
    project.declare("f16")
    project.write("chat.jinja", template)
    config = (project.path / "pyproject.toml").read_text(encoding="utf-8")
    project.write("pyproject.toml", config + 'chat_template = "chat.jinja"\n')
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    project.write("said.py", f"{TOOLS}\nSAID = r'''root ::= \"{escaped}\"'''\n")


def test_control_tokens_that_begin_a_call(project: Project) -> None:
    """Mistral's markers are control tokens, which `reply.text` does not show."""
    steered_llama(
        project.path / "m.gguf",
        "[TOOL_CALLS]f[ARGS]{}",
        extra=("[TOOL_CALLS]", "[ARGS]"),
        chat_template=MISTRAL,
    )
    project.declare(m=project.path / "m.gguf")
    project.tests(
        TOOLS
        + dedent("""
        import pytest
        from pytest_llmcheck import calls, calls_nothing, calls_only

        def test_it(llm):
            reply = llm.chat("What is it?", tools=TOOLS)
            (call,) = reply.tool_calls
            assert (call.name, call.arguments, call.text) == ("f", {}, "[TOOL_CALLS]f[ARGS]{}")
            assert (reply.text, reply.raw[call.start : call.end]) == ("f{}", call.text)
            assert reply.broken_calls == ()
            assert reply.tool_format.name == "mistral-args"
            reply.expect(calls("f"), calls_only("f"))

        def test_another(llm):
            llm.chat("What is it?", tools=TOOLS).expect(calls_nothing())

        def test_no_tools(llm):
            reply = llm.chat("What is it?")
            assert (reply.tool_calls, reply.tool_format) == ((), None)
            reply.expect(calls("f"), without=["no_control_tokens"])
        """)
    )
    result = project.run()
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    told = "\n".join(errors(result))
    assert "calls_nothing(): expected no call" in told
    assert "it calls f()" in told
    assert "the token there: '[TOOL_CALLS]' 1.00" in told
    passed, failed, _ = project.test_lines
    for line in (passed, failed):
        (reply,) = line.replies
        assert [(call.name, call.arguments) for call in reply.tool_calls] == [("f", {})]
        assert reply.tool_format == "mistral-args"
    assert failed.verdicts[0].evidence["level"] == "other calls"


def test_text_that_is_a_call(project: Project) -> None:
    held(
        project,
        HERMES,
        '<tool_call>\n{"name": "f", "arguments": {"city": "Oslo"}}\n</tool_call>'
        '<tool_call>{"name": "f", "arg',
    )
    project.tests(
        dedent("""
        from said import SAID, TOOLS
        from pytest_llmcheck import calls

        def test_it(llm):
            reply = llm.chat("What is it?", tools=TOOLS, constrain=SAID, max_tokens=200)
            (call,), (broken,) = reply.tool_calls, reply.broken_calls
            assert call.arguments == {"city": "Oslo"}
            assert (broken.name, broken.text) == ("f", '<tool_call>{"name": "f", "arg')
            reply.expect(calls("f", city="Oslo"))
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    told = "\n".join(errors(result))
    assert "a call of 'f' that cannot be read: a string that is never closed" in told
    assert "the token there: " in told
    (line,) = project.test_lines
    (reply,) = line.replies
    assert [call.problem for call in reply.broken_calls] == ["a string that is never closed"]


def test_a_broken_call_is_not_the_answer_of_a_model_that_calls_nothing(project: Project) -> None:
    held(project, HERMES, '<tool_call>{"name": "f", "arguments": {"city": Oslo}}</tool_call>')
    project.tests(
        dedent("""
        from said import SAID, TOOLS
        from pytest_llmcheck import calls, not_

        def test_broken(llm):
            llm.chat("What is it?", tools=TOOLS, constrain=SAID, max_tokens=200).expect(not_(calls("f")))

        def test_wrong_check(llm):
            llm.chat("What is it?", tools=TOOLS, constrain=SAID, max_tokens=200).expect(not_(calls("g")))
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=2)
    told = "\n".join(errors(result))
    assert "sound_calls(): a call of 'f' that cannot be read: expected a JSON value" in told
    assert "CheckError: calls('g'): no tool of the request is called 'g': known: f" in told
    result.stdout.no_fnmatch_line("*pytest_llmcheck/checks*")


def test_what_it_thinks_of_calling(project: Project) -> None:
    call = '<tool_call>\n{{"name": "f", "arguments": {{"city": "{}"}}}}\n</tool_call>'
    held(project, HERMES, f"<think>\n{call.format('Rome')}\n</think>\n\n{call.format('Oslo')}")
    project.tests(
        dedent("""
        from said import SAID, TOOLS
        from pytest_llmcheck import calls_only

        def test_it(llm):
            reply = llm.chat("What is it?", tools=TOOLS, constrain=SAID, max_tokens=200)
            assert "Rome" in reply.thinking
            assert reply.text.startswith("<tool_call>")
            assert reply.raw[reply.tool_calls[0].start :] == reply.text
            reply.expect(calls_only("f", city="Oslo"))
        """)
    )
    project.run().assert_outcomes(passed=1)


def test_a_reply_is_judged_by_the_tools_of_its_request(project: Project) -> None:
    """Whatever becomes of the list, from whatever process and out of the cache; numbers of any size."""
    number = 10**30
    held(
        project,
        HERMES,
        f'<tool_call>{{"name": "f", "arguments": {{"city": "Z\\u00fcrich", "n": {number}}}}}</tool_call>',
    )
    project.tests(
        dedent(f"""
        import pytest
        from said import SAID
        from pytest_llmcheck import calls

        @pytest.mark.parametrize("again", [1, 2])
        def test_it(llm, llm_snapshot, again):
            tools = [{{"type": "function", "function": {{"name": "f", "parameters": {{"type": "object"}}}}}}]
            reply = llm.chat("What is it?", tools=tools, constrain=SAID, max_tokens=200)
            tools[0]["function"].clear()
            tools.clear()
            assert llm_snapshot == reply.text
            reply.expect(calls("f", city="Zürich", n={number}))
        """)
    )
    project.run("--llm-cache", "on", "--llm-update").assert_outcomes(passed=2)
    project.run("--llm-cache", "on", "-n2", using=("xdist",)).assert_outcomes(passed=2)
    lines = [line for file in project.records for line in read_record(file) if isinstance(line, TestLine)]
    assert [call.arguments for line in lines for call in line.replies[0].tool_calls] == [
        {"city": "Zürich", "n": number}
    ] * 4
    assert [line.replies[0].cached for line in lines] == [False, True, True, True]


def test_a_reply_that_a_schema_made(project: Project) -> None:
    """What looks like a call stands in a text of the JSON."""
    held(project, HERMES, "")
    project.tests(
        dedent("""
        from said import TOOLS
        from pytest_llmcheck import calls_nothing

        def test_it(llm):
            schema = {"const": ["<tool_call>{"]}
            reply = llm.chat("What is it?", tools=TOOLS, constrain=schema, max_tokens=200)
            assert reply.json() == ["<tool_call>{"]
            reply.expect(calls_nothing())
        """)
    )
    project.run().assert_outcomes(passed=1)


HOOK = """
import re
from pytest_llmcheck import ToolCall

class Shouted:
    name = "shouted"
    example = "CALL name"

    def recognises(self, template):
        return "CALL {{" in template

    def parse(self, text, tools):
        for found in re.finditer(r"CALL (\\w+)", text):
            yield ToolCall(found[1], {}, start=found.start(), end=found.end())

def pytest_llmcheck_tool_formats(config):
    return [Shouted()]
"""


def own_format(project: Project) -> None:
    held(project, SHOUTING, "Now: CALL f")
    project.tests(
        dedent("""
        from said import SAID, TOOLS
        from pytest_llmcheck import calls_only

        def test_it(llm):
            llm.chat("What is it?", tools=TOOLS, constrain=SAID, max_tokens=200).expect(calls_only("f"))
        """)
    )


def test_a_format_that_is_not_known(project: Project) -> None:
    own_format(project)
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*format of this chat template's tool calls is not known*"])
    (line,) = project.test_lines
    assert line.verdicts[0].status == "not applicable"


def test_a_format_of_a_plugin(project: Project) -> None:
    own_format(project)
    project.write("conftest.py", HOOK)
    project.run().assert_outcomes(passed=1)
    (line,) = project.test_lines
    (call,) = line.replies[0].tool_calls
    assert (call.name, call.text, line.replies[0].tool_format) == ("f", "CALL f", "shouted")


def examples() -> tuple[str, str]:
    """The tests and the hook of the page on tool calls."""
    page = (Path(__file__).parents[2] / "docs" / "tool-calls.md").read_text(encoding="utf-8")
    tests, _, hook = re.findall(r"<!-- elsewhere -->\n```python\n(.*?)```", page, re.DOTALL)
    return tests, hook


def test_the_example_of_the_page(project: Project) -> None:
    """Run as it stands; a fixture of the project's own, which wins over ours, has the model say this."""
    call = '<tool_call>{"name": "get_weather", "arguments": {"city": "%s"}}</tool_call>'
    said = [call % "Berlin", call % "Rome" + call % "Berlin", "Four."]
    held(project, HERMES, "")
    project.write(
        "conftest.py",
        f"""
import json
import pytest

SAID = iter({said!r})

class Held:
    def __init__(self, llm):
        self.llm = llm

    def chat(self, prompt, **given):
        grammar = f"root ::= {{json.dumps(next(SAID))}}"
        return self.llm.chat(prompt, constrain=grammar, max_tokens=200, **given)

@pytest.fixture
def llm(llm):
    return Held(llm)
""",
    )
    project.tests(examples()[0])
    project.run().assert_outcomes(passed=3)


def test_trying_it_as_on_the_page(project: Project) -> None:
    """With the real small model; the page shows the files as they are."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "tool-calls.md").read_text(encoding="utf-8")
    for name in ("hermes.jinja", "pyproject.toml", "test_weather.py"):
        text = (root / "examples" / "tools" / name).read_text(encoding="utf-8")
        assert f"\n{text}```\n" in page
        project.write(name, text)
    project.run().assert_outcomes(passed=1)
    (line,) = project.test_lines
    assert line.replies[0].tool_format == "hermes"


def test_the_template_of_the_page_is_that_of_its_models() -> None:
    """Calls that it renders read back; the results of tools and a system prompt stand where they belong."""
    source = (Path(__file__).parents[2] / "examples" / "tools" / "hermes.jinja").read_text(encoding="utf-8")
    template = ChatTemplate(source, bos_token="", eos_token="<|im_end|>")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "And Oslo?"}]
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    said: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [call, call]},
        {"role": "tool", "content": '{"rain": true}'},
    ]
    definition = json.dumps(WEATHER)
    one = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert template.render([*asked, *said], tools=[WEATHER]) == (
        "<|im_start|>system\nBe brief.\n\n"
        "# Tools\n\nYou may call one or more functions. Their signatures stand within <tools></tools>:\n"
        f"<tools>\n{definition}\n</tools>\n\n"
        "For each call return a JSON object with its name and arguments within <tool_call></tool_call>:\n"
        "<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\nAnd Oslo?<|im_end|>\n"
        f"<|im_start|>assistant\n{one}\n{one}<|im_end|>\n"
        '<|im_start|>user\n<tool_response>\n{"rain": true}\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n"
    )
    assert [call.text for call in parsed(f"{one}\n{one}", "hermes") if isinstance(call, ToolCall)] == [
        one
    ] * 2
    assert template.render(asked[1:]) == "<|im_start|>user\nAnd Oslo?<|im_end|>\n<|im_start|>assistant\n"


def test_the_format_of_the_page(project: Project) -> None:
    shape = TALK.replace("CALL", "{{ '|' + call.name + '|' }}{{ call.arguments | tojson }}|")
    held(project, shape.replace("for c in", "for call in"), 'I see. |f|{"city": "Oslo"}| |f|{"city|')
    project.write("conftest.py", examples()[1])
    project.tests(
        dedent("""
        from said import SAID, TOOLS

        def test_it(llm):
            reply = llm.chat("What is it?", tools=TOOLS, constrain=SAID)
            assert [(call.name, call.arguments) for call in reply.tool_calls] == [("f", {"city": "Oslo"})]
            assert [(call.name, call.text) for call in reply.broken_calls] == [("f", '|f|{"city|')]
        """)
    )
    project.run().assert_outcomes(passed=1)


def test_a_hook_that_returns_something_else(project: Project) -> None:
    own_format(project)
    project.write("conftest.py", "def pytest_llmcheck_tool_formats(config):\n    return ['hermes']\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert (
        "pytest_llmcheck_tool_formats returned 'hermes': it must return a list of formats, objects with "
        "name, example, recognises(template) and parse(text, tools)"
    ) in "\n".join(errors(result))
