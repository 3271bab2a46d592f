"""What an audit can find: one kind for each fault, by the id under which it is silenced."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The gravest first."""


class Kind(NamedTuple):
    """One fault that can be found.

    Attributes:
        severity: ``error``: the model cannot be prompted as it was trained; ``warning``: something that tests
            may rely on is lost, or servers make other prompts; ``note``: good to know.
        fix: what to do about it.
    """

    severity: Severity
    fix: str


_TEMPLATE = 'set chat_template = "file.jinja" to the template that the model\'s authors published'
_CONVERT = "convert the model again with a current convert_hf_to_gguf.py, or download another file"

OVERRIDE_FIX = "correct chat_template or --llm-template, or take it away for the template in the file"
"""For an override that leads nowhere: the model is not to blame."""

KINDS: dict[str, Kind] = {
    "template-missing": Kind(
        "error",
        f"use an instruct model (base models have no template); if it is one, {_TEMPLATE}",
    ),
    "template-broken": Kind("error", f"mend the template, or {_TEMPLATE}"),
    "sandbox-refused": Kind(
        "error",
        "do not trust this template before you have read it; rewrite the place (lists are joined with +, not "
        f"with append), or {_TEMPLATE}",
    ),
    "vocabulary-unreadable": Kind("error", f"{_CONVERT}; a new architecture needs a newer llama-cpp-python"),
    "wrong-family": Kind("error", _TEMPLATE),
    "end-of-turn-missing": Kind(
        "error",
        "give the file that token as tokenizer.ggml.eot_token_id (gguf_set_metadata.py or "
        f"gguf_new_metadata.py of the package gguf), or {_CONVERT}",
    ),
    "split-control-tokens": Kind(
        "warning",
        f"{_TEMPLATE}; if it is that one, the tokenizer lost its added tokens: {_CONVERT}",
    ),
    "double-bos": Kind(
        "warning", "take the second one out of the template; servers do not do it for you either"
    ),
    "closed-prompt": Kind(
        "warning",
        "end the template with the head of the assistant's turn where add_generation_prompt is set, without "
        "an end-of-turn token",
    ),
    "eos-added": Kind("warning", "set tokenizer.ggml.add_eos_token to false in the file"),
    "system-dropped": Kind(
        "warning",
        "put the instructions into the first user message, or mend the template so that it says them",
    ),
    "tools-dropped": Kind("warning", f"describe the tools in the system prompt, or {_TEMPLATE}"),
    "history-lost": Kind("warning", f"do not rely on earlier turns with this template, or {_TEMPLATE}"),
    "template-differs": Kind(
        "warning",
        "if only the weights are on trial, give both one chat_template; else expect different replies, and "
        "record the baselines anew once the new template is the one to keep",
    ),
    "tools-unread": Kind("note", "use a model that was trained with tools where tests need them"),
    "bos-added": Kind(
        "note",
        "nothing, if llama.cpp serves the model; if transformers does, add {{ bos_token }} to the template "
        "or set tokenizer.ggml.add_bos_token to false, whichever the model was trained with",
    ),
    "odd-end-of-generation": Kind(
        "note", "nothing, unless replies may hold such a token; then set its type to normal in the file"
    ),
}
"""All kinds, by id, the gravest first."""

IDS = tuple(KINDS)


class Finding(msgspec.Struct, frozen=True):
    """A fault of one model.

    Attributes:
        id: of its kind; ``audit_ignore`` in the configuration silences it.
        severity: see `Kind`.
        explanation: what is the matter with this file, and what comes of it.
        fix: what to do.
    """

    id: str
    severity: Severity
    explanation: str
    fix: str


def found(kind: str, explanation: str, *, fix: str | None = None) -> Finding:
    """A finding of a kind, with its usual fix where no other is given."""
    return Finding(kind, KINDS[kind].severity, explanation, fix or KINDS[kind].fix)
