"""What the fixture `llm_snapshot` gives a test: an object that equals a reply as long as nothing changed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.snapshots import explanation
from pytest_llmcheck.snapshots.attribution import MODEL, attribute, named, unstable
from pytest_llmcheck.snapshots.baseline import Baseline, SnapshotError, parse
from pytest_llmcheck.snapshots.comparators import comparator, json, text
from pytest_llmcheck.snapshots.explanation import Explanation, relative, update_command
from pytest_llmcheck.snapshots.extension import compare as look_up
from pytest_llmcheck.snapshots.extension import locate
from pytest_llmcheck.snapshots.naming import baseline_name
from pytest_llmcheck.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_llmcheck.prompts.audit import Finding
    from pytest_llmcheck.snapshots.comparators import Comparator, Compare, Difference


class Mode(Enum):
    """What a run does with baselines."""

    COMPARE = "compare"
    UPDATE = "update"


@dataclass(slots=True)
class _Test:
    """What all snapshots of one test share."""

    item: pytest.Item
    name: str
    mode: Mode
    reference: str
    writes: bool
    heard: Callable[[Verdict], None]
    noted: Callable[[str, Finding], None]
    unnamed: int = 0
    written: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """The baseline that one comparison is about."""

    name: str
    shown: str


class LlmSnapshot:
    """Equal to a reply if it counts as the same as the recorded one.

    ``assert reply == llm_snapshot``, in either order, with a `Reply`, a str (compared as text) or a dict or
    list (compared as JSON). The second unnamed comparison of a test has a baseline of its own.

    Args:
        item: the test that asks; its file decides where the baselines lie.
        test_name: class, function and parameters without the model, ``TestA.test_x[case1]``: all models
            share one baseline.
        mode: compare, or write baselines.
        reference: the name of the model that writes baselines.
        heard: told the verdict of each comparison, before the comparison returns.
        noted: told of a model whose chat template is not that of a baseline.
        writes: whether the reference is the active model. Consulted for a str, dict or list; a `Reply`
            names its model itself.
    """

    def __init__(
        self,
        *,
        item: pytest.Item,
        test_name: str,
        mode: Mode,
        reference: str,
        heard: Callable[[Verdict], None],
        writes: bool = False,
        noted: Callable[[str, Finding], None] = lambda model, finding: None,
    ) -> None:
        self._test = _Test(item, test_name, mode, reference, writes, heard, noted)
        self._root = self
        self._comparator: Comparator | None = None
        self._name: str | None = None
        self._explanation: Explanation | None = None

    @property
    def item(self) -> pytest.Item:
        """The test that asks."""
        return self._test.item

    def __call__(self, *, compare: Compare | None = None, name: str | None = None) -> LlmSnapshot:
        """The snapshot with other options; this one keeps its own.

        Args:
            compare: ``"text"``, ``"json"``, a comparator such as ``json(ignore=["$.id"])``, or `text` and
                `json` themselves.
            name: the baseline's name within the test, in place of its number.

        Raises:
            SnapshotError: there is no such comparator, or none yet.
            ValueError: the name is empty.
        """
        __tracebackhide__ = True
        if name == "":
            raise ValueError("the name of a snapshot cannot be empty; leave name= out")
        other = copy.copy(self)
        other._comparator = self._comparator if compare is None else comparator(compare)
        other._name = self._name if name is None else name
        other._explanation = None
        return other

    def __eq__(self, received: object) -> bool:
        __tracebackhide__ = True
        if isinstance(received, LlmSnapshot):
            return self is received
        return self._decide(received, wanted=True)

    def __ne__(self, received: object) -> bool:
        # Not the inverse of ==: a missing baseline and an undecided comparison prove no difference.
        __tracebackhide__ = True
        if isinstance(received, LlmSnapshot):
            return self is not received
        return self._decide(received, wanted=False)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<llm_snapshot of {self._test.name}>"

    def explain(self) -> list[str]:
        """Why the last comparison failed, in at most seven lines, the headline first; empty if it did not.

        For ``pytest_assertrepr_compare``.
        """
        return list(self._explanation.lines) if self._explanation else []

    def details(self) -> str | None:
        """The long form for a section of the report: hashes in full and a diff. None where there is none."""
        return self._explanation.details if self._explanation else None

    def _decide(self, received: object, *, wanted: bool) -> bool:
        """Whether the assertion holds, `wanted` being ``==``."""
        __tracebackhide__ = True
        self._explain(None)
        now = _baseline(received)
        if self._name is None:
            self._test.unnamed += 1
        name = baseline_name(self._test.name, self._name or self._test.unnamed)
        place = _Place(name, relative(locate(self.item, name), self.item.config.rootpath))
        if self._test.mode is Mode.UPDATE:
            return self._update(now, place, wanted=wanted)
        return self._compare(now, place, wanted=wanted)

    def _update(self, now: Baseline, place: _Place, *, wanted: bool) -> bool:
        __tracebackhide__ = True
        test = self._test
        writes = now.facts.get("model") == test.reference if now.kind == "reply" else test.writes
        if not writes:
            return self._undecided(
                place, "baselines are being rewritten in this run; run again without --llm-update"
            )
        if not wanted:
            return self._undecided(place, "`!=` records no baseline; run again without --llm-update")
        if test.written.setdefault(place.name, now.body) != now.body:
            raise SnapshotError(
                f"{place.shown}: the test compares two different replies with one snapshot; "
                f'give each a name: llm_snapshot(name="...")'
            )

        def unchanged(recorded: str) -> bool:
            try:
                expected = parse(recorded)
            except SnapshotError:
                return False
            return (expected.body, expected.kind) == (now.body, now.kind)

        outcome = look_up(self.item, place.name, now, unchanged, write=True)
        self._hear(Status.PASSED, place, "baseline written" if outcome.written else "unchanged")
        return True

    def _compare(self, now: Baseline, place: _Place, *, wanted: bool) -> bool:
        __tracebackhide__ = True
        seen: list[Baseline] = []
        found: list[Difference | None] = []
        chosen: list[Comparator] = []

        def same(recorded: str) -> bool:
            expected = parse(recorded, place.shown)
            seen.append(expected)
            if judge := self._comparator or _default(expected, now):
                chosen.append(judge)
                found.append(judge.compare(expected, now))
            return found == [None]

        outcome = look_up(self.item, place.name, now, same, write=False)
        if not outcome.found:
            return self._missing(place)
        (expected,) = seen
        if finding := explanation.other_template(expected, now):
            self._test.noted(now.facts["model"], finding)
        if not found:
            return self._undecided(place, _refusal(expected, now))
        (judge,), (difference,) = chosen, found
        if difference is not None:
            attribution = _attribution(expected, now)
            told = explanation.different(
                place.shown, expected, now, attribution, difference, self._accept(now)
            )
        else:
            attribution = None
            told = explanation.equal(place.shown, expected, now, judge.name)
        holds = (difference is None) is wanted
        self._explain(None if holds else told)
        self._hear(
            Status.PASSED if holds else Status.FAILED,
            place,
            "\n".join(told.lines[:-1] or told.lines) if difference else f"same as {place.shown}",
            comparator=judge,
            attribution=attribution,
        )
        return holds

    def _missing(self, place: _Place) -> bool:
        test = self._test
        told = explanation.missing(
            place.shown, test.reference, update_command(test.item, test.name, test.reference)
        )
        self._explain(told)
        self._hear(Status.FAILED, place, "\n".join(told.lines))
        return False

    def _undecided(self, place: _Place, reason: str) -> bool:
        self._hear(Status.NOT_APPLICABLE, place, reason)
        return True

    def _accept(self, now: Baseline) -> str:
        test = self._test
        active = now.facts.get("model", test.reference)
        if active == test.reference:
            if template := test.item.config.getoption("--llm-template", default=None):
                # A baseline made with it would fail every run without it.
                setting = f'chat_template = "{template}"'
                return f"to keep this template: set {setting} for {active} and record all with --llm-update"
            return f"accept: {update_command(test.item, test.name, active)}"
        return f'to make {active} the reference: set reference = "{active}" and record all with --llm-update'

    def _explain(self, told: Explanation | None) -> None:
        self._explanation = self._root._explanation = told

    def _hear(
        self,
        status: Status,
        place: _Place,
        reason: str,
        *,
        comparator: Comparator | None = None,
        attribution: str | None = None,
    ) -> None:
        named = comparator or self._comparator
        evidence = {
            "baseline": place.shown,
            "comparator": named.name if named else None,
            "attribution": attribution,
        }
        check = f"snapshot({named.name})" if named else "snapshot"
        self._test.heard(Verdict(status, check, reason, evidence=evidence))


def _baseline(received: object) -> Baseline:
    __tracebackhide__ = True
    match received:
        case Reply():
            return Baseline.of_reply(received)
        case str():
            return Baseline.of_text(received)
        case dict() | list():
            return Baseline.of_value(received)
    raise TypeError(f"llm_snapshot compares a Reply, str, dict or list, not {type(received).__name__}")


def _default(expected: Baseline, now: Baseline) -> Comparator | None:
    """The comparator where the test names none; None where nothing can be said without one."""
    if now.kind != "reply":
        return json() if now.kind == "json" else text()
    # Equal texts are the same whatever made them; only a difference needs a judge that knows the models.
    return text() if expected.body == now.body or not _unlike(expected, now) else None


def _unlike(expected: Baseline, now: Baseline) -> list[str]:
    """What keeps two replies from being comparable character by character."""
    if expected.kind != "reply":
        return ["kinds"]
    differing = [k for k in (*MODEL, "numerics") if expected.facts.get(k, "") != now.facts.get(k, "")]
    # Equal numerics that do not keep the bits are no better than different ones.
    return differing or (["replies in other company"] if unstable(now.facts) else [])


def _refusal(expected: Baseline, now: Baseline) -> str:
    former = expected.facts.get("model", f"kind {expected.kind}")
    return (
        f"{explanation.title(now)} not compared with the baseline of {former}: "
        f"{named(_unlike(expected, now), expected.facts, now.facts)}; name the comparison that is meant, "
        f'llm_snapshot(compare="text") or llm_snapshot(compare="json")'
    )


def _attribution(expected: Baseline, now: Baseline) -> str:
    if expected.facts and now.facts:
        return attribute(expected.facts, now.facts).sentence
    return "cause: not attributed, since no fingerprint is known of a value that the test made"
