"""Control tokens in a reply: shown in `Completion.marked`, left out of its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llmcheck.engines.types import Request
from tests.support.engines import engine
from tests.support.steered import steered_llama

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("<a>Yes<b>no", "<a>Yes<b>no"),
        ("Yes", ""),
        ("\u00e9<a>", "\u00e9<a>"),
    ],
)
def test_they_are_shown_where_there_are_some(tmp_path: Path, short_tmp: Path, said: str, marked: str) -> None:
    model = steered_llama(tmp_path / "steered.gguf", said, extra=("<a>", "<b>"))
    made = engine(model, short_tmp, n_ctx=128)
    try:
        completion = made.complete(Request(prompt="user|x\n>", max_tokens=20))
    finally:
        made.close()
    assert completion.finish_reason == "stop"
    assert completion.marked == marked
    shown = completion.marked or completion.text
    assert [shown[start:end] for start, end in completion.controls] == [
        name for name in ("<a>", "<b>") if name in marked
    ]
    kept = [at for at in range(len(shown)) if not any(a <= at < b for a, b in completion.controls)]
    assert "".join(shown[at] for at in kept) == completion.text


def test_a_token_between_the_bytes_of_a_character(tmp_path: Path) -> None:
    """No honest model writes that; what is shown and what is text still agree."""
    from pytest_llmcheck.engines.llama.bindings import llama
    from pytest_llmcheck.engines.llama.vocabulary import Detokeniser, Vocabulary

    path = steered_llama(tmp_path / "steered.gguf", "x", extra=("<a>",))
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(str(path).encode(), params)
    vocabulary = Vocabulary(model)
    (control,) = vocabulary.tokenise_special("<a>")
    first, second = vocabulary.tokenise_text("\u00e9")
    reply = Detokeniser(vocabulary)
    for token in (first, control, second, first):
        reply.add(token)
    assert reply.text() == "\u00e9\ufffd"
    assert reply.marked() == ("<a>\u00e9\ufffd", ((0, 3),))
    llama.llama_model_free(model)
