"""Attribution: which part of what made two replies differs, said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Facts = Mapping[str, str]

MODEL = ("template", "weights", "adapters", "settings")
"""Facts that make two replies come from the same model when they are equal; in the order of being named."""

ASKED = ("sampling", "seed", "max_tokens", "constraint", "prompt", "prompt_tokens", "numerics")
"""Facts that differ from test to test, or from machine to machine."""

FIRST = ("template", "prompt_tokens")
"""Facts that are said before all others: a model that sees another prompt is another model."""

_ADDED_LATER = frozenset({"prompt_tokens"})
"""Facts that baselines recorded with earlier versions lack: they say nothing there."""

_PLURAL = frozenset({"weights", "adapters", "settings", "numerics"})


@dataclass(frozen=True, slots=True)
class Attribution:
    """Why a reply differs from the baseline.

    Attributes:
        differing: the facts that differ and stand on their own.
        sentence: the cause, or that it is not separated and the run that would separate it.
    """

    differing: tuple[str, ...]
    sentence: str

    @property
    def cause(self) -> str | None:
        """The one fact that differs; None if none or several do."""
        return self.differing[0] if len(self.differing) == 1 else None


def attribute(expected: Facts, received: Facts) -> Attribution:
    """Compare the facts of a baseline with those of a reply.

    A prompt that differs under a differing template, or under another date or other variables of the model,
    is taken as its consequence, and so is the rule for rows under differing weights. A template that differs
    and yet made the same prompt is named, and is no cause.

    Args:
        expected: `Baseline.facts` of the recorded reply.
        received: `Baseline.facts` of the reply on trial.
    """
    differing = differences(expected, received)
    if "template" in differing and expected.get("prompt", "") == received.get("prompt"):
        # It can be no cause here, and yet nobody should have to find out that it changed.
        rest = attribute({**expected, "template": ""}, {**received, "template": ""})
        sentence = rest.sentence.replace("nothing that", "nothing else that")
        changed = _template(expected, received)
        return Attribution(rest.differing, f"{changed}, but it renders this prompt as before; {sentence}")
    if not differing:
        return Attribution(
            (),
            "nothing that we fingerprint differs: model, prompt, sampling and numerics are equal"
            + _unstable(received),
        )
    if len(differing) == 1:
        return Attribution(differing, f"cause: {_CAUSES[differing[0]](expected, received)}")
    run = _separating_run(differing, expected, received)
    if any(key in FIRST for key in differing):
        return Attribution(differing, f"{named(differing, expected, received)}: not separated; {run}")
    return Attribution(differing, f"not separated: {named(differing, expected, received)}; {run}")


def named(differing: Sequence[str], expected: Facts, received: Facts) -> str:
    """Which facts differ, the chat template or the tokeniser first: with it, all else is another question.

    Args:
        differing: names of facts, at least one.
        expected: facts of the baseline.
        received: facts of the reply on trial.
    """
    for key in FIRST:
        if key in differing:
            others = [other for other in differing if other != key]
            verb = "differ" if len(others) > 1 or _PLURAL.intersection(others) else "differs"
            return f"{_CAUSES[key](expected, received)}" + (
                f", and {listed(others)} {verb} too" if others else ""
            )
    return f"{listed([*differing])} differ"


def differences(expected: Facts, received: Facts) -> tuple[str, ...]:
    """The names of the facts that differ and are not the consequence of another."""
    differing = [key for key in MODEL + ASKED if expected.get(key, "") != received.get(key, "")]
    for key in _ADDED_LATER.intersection(differing):
        if not expected.get(key) or not received.get(key):
            differing.remove(key)
    consequences = set()
    if "template" in differing or ("settings" in differing and _prompt_settings(expected, received)):
        consequences |= {"prompt", "prompt_tokens"}
    if "prompt" in differing:
        consequences.add("prompt_tokens")
    differing = [key for key in differing if key not in consequences]
    if "sampling" in differing and "seed" in differing:
        differing.remove("seed")
    # How many rows a decode step has at least follows from the types of the tensors.
    only_rows = set(_changed("numerics_parts", "; ", expected, received)) == {"rows"}
    if "weights" in differing and "numerics" in differing and only_rows:
        differing.remove("numerics")
    return tuple(differing)


def _weights(expected: Facts, received: Facts) -> str:
    if expected.get("model") == received.get("model"):
        former, now = (f"{f.get('quant', '?')} {_hash(f, 'weights')}" for f in (expected, received))
        return f"the file of model {received.get('model')!r} changed ({former} -> {now})"
    former, now = (
        f"{f.get('model', '?')} {f.get('quant', '?')} {_hash(f, 'weights')}" for f in (expected, received)
    )
    return f"the weights changed ({former} -> {now})"


def _adapters(expected: Facts, received: Facts) -> str:
    def short(adapter: str) -> str:
        digest, at, scale = adapter.partition("@")
        return f"{digest[:6]}{at}{scale}"

    former, now = (", ".join(map(short, f.get("adapters", "none").split(", "))) for f in (expected, received))
    return f"the LoRA adapters changed ({former} -> {now})"


def _template(expected: Facts, received: Facts) -> str:
    return f"the chat template changed ({_hash(expected, 'template')} -> {_hash(received, 'template')})"


def _settings(expected: Facts, received: Facts) -> str:
    return f"the settings changed ({_parts('settings', ', ', expected, received)})"


def _sampling(expected: Facts, received: Facts) -> str:
    return f"the sampling changed ({expected.get('sampling', '?')} -> {received.get('sampling', '?')})"


def _seed(expected: Facts, received: Facts) -> str:
    return f"the seed changed ({expected.get('seed', '?')} -> {received.get('seed', '?')})"


def _max_tokens(expected: Facts, received: Facts) -> str:
    return f"max_tokens changed ({expected.get('max_tokens', '?')} -> {received.get('max_tokens', '?')})"


def _constraint(expected: Facts, received: Facts) -> str:
    former, now = (_hash(f, "constraint") if f.get("constraint") else "none" for f in (expected, received))
    return f"the schema or grammar of the constraint changed ({former} -> {now})"


def _prompt(expected: Facts, received: Facts) -> str:
    return (
        f"the prompt changed ({_hash(expected, 'prompt')} -> {_hash(received, 'prompt')}) under an equal "
        f"template: the test's own messages, or the system prompt"
    )


def _prompt_tokens(expected: Facts, received: Facts) -> str:
    former, now = (_hash(facts, "prompt_tokens") for facts in (expected, received))
    return f"the tokeniser changed (an equal prompt, other token ids: {former} -> {now})"


def _numerics(expected: Facts, received: Facts) -> str:
    parts = _parts("numerics_parts", "; ", expected, received)
    former, now = expected.get("build", "?"), received.get("build", "?")
    build = f"; {former} -> {now}" if former != now else ""
    return f"the numerics changed ({parts}{build})"


_CAUSES: dict[str, Callable[[Facts, Facts], str]] = {
    "weights": _weights,
    "adapters": _adapters,
    "template": _template,
    "settings": _settings,
    "sampling": _sampling,
    "seed": _seed,
    "max_tokens": _max_tokens,
    "constraint": _constraint,
    "prompt": _prompt,
    "prompt_tokens": _prompt_tokens,
    "numerics": _numerics,
}


def _separating_run(differing: tuple[str, ...], expected: Facts, received: Facts) -> str:
    """The run in which fewer facts differ, so that its outcome says more."""
    former, now = expected.get("model", "?"), received.get("model", "?")
    if "prompt_tokens" in differing:
        # It comes with the file or with the engine, never alone.
        differing = tuple(key for key in differing if key != "prompt_tokens")
        if differing == ("weights",):
            return "the tokeniser comes with the file, so no run separates them"
        if differing == ("numerics",):
            return "the tokeniser comes with the engine: run with the former build to see"
    of_model = [key for key in differing if key in MODEL]
    others = [key for key in differing if key not in MODEL]
    if of_model and others:
        if former != now:
            return f"run with --llm-model {former}, where only {listed(others)} should differ"
        return f"run the former file and settings of {now!r}, where only {listed(others)} should differ"
    if of_model:
        keys = {"template": "chat_template", "settings": "settings", "adapters": "adapters"}
        # Weights cannot be carried over, so they are what stays different; else the last one is.
        kept = [keys[key] for key in of_model if key in keys][: None if "weights" in of_model else -1]
        whose = f"of {former!r}" if former != now else "that it had before"
        return f"give {now!r} the {listed(kept)} {whose} and run again to separate them"
    if "numerics" in others and len(others) > 1:
        asked = [key for key in others if key != "numerics"]
        return f"restore {listed(asked)} in the test and run again to separate them"
    return "change one at a time in the test to separate them"


def _prompt_settings(expected: Facts, received: Facts) -> bool:
    """Whether settings changed that the prompt is made of, see `prompts.variables.prompt_settings`."""
    return any(
        name in ("date", "content_tokens") or name.startswith("template_variables.")
        for name in _changed("settings", ", ", expected, received)
    )


def _parts(key: str, separator: str, expected: Facts, received: Facts) -> str:
    """The members of a fact ``a=1; b=2`` that differ; if it has none, the hashes."""
    changed = [
        f"{name} {former} -> {now}"
        for name, (former, now) in _changed(key, separator, expected, received).items()
    ]
    return ", ".join(changed) or f"{_hash(expected, 'numerics')} -> {_hash(received, 'numerics')}"


def _changed(key: str, separator: str, expected: Facts, received: Facts) -> dict[str, tuple[str, str]]:
    """Former and present value of the members of a fact ``a=1; b=2`` that differ."""
    former, now = (
        dict(part.partition("=")[::2] for part in facts.get(key, "").split(separator) if part)
        for facts in (expected, received)
    )
    return {
        name: (former.get(name, "unset"), now.get(name, "unset"))
        for name in {**former, **now}
        if former.get(name) != now.get(name)
    }


def _hash(facts: Facts, key: str) -> str:
    return facts.get(key, "?")[:6]


def listed(names: list[str] | tuple[str, ...]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def unstable(facts: Facts) -> bool:
    """Whether the engine says that its replies depend on their company."""
    return "stable=no" in facts.get("numerics_parts", "").split("; ")


def _unstable(facts: Facts) -> str:
    if unstable(facts):
        noise = facts.get("noise")
        moved = f" (they move log-probabilities by up to {noise})" if noise else ""
        return f", but this engine cannot keep replies independent of their company{moved}"
    return ""
