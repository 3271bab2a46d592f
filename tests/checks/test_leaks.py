"""What must not stand in an answer is found, and what answers may say is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcheck import closed_thought, no_control_tokens, valid_text
from pytest_llmcheck.checks.thought import Thought
from pytest_llmcheck.prompts.tool_calls import ToolCall
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply

if TYPE_CHECKING:
    from pytest_llmcheck.engines.reply import Reply

THINKS = "{{ '<think>' + thought + '</think>' }}"
PLAIN = "{{ content }}"


@dataclass(frozen=True)
class Known:
    """Where a reply comes from."""

    template: str = PLAIN
    control_tokens: frozenset[str] = frozenset()
    said: str = ""

    def says(self, text: str) -> bool:
        return text in self.said

    def count(self) -> Any:
        raise NotImplementedError

    def again(self, *, content_tokens: str) -> Reply:
        raise NotImplementedError


def asked(reply: Reply, said: str = "", template: str = PLAIN, own: tuple[str, ...] = ()) -> Reply:
    return replace(reply, origin=Known(template, frozenset(own), said))


class TestValidText:
    def test_passed(self) -> None:
        verdict = valid_text()(make_reply("Ja, schön 🙂"))
        assert (verdict.status, verdict.reason, verdict.score) == (Status.PASSED, "all bytes are text", 1.0)

    def test_failed(self) -> None:
        verdict = valid_text()(make_reply("a b\ufffdc\ufffd", pieces=["a b", "\ufffd", "c", "\ufffd"]))
        assert verdict.reason == (
            "expected text; got bytes that are not UTF-8 (U+FFFD), 2 times, first at line 1, column 4\n"
            "a b\ufffdc\ufffd\n"
            "   ^\n"
            "written by '\ufffd' 0.50, '~' 0.25\n"
            "damaged weights or a too small quant do this; compare with the reference"
        )
        assert (verdict.status, verdict.score) == (Status.FAILED, 0.0)
        assert verdict.evidence == {"found": "\ufffd", "position": 3, "token": 1}

    def test_half_a_character_at_the_end_of_a_cut_reply(self) -> None:
        cut = make_reply("schön \ufffd\ufffd", finish_reason="length")
        assert valid_text()(cut).status is Status.PASSED
        assert valid_text()(replace(cut, finish_reason="stop")).status is Status.FAILED
        assert valid_text()(replace(cut, text="a\ufffdb\ufffd")).status is Status.FAILED

    def test_the_prompt_has_it_too(self) -> None:
        reply = make_reply("You wrote \ufffd.")
        assert valid_text()(asked(reply, "What is \ufffd?")).status is Status.PASSED
        assert valid_text()(asked(reply, "What?")).status is Status.FAILED
        assert valid_text()(make_reply("\ufffd", prompt="\ufffd?")).status is Status.PASSED

    @given(st.text(st.characters(exclude_characters="\ufffd", codec="utf-8")), st.integers(0))
    @settings(max_examples=50)
    def test_law(self, text: str, place: int) -> None:
        assert valid_text()(make_reply(text)).status is Status.PASSED
        at = place % (len(text) + 1)
        assert valid_text()(make_reply(f"{text[:at]}\ufffd{text[at:]}")).status is Status.FAILED


LEAKS = (
    "Sure.<|im_end|>",
    "Sure.<|im_start|>assistant\nSure.",
    "Sure.</s>",
    "[INST] And now? [/INST]",
    "Sure.<｜end▁of▁sentence｜>",  # noqa: RUF001 - as DeepSeek spells it
    "Sure.<end_of_turn>\n<start_of_turn>user",
    "<<SYS>>Be kind.<</SYS>>",
    "Sure.[|endofturn|]",
    "Sure.<|unheard_of|>",
    "Sure.<eos>",
    "```\nx = 1\n```<|im_end|>\n<|im_start|>user\n```\nx = 2\n```",
    "```\nx = 1<|im_end|>",
)
HEALTHY = (
    "if a < b and c > d: print([1, 2], x[i])",
    "<s>old price</s> <b>new price</b>",
    "Run `python <filename>`, then [Your Name] signs.",
    "The marker `<|im_end|>` ends a turn of ChatML, and '</s>' one of Llama 2.",
    "A turn ends with **<|im_end|>**.",
    "Like this:\n```\n<|im_start|>user\nHi<|im_end|>\n```\nNothing else.",
    "let f = xs |> List.map g <| [| 1; 2 |]",
    "<html><body><think-tank></body></html>",
    "a <| b |> c <||> d",
    "see [1], [ok] and <https://example.org/|x>",
    '<tool_call>{"name": "f"}</tool_call>',
    "<|tool_call_begin|>f<|tool_call_end|>",
    "[TOOL_CALLS]",
)


class TestNoControlTokens:
    @pytest.mark.parametrize("text", LEAKS)
    def test_letters(self, text: str) -> None:
        assert no_control_tokens()(make_reply(text)).status is Status.FAILED

    @pytest.mark.parametrize("text", HEALTHY)
    def test_healthy(self, text: str) -> None:
        verdict = no_control_tokens()(asked(make_reply(text), own=("<filename>", "[TOOL_CALLS]")))
        assert (verdict.status, verdict.reason) == (Status.PASSED, "no control token is left in the reply")

    def test_letters_as_they_are_told(self) -> None:
        text = "Sure.<|im_end|>\n<|im_start|>user\nMore?<|im_end|>"
        pieces = ["Sure.", "<", "|im_end|>\n<|im_start|>user\nMore?<|im_end|>"]
        verdict = no_control_tokens()(make_reply(text, pieces=pieces))
        assert verdict.reason == (
            "expected no control tokens in the reply; got '<|im_end|>' as letters, 2 times, first at line 1, "
            "column 6; also '<|im_start|>'\n"
            "Sure.<|im_end|>\n"
            "     ^\n"
            "written by '<' 0.50, '~' 0.25\n"
            "a chat template that is not the model's own, or a broken end of turn, does this: look at "
            "reply.prompt.text and run llmcheck inspect"
        )
        assert verdict.evidence == {"found": "<|im_end|>", "position": 5, "token": 1}

    def test_tokens_that_the_text_does_not_show(self) -> None:
        raw = "Sure.<|im_start|>user"
        reply = make_reply("Sure.user", pieces=["Sure.", "<|im_start|>", "user"])
        verdict = no_control_tokens()(replace(reply, raw=raw, controls=((5, 17),)))
        assert verdict.reason.splitlines()[:4] == [
            "expected no control tokens in the reply; got '<|im_start|>', at line 1, column 6",
            raw,
            "     ^",
            "written by '<|im_start|>' 0.50, '~' 0.25",
        ]

    @pytest.mark.parametrize("name", ["<|python_tag|>", "[TOOL_CALLS]", "<|tool_calls_section_begin|>"])
    def test_markers_of_tool_calls_are_free(self, name: str) -> None:
        reply = replace(make_reply("f()"), raw=f"{name}f()", controls=((0, len(name)),))
        assert no_control_tokens()(reply).status is Status.PASSED

    def test_whatever_stands_in_a_tool_call_is_free(self) -> None:
        raw = '<|open|>f<|sep|>{"a": 1}<|end|>'
        reply = replace(make_reply(""), raw=raw, controls=((0, 8), (9, 16), (24, 31)))
        call = ToolCall(name="f", arguments={"a": 1}, text=raw, start=0, end=len(raw))
        assert no_control_tokens()(replace(reply, tool_calls=(call,))).status is Status.PASSED
        assert no_control_tokens()(reply).evidence["found"] == "<|open|>"

    def test_markers_of_thoughts_are_free(self) -> None:
        reply = replace(make_reply("4"), raw="<think>2+2</think>4", controls=((0, 7), (10, 18)))
        assert no_control_tokens()(asked(reply, template=THINKS)).status is Status.PASSED
        assert no_control_tokens()(asked(reply)).status is Status.FAILED

    def test_the_vocabulary_knows_more(self) -> None:
        reply = make_reply("Sure.[SYSTEM_PROMPT]")
        assert no_control_tokens()(reply).status is Status.PASSED
        assert no_control_tokens()(asked(reply, own=("[SYSTEM_PROMPT]",))).status is Status.FAILED

    def test_messages_that_talk_about_it(self) -> None:
        reply = make_reply("You mean <|im_end|> by that.", prompt="<|im_start|>user\nHi<|im_end|>")
        assert no_control_tokens()(asked(reply, "What is <|im_end|>?")).status is Status.PASSED
        # The template's own say nothing.
        assert no_control_tokens()(asked(reply, "Hi")).status is Status.FAILED

    def test_many(self) -> None:
        text = "".join(f"<|a{n}|>" for n in range(9))
        first = no_control_tokens()(make_reply(text)).reason.splitlines()[0]
        assert first.endswith("also '<|a1|>', '<|a2|>', '<|a3|>', '<|a4|>', '<|a5|>' and 3 others")

    @given(st.text("<>|[]/sa", max_size=60))
    @settings(max_examples=200)
    def test_never_raises(self, text: str) -> None:
        verdict = no_control_tokens()(asked(make_reply(text)))
        if verdict.status is Status.FAILED:
            assert verdict.evidence["found"] in text


class TestClosedThought:
    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("Hm.</think>Yes.", "'</think>' closes one that never began, at line 1, column 4"),
            ("Yes. <think>Hm.", "'<think>' begins one that never ends, at line 1, column 6"),
            (
                "<thinking>Hm.</thinking>Yes.",
                "the reply begins with one ('<thinking>'), and the chat template knows of none, at line 1, "
                "column 1",
            ),
            ("```\nx\n``` </think>", "'</think>' closes one that never began, at line 3, column 5"),
        ],
    )
    def test_a_template_that_knows_of_none(self, text: str, what: str) -> None:
        verdict = closed_thought()(asked(make_reply(text)))
        assert verdict.reason.splitlines()[0] == f"expected the thought apart from the answer; {what}"
        assert closed_thought()(make_reply(text)).status is Status.FAILED

    def test_failed(self) -> None:
        raw = "<think>Hm.</think>Yes. </think>No."
        pieces = ["<think>", "Hm.", "</think>", "Yes. ", "</think>", "No."]
        reply = replace(make_reply("Yes. </think>No.", pieces=pieces), raw=raw, thinking="Hm.")
        verdict = closed_thought()(asked(reply, template=THINKS))
        assert verdict.reason == (
            "expected the thought apart from the answer; '</think>' closes one within the answer, at line 1, "
            "column 24\n"
            f"{raw}\n"
            f"{' ' * 23}^\n"
            "written by '</think>' 0.50, '~' 0.25\n"
            "look at reply.raw; where all replies have it, the chat template is not the model's own: run "
            "llmcheck inspect"
        )

    @pytest.mark.parametrize(
        ("raw", "text", "template"),
        [
            ("<think>Hm.</think>Yes.", "Yes.", THINKS),
            ("Yes.", "Yes.", THINKS),
            ("<think>Hm.", "", THINKS),  # `finished` says that.
            ("It is `</think>` that ends it.", "It is `</think>` that ends it.", PLAIN),
            ("```\n<think>\n```", "```\n<think>\n```", PLAIN),
            ("<think>```</think>Yes: ```</think>```", "Yes: ```</think>```", THINKS),
            ("I <b>think</b> so", "I <b>think</b> so", PLAIN),
            ("as in <thought>a</thought>", "as in <thought>a</thought>", PLAIN),
        ],
    )
    def test_healthy(self, raw: str, text: str, template: str) -> None:
        verdict = closed_thought()(asked(replace(make_reply(text), raw=raw), template=template))
        assert (verdict.status, verdict.reason) == (
            Status.PASSED,
            "no marker of a thought is left in the answer",
        )

    def test_asked_for(self) -> None:
        reply = make_reply("<thinking>Hm.</thinking>Yes.")
        assert closed_thought()(asked(reply, "Think between <thinking> tags.")).status is Status.PASSED


@pytest.mark.parametrize("check", [valid_text(), no_control_tokens(), closed_thought()])
def test_what_is_no_reply_is_judged_by_its_text(check: Any) -> None:
    assert check(Thought("Yes.", "stop")).status is Status.PASSED
    assert check(Thought("\ufffd</think><|im_end|> ", "stop")).status is Status.FAILED
