"""The file format of a baseline: front matter for people, then the reply verbatim."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_llmcheck.errors import LlmcheckError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.engines.types import Numerics, Sampling

FORMAT = 1
"""Version of the file format, the first line of every front matter."""

Kind = Literal["reply", "text", "json"]

_FENCE = "---"
_KEY = re.compile(r"[a-z][a-z0-9_]*")
# What YAML, too, reads as one plain string: GitHub shows the front matter as a table.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._/+=@()~,;%*-]*[A-Za-z0-9._/+=@()~,;%*-])?")
_SURROGATE = re.compile("[\ud800-\udfff]")


class SnapshotError(LlmcheckError):
    """A baseline cannot be read or written, or a comparison was asked for that does not exist."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A recorded reply, or one that is to be compared with a recorded one.

    Attributes:
        body: the reply verbatim; for `kind` ``json`` the value, indented and with sorted keys.
        kind: ``reply`` of a model, or ``text`` or ``json`` that the test made itself.
        facts: what made the reply, in the order of the file; empty where the test made it.
    """

    body: str
    kind: Kind = "reply"
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of_reply(cls, reply: Reply) -> Baseline:
        """The reply's text, and its fingerprint without anything that differs from run to run."""
        made = reply.fingerprint
        facts = {
            "model": made.model,
            "quant": made.quant,
            "weights": made.weights,
            "adapters": ", ".join(made.adapters),
            "template": made.template,
            "settings": ", ".join(f"{key}={value}" for key, value in made.settings),
            "sampling": _sampling(made.sampling),
            "seed": "" if made.sampling.greedy else str(made.sampling.seed),
            "max_tokens": str(made.max_tokens),
            "constraint": made.constraint,
            "prompt": made.prompt,
            "prompt_tokens": made.prompt_tokens,
            "build": made.build,
            "numerics": made.numerics.digest,
            "numerics_parts": _parts(made.numerics),
            "noise": f"{made.noise:.3g} nats" if made.noise else "",
            "finish_reason": reply.finish_reason,
        }
        return cls(reply.text, "reply", {key: value for key, value in facts.items() if value})

    @classmethod
    def of_text(cls, text: str) -> Baseline:
        """A text that the test made itself."""
        return cls(text, "text")

    @classmethod
    def of_value(cls, value: dict[Any, Any] | list[Any]) -> Baseline:
        """A JSON value that the test made itself.

        Raises:
            TypeError, ValueError: it holds something that JSON cannot say, NaN included.
        """
        body = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        # JSON can say a lone surrogate with an escape, UTF-8 cannot say it at all.
        return cls(_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", body), "json")


def serialise(baseline: Baseline) -> str:
    """The text of the file. One newline follows the body, so that the file ends in one.

    Raises:
        SnapshotError: the body holds a lone surrogate, which UTF-8 cannot express. No reply of a model
            does; a str that the test made can.
    """
    if lone := _SURROGATE.search(baseline.body):
        raise SnapshotError(
            f"this text cannot be recorded: character {lone.start()} is a lone surrogate "
            f"(U+{ord(lone[0]):04X}), which UTF-8 cannot express; encode or replace it first"
        )
    head = {"llmcheck": str(FORMAT), "kind": baseline.kind, **baseline.facts}
    lines = [_FENCE, *(f"{key}: {_quote(value)}" for key, value in head.items()), _FENCE]
    return "\n".join(lines) + "\n" + baseline.body + "\n"


def parse(text: str, source: str = "the baseline") -> Baseline:
    r"""The baseline that `serialise` wrote, the exact inverse.

    Args:
        text: the file, decoded as UTF-8 without translating newlines; bytes that are not UTF-8 come as
            lone surrogates (``errors="surrogateescape"``).
        source: the file's name, for messages.

    Raises:
        SnapshotError: the file is not what `serialise` writes.
    """
    if _SURROGATE.search(text):
        raise _damaged(source, "it is not UTF-8")
    if text.startswith(f"{_FENCE}\r\n"):
        raise SnapshotError(
            f"{source}: its line endings were converted to CRLF, so the reply is no longer verbatim; put "
            f"`**/__llmcheck__/** -text` into .gitattributes and check the file out again"
        )
    opening, _, rest = text.partition("\n")
    head, closing, body = rest.partition(f"\n{_FENCE}\n")
    if opening != _FENCE or not closing:
        raise _damaged(source, "its front matter does not stand between two lines `---`")
    facts: dict[str, str] = {}
    for number, line in enumerate(head.split("\n"), start=2):
        key, colon, value = line.partition(": ")
        if not colon or not _KEY.fullmatch(key) or key in facts:
            raise _damaged(source, f"line {number} of its front matter is not `name: value`")
        facts[key] = _unquote(value, source, number)
    if (version := facts.pop("llmcheck", None)) != str(FORMAT):
        raise SnapshotError(
            f"{source}: its format is {version or 'not given'}, this version of pytest-llmcheck reads "
            f"{FORMAT}; record it again with --llm-update"
        )
    kind = facts.pop("kind", "")
    known: dict[str, Kind] = {name: name for name in get_args(Kind)}
    if kind not in known:
        raise _damaged(source, f"its kind is {kind!r}, not one of {', '.join(known)}")
    baseline = Baseline(body.removesuffix("\n"), known[kind], facts)
    if serialise(baseline) != text:
        raise _damaged(source, "its front matter or its last newline was edited")
    return baseline


def _damaged(source: str, what: str) -> SnapshotError:
    return SnapshotError(
        f"{source} is damaged: {what}; restore it from version control, or record it again with --llm-update"
    )


def _quote(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _unquote(value: str, source: str, number: int) -> str:
    if _PLAIN.fullmatch(value):
        return value
    try:
        unquoted = json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        unquoted = None
    if not isinstance(unquoted, str):
        raise _damaged(source, f"the value in line {number} of its front matter is not quoted as JSON")
    return unquoted


def _sampling(sampling: Sampling) -> str:
    if sampling.greedy:
        return "greedy"
    names = ("temperature", "top_k", "top_p", "min_p")
    return ", ".join(f"{name}={getattr(sampling, name)}" for name in names)


def _parts(numerics: Numerics) -> str:
    """Every part of the numerics, long ones as hashes, so that a message can name the one that differs."""
    parts = []
    for name in numerics.__struct_fields__:
        value = getattr(numerics, name)
        shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        if len(shown) > 48:
            hexadecimal = re.fullmatch("[0-9a-f]+", shown)
            shown = shown[:12] if hexadecimal else hashlib.sha256(shown.encode()).hexdigest()[:12]
        parts.append(f"{name}={shown}")
    return "; ".join(parts)
