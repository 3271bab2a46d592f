"""Prompts equal those of the judge, transformers' ``apply_chat_template``, byte for byte.

Every template of llama.cpp's collection is rendered with every kind of conversation. Where the judge refuses
or fails, so do we, with the template's own words.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import tokenizers
import transformers
from msgspec import structs
from transformers.utils import chat_template_utils

from pytest_llmcheck.errors import LlmcheckError, PromptError
from pytest_llmcheck.prompts import ChatTemplate, choose_template
from pytest_llmcheck.prompts.template import FIXED_DATE
from tests.support.archive import archive
from tests.support.conversations import CONVERSATIONS, TOOLS, Conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = sorted((archive() / "vendor" / "llama.cpp" / "models" / "templates").glob("*.jinja"))
VARIABLES = {"fireworks-ai-llama-3-firefunction-v2": {"functions": "[]", "datetime": "2024-07-26"}}
"""Without which a template renders nothing at all."""

TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}


class FixedClock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> FixedClock:
        return cls(FIXED_DATE.year, FIXED_DATE.month, FIXED_DATE.day)


@pytest.fixture(scope="module", autouse=True)
def _the_judge_reads_our_date() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_template_utils, "datetime", FixedClock)
        yield


@pytest.fixture(scope="module")
def judge() -> Any:
    """A tokenizer of transformers; it needs a vocabulary, if only for its special tokens."""
    words = {token: at for at, token in enumerate(TOKENS.values())}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer: Any = transformers.PreTrainedTokenizerFast
    return tokenizer(tokenizer_object=plain, **TOKENS)


def judged(judge: Any, source: str, given: Conversation) -> str:
    rendered = judge.apply_chat_template(
        given.messages,
        tools=given.tools,
        chat_template=source,
        # Ours is on unless told otherwise, and the judge refuses both.
        add_generation_prompt=given.add_generation_prompt and not given.continue_final_message,
        continue_final_message=given.continue_final_message,
        tokenize=False,
        **given.variables,
    )
    assert isinstance(rendered, str)
    return rendered


def ours(source: str, given: Conversation) -> str:
    special = {name: text for name, text in TOKENS.items() if name not in ("bos_token", "eos_token")}
    template = ChatTemplate(
        source, bos_token=TOKENS["bos_token"], eos_token=TOKENS["eos_token"], special_tokens=special
    )
    return template.render(
        given.messages,
        tools=given.tools,
        add_generation_prompt=given.add_generation_prompt,
        continue_final_message=given.continue_final_message,
        **given.variables,
    )


def test_the_collection() -> None:
    assert len(TEMPLATES) >= 70


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.stem)
def test_equal(judge: Any, file: Any) -> None:
    source = file.read_text(encoding="utf-8")
    rendered, problems = 0, []
    always = VARIABLES.get(file.stem, {})
    for name, conversation in CONVERSATIONS.items():
        given = structs.replace(conversation, variables={**always, **conversation.variables})
        expected = refusal = None
        try:
            expected = judged(judge, source, given)
        except jinja2.TemplateError as error:
            refusal = str(error)
        # Whatever it raises, we have to raise too.
        except Exception:
            refusal = ""
        try:
            got = ours(source, given)
        except PromptError as error:
            if refusal is None:
                problems.append(f"{name}: {error}")
            elif refusal.rstrip(".") not in str(error):
                problems.append(f"{name}: refused with {error}, not with {refusal}")
            continue
        rendered += 1
        if expected is None:
            problems.append(f"{name}: the judge fails: {refusal}")
        elif got != expected:
            problems.append(f"{name}:\n  {got!r}\n  {expected!r}")
    assert problems == []
    # Else two that refuse everything would be equal. Gemma 2 takes neither system messages nor tools.
    assert rendered >= len(CONVERSATIONS) // (5 if "gemma-2" in file.stem else 3)


class TestNamedTemplates:
    """Chosen as the judge chooses; `None` stands for an error."""

    @pytest.mark.parametrize(
        "templates",
        [
            {"default": "D"},
            {"default": "D", "tool_use": "T", "rag": "R"},
            {"default": "D", "rag": "R"},
            {"tool_use": "T", "rag": "R"},
            {"rag": "R"},
        ],
        ids=lambda templates: "+".join(templates),
    )
    @pytest.mark.parametrize("tools", [None, [], TOOLS], ids=["none", "empty", "some"])
    @pytest.mark.parametrize("name", [None, "default", "tool_use", "rag"])
    def test_equal(self, judge: Any, templates: dict[str, str], tools: Any, name: str | None) -> None:
        judge.chat_template = templates
        try:
            expected = judge.get_chat_template(name, tools=tools)
        except ValueError:
            expected = None
        if name is not None and expected == name:
            # The judge takes a name that is none for a template. Nobody wants the prompt "rag".
            expected = None
        try:
            got = choose_template(templates, name, model="m", tools=tools is not None)
        except LlmcheckError:
            got = None
        assert got == expected
