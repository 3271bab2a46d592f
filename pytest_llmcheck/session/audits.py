"""Auditing a model's prompts: once per file, template and build of llama.cpp, remembered in the cache."""

from __future__ import annotations

import contextlib
import hashlib
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from pytest_llmcheck.errors import EngineError, PromptError
from pytest_llmcheck.models.store import write_whole
from pytest_llmcheck.prompts.audit import Finding
from pytest_llmcheck.prompts.select import choose_template, template_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_llmcheck.engines.llama.words import Words
    from pytest_llmcheck.models import GGUFHeader, ModelSpec, ResolvedModel
    from pytest_llmcheck.prompts.audit import Lexicon

RULES = 2
"""Raised when the rules change, so that what older ones found is not remembered."""

_ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
_LOCK_SECONDS = 30.0


def audit_model(model: ResolvedModel, reference: ResolvedModel | None, folder: Path) -> tuple[Finding, ...]:
    """What is wrong with the prompts of a model, less what its declaration ignores.

    The first time this reads the vocabulary in a process of its own (about half a second); then it is a
    file in the cache.

    Args:
        model: about to be asked.
        reference: the model whose template it should have; None, or itself, where there is none to compare.
        folder: the cache folder; what was found is kept in ``audits`` in there, if it can be written.

    Returns:
        The findings, the gravest first. Nothing is raised for a file that cannot be audited: that is
        a finding too.
    """
    expected = _expected(model.spec, reference)
    entry = folder / "audits" / f"{_key(model, expected)}.json"
    findings = _remembered(entry)
    if findings is None:
        with _alone(entry):
            findings = _remembered(entry)
            if findings is None:
                findings = _examine(model.header, model.spec, expected, entry)
    return _heeded(findings, model.spec)


def examine(
    header: GGUFHeader, spec: ModelSpec, reference: tuple[GGUFHeader, ModelSpec] | None = None
) -> tuple[Finding, ...]:
    """`audit_model` for a file whose hash is not known; nothing is remembered."""
    expected = () if reference is None else _template_hash(*reference, spec)
    return _heeded(_examine(header, spec, expected, None), spec)


def _heeded(findings: Iterable[Finding], spec: ModelSpec) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.id not in spec.audit_ignore)


def _examine(
    header: GGUFHeader, spec: ModelSpec, expected: tuple[tuple[str, str], ...], entry: Path | None
) -> tuple[Finding, ...]:
    # What has been found before needs none of them.
    from pytest_llmcheck.engines.llama.words import Text, ask
    from pytest_llmcheck.prompts.audit import Subject, audit, read_prompts

    prompts = read_prompts(header, spec)
    parts = prompts.parts
    texts = [Text(prompts.prompt), *(Text(part, "special") for part in parts)]
    lexicon, unreadable, lasting = None, "", prompts.lasting
    try:
        words = ask(header.path, texts)
        lexicon = _lexicon(header, words, parts)
    except EngineError as error:
        unreadable, lasting = str(error), lasting and not error.passing
    findings = audit(Subject(prompts, lexicon, unreadable, expected))
    if entry is not None and lasting:
        with contextlib.suppress(OSError):
            write_whole(entry, msgspec.json.encode(findings))
    return findings


def _lexicon(header: GGUFHeader, words: Words, parts: tuple[str, ...]) -> Lexicon:
    from pytest_llmcheck.prompts.audit import Lexicon

    prompt, *others = words.texts
    named = [header.metadata.get(key) for key in _ENDS]
    return Lexicon(
        prompt=prompt.ids,
        parts={part: tokens.ids for part, tokens in zip(parts, others, strict=True)},
        bos=words.bos,
        adds_bos=words.adds_bos,
        adds_eos=words.adds_eos,
        end_of_generation=words.end_of_generation,
        special={**words.user_defined, **words.control},
        named_ends=frozenset(name for token, name in words.end_of_generation.items() if token in named),
        pieces={
            token: piece.decode("utf-8", "replace")
            for tokens in words.texts
            for token, piece in zip(tokens.ids, tokens.pieces, strict=True)
        },
    )


def _expected(spec: ModelSpec, reference: ResolvedModel | None) -> tuple[tuple[str, str], ...]:
    return () if reference is None else _template_hash(reference.header, reference.spec, spec)


def _template_hash(header: GGUFHeader, spec: ModelSpec, own: ModelSpec) -> tuple[tuple[str, str], ...]:
    if spec.name == own.name:
        return ()
    try:
        return ((f"the reference {spec.name!r}", template_of(header, spec, tools=False).sha256),)
    except PromptError:
        # Its own audit says so.
        return ()


def _key(model: ResolvedModel, expected: tuple[tuple[str, str], ...]) -> str:
    known = (
        RULES,
        metadata.version("pytest-llmcheck"),
        metadata.version("llama-cpp-python"),
        model.sha256,
        model.spec.name,  # is part of messages
        [_source(model, tools=tools) for tools in (False, True)],
        dict(model.spec.template_variables),
        str(model.spec.date),
        expected,
    )
    return hashlib.sha256(msgspec.json.encode(known)).hexdigest()[:32]


def _source(model: ResolvedModel, *, tools: bool) -> str:
    try:
        return choose_template(
            model.header.chat_templates, model.spec.chat_template, model=model.spec.name, tools=tools
        )
    except PromptError as error:
        return str(error)


def _remembered(entry: Path) -> tuple[Finding, ...] | None:
    try:
        return msgspec.json.decode(entry.read_bytes(), type=tuple[Finding, ...])
    except (OSError, msgspec.MsgspecError):
        return None


@contextlib.contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Workers that come to the same model at the same time wait for the first of them."""
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as stack:
        # A folder that cannot be written, or a process that was stopped: then each does it for itself.
        with contextlib.suppress(OSError, Timeout):
            entry.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(entry.with_suffix(".lock"), timeout=_LOCK_SECONDS))
        yield
