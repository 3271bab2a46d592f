"""The rules: each looks at one subject and finds one kind of fault, or nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_llmcheck.prompts.audit.families import END_MARKS, FAMILIES, families_of, resembles
from pytest_llmcheck.prompts.audit.findings import IDS, OVERRIDE_FIX, Finding, found
from pytest_llmcheck.prompts.audit.probes import ANSWER, CONCLUSION, SYSTEM, TOOL_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_llmcheck.prompts.audit.subject import Lexicon, Subject

    Rule = Callable[[Subject], Finding | None]
    TokenRule = Callable[[Subject, Lexicon], Finding | None]


def audit(subject: Subject, ignore: Iterable[str] = ()) -> tuple[Finding, ...]:
    """All that is wrong with a model's prompts, the gravest first.

    Args:
        subject: the model.
        ignore: ids of findings that are known and accepted.
    """
    findings = [rule(subject) for rule in _RULES]
    lexicon = subject.lexicon
    if lexicon is not None and subject.prompts.prompt:
        findings += [rule(subject, lexicon) for rule in _TOKEN_RULES]
    ignored = frozenset(ignore)
    kept = [finding for finding in findings if finding is not None and finding.id not in ignored]
    return tuple(sorted(kept, key=lambda finding: IDS.index(finding.id)))


def template_missing(subject: Subject) -> Finding | None:
    """Nothing turns messages into a prompt."""
    prompts = subject.prompts
    if not prompts.missing:
        return None
    return found("template-missing", prompts.missing, fix=OVERRIDE_FIX if prompts.overridden else None)


def template_broken(subject: Subject) -> Finding | None:
    """Not even one question can be rendered, or a conversation breaks a limit."""
    for probe, rendered in subject.prompts.rendered.items():
        if rendered.error and (probe == "user" or rendered.hostile) and not _by_sandbox(rendered.error):
            return found("template-broken", f"{_WITH[probe]} cannot be rendered: {rendered.error}")
    return None


def sandbox_refused(subject: Subject) -> Finding | None:
    """The template does what the sandbox forbids, perhaps for some conversations only."""
    for probe, rendered in subject.prompts.rendered.items():
        if _by_sandbox(rendered.error):
            return found("sandbox-refused", f"{_WITH[probe]} cannot be rendered: {rendered.error}")
    return None


def vocabulary_unreadable(subject: Subject) -> Finding | None:
    """Without a vocabulary nothing can be said of tokens."""
    return found("vocabulary-unreadable", subject.unreadable) if subject.unreadable else None


def system_dropped(subject: Subject) -> Finding | None:
    """A system message leaves no trace, and nobody is told."""
    text = subject.prompts.text("system")
    if not text or _says(text, SYSTEM):
        return None
    return found("system-dropped", "the chat template leaves the system message out, without an error")


def tools_dropped(subject: Subject) -> Finding | None:
    """The template reads the tools and does not print them."""
    text = subject.prompts.text("tools")
    if not text or not subject.prompts.reads_tools or TOOL_NAME in text:
        return None
    return found(
        "tools-dropped",
        "the chat template reads `tools`, but leaves the definition of a function out of the prompt, without "
        "an error",
    )


def tools_unread(subject: Subject) -> Finding | None:
    """The template knows no tools; asking with some is refused."""
    if not subject.prompts.text("tools") or subject.prompts.reads_tools:
        return None
    return found("tools-unread", "the chat template never reads `tools`: a call that offers some is refused")


def history_lost(subject: Subject) -> Finding | None:
    """What the assistant said is not what it sees of it a turn later. Thinking may go, answers may not."""
    plain, thought = subject.prompts.text("history"), subject.prompts.text("thought")
    if plain and not _says(plain, ANSWER):
        kept = sum(word in plain for word in ANSWER.split())
        how = "comes back changed" if kept == len(ANSWER.split()) else "is left out, in whole or in part,"
        return found("history-lost", f"an earlier answer of the assistant {how} in the next turn's prompt")
    if thought and not _says(thought, CONCLUSION):
        return found(
            "history-lost",
            "an earlier answer that follows a thought (<think>...</think>) is left out of the next turn's "
            "prompt; templates may drop the thought, but this one drops the answer too",
        )
    return None


def template_differs(subject: Subject) -> Finding | None:
    """The model is prompted otherwise than the one it is compared with."""
    own = subject.prompts.sha256
    others = [f"{whose} ({sha256[:12]})" for whose, sha256 in subject.expected if own and sha256 != own]
    if not others:
        return None
    return found(
        "template-differs",
        f"the chat template ({own[:12]}) is not that of {' and '.join(others)}: the models see different "
        "prompts, so a difference between their replies need not come from the weights",
    )


def wrong_family(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """The vocabulary has tokens for turns, and the prompt has none of any kind."""
    families = families_of(subject.names)
    edges = {*lexicon.end_of_generation.values()}
    if lexicon.bos is not None:
        edges.add(lexicon.special.get(lexicon.bos, ""))
    # A token at the edge that is a family's mark for turns counts: SmolLM2 begins texts with <|im_start|>.
    turns = {mark for family in families for mark in FAMILIES[family]}
    if not families or subject.used & (turns | (subject.names - edges)):
        return None
    looks = resembles(subject.prompts.prompt)
    text = f"the text of {looks}" if looks else "turns in plain text"
    marks = ", ".join(FAMILIES[families[0]])
    return found(
        "wrong-family",
        f"the vocabulary has the control tokens of {' and '.join(families)} ({marks}), but the chat template "
        f"writes {text} and none of them: the model sees a format that it was not trained on",
    )


def split_control_tokens(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """The template writes control tokens that the vocabulary does not have."""
    if not subject.split or wrong_family(subject, lexicon) is not None:
        return None
    shown = ", ".join(f"{mark} ({len(lexicon.parts[mark])} tokens)" for mark in subject.split)
    return found(
        "split-control-tokens",
        f"the chat template writes what look like control tokens, but the vocabulary has no such tokens and "
        f"takes them apart: {shown}; the model sees letters where it learnt a mark",
    )


def end_of_turn_missing(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """No token after an assistant's words ends a reply."""
    marks = [token for ending in subject.prompts.endings for token in _marks(lexicon, ending)]
    if not marks or any(token in lexicon.end_of_generation for token in marks):
        return None
    name = lexicon.special[marks[0]]
    known = ", ".join(lexicon.end_of_generation.values()) or "none at all"
    return found(
        "end-of-turn-missing",
        f"the chat template ends the assistant's turn with {name}, which does not end generation (these do: "
        f"{known}): the model would go on and play the user too, until max_tokens",
    )


def odd_end_of_generation(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """A token for other purposes ends replies, because llama.cpp goes by names."""
    ends = sorted({*lexicon.end_of_generation.values()} - END_MARKS - lexicon.named_ends)
    written = {lexicon.special.get(t) for e in subject.prompts.endings for t in lexicon.parts[e]}
    odd = [name for name in ends if name not in written]
    if not odd:
        return None
    return found(
        "odd-end-of-generation",
        f"llama.cpp also ends a reply at {', '.join(odd)}, which it knows by name and with which no turn of "
        "this chat template ends: a reply that has to hold it is cut off there, and looks like a whole one",
    )


def double_bos(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """Two tokens that begin a text, with nothing between them."""
    ids = [token for token in lexicon.prompt if lexicon.pieces.get(token, "x").strip()][:2]
    if lexicon.bos is None or ids != [lexicon.bos, lexicon.bos]:
        return None
    name = lexicon.pieces[lexicon.bos]
    return found(
        "double-bos",
        f"the prompt begins with two beginning-of-sequence tokens ({name}{name}): one is what models are "
        "trained with",
    )


def bos_added(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """The tokenizer adds what the template does not write; transformers would not."""
    plain = lexicon.parts.get(subject.prompts.prompt)
    if plain is None or plain == lexicon.prompt or double_bos(subject, lexicon):
        return None
    return found(
        "bos-added",
        "the chat template writes no beginning-of-sequence token, and the vocabulary asks for one: as with "
        f"llama-server, {lexicon.pieces[lexicon.prompt[0]]} is put first; transformers puts none there",
    )


def eos_added(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """llama-server ends prompts with the end-of-sequence token; here nothing does."""
    if not lexicon.adds_eos:
        return None
    return found(
        "eos-added",
        "tokenizer.ggml.add_eos_token is set, so llama-server puts an end-of-sequence token after every "
        "prompt; here, as with transformers, none is put there: it tells the model that nothing follows",
    )


def closed_prompt(subject: Subject, lexicon: Lexicon) -> Finding | None:
    """The prompt ends with a token that says that nothing follows."""
    last = next((t for t in reversed(lexicon.prompt) if lexicon.pieces.get(t, "x").strip()), None)
    # Some formats have one token between turns, which ends the user's and begins the assistant's.
    if last is None or last not in lexicon.end_of_generation or last == lexicon.bos:
        return None
    return found(
        "closed-prompt",
        f"the prompt ends with {lexicon.end_of_generation[last]}, which ends a reply, although the assistant "
        "is to answer: the model is not told that it is its turn",
    )


def _says(text: str, content: str) -> bool:
    """Whether a prompt holds a content, as it is or as JSON has it."""
    return content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text


def _marks(lexicon: Lexicon, ending: str) -> list[int]:
    """The special tokens of what follows an answer, if one comes first.

    All of them: Command R7B closes the answer before the turn; Harmony ends earlier answers with <|end|> and
    only the last one with <|return|>; GLM takes the head of the user's turn for an end.
    """
    tokens = [token for token in lexicon.parts[ending] if lexicon.pieces[token].strip()]
    marks = [token for token in tokens if token in lexicon.special]
    # Turns that end with plain text have no end that could be missing.
    return marks if tokens[:1] == marks[:1] else []


def _by_sandbox(error: str) -> bool:
    return "the sandbox forbids it" in error


_WITH = {
    "user": "one question from a user",
    "system": "a question with a system message",
    "history": "a conversation of several turns",
    "thought": "a conversation with a thought in it",
    "closed": "a conversation that ends with the assistant",
    "tools": "a question with tools",
}

_RULES: tuple[Rule, ...] = (
    template_missing,
    template_broken,
    sandbox_refused,
    vocabulary_unreadable,
    system_dropped,
    tools_dropped,
    history_lost,
    template_differs,
    tools_unread,
)
_TOKEN_RULES: tuple[TokenRule, ...] = (
    wrong_family,
    end_of_turn_missing,
    split_control_tokens,
    double_bos,
    closed_prompt,
    eos_added,
    bos_added,
    odd_end_of_generation,
)
