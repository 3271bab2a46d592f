"""`matches_schema` gives the verdicts of the JSON-Schema-Test-Suite, required part, drafts 4 to 2020-12."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from pytest_llmcheck.checks import matches_schema
from pytest_llmcheck.verdict import Status
from tests.support.replies import make_reply
from tests.support.schema_suite import DRAFTS, REMOTE, cases

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
OUTCOMES = ("agrees", "fetched", "annotation")
"""The verdict is the suite's; its schema refers to the suite's server; it wants formats not to be checked."""


def outcome(schema: object, text: str, valid: bool, description: str) -> str:
    try:
        check = matches_schema(schema)
    except ValueError as error:
        known = ("leads nowhere", "is no draft that is known here")
        by_design = REMOTE in json.dumps(schema) and any(why in str(error) for why in known)
        return "fetched" if by_design else f"{description}: {error}"
    passed = check(make_reply(text)).status is Status.PASSED
    if passed is not valid and description.endswith("is only an annotation by default"):
        return "annotation"
    return "agrees" if passed is valid else f"{description}: expected {valid}, got {passed}"


@pytest.mark.parametrize("draft", DRAFTS)
def test_verdicts(draft: str) -> None:
    counted: Counter[str] = Counter()
    for case in cases(draft):
        for test in case.tests:
            said = json.dumps(test["data"])
            counted[outcome(case.schema, said, test["valid"], test["description"])] += 1
    assert set(counted) <= set(OUTCOMES), counted
    # The page is held to what was counted.
    row = f"| {draft} | {counted.total()} | {' | '.join(str(counted[name]) for name in OUTCOMES)} |"
    assert row in PAGE.read_text(encoding="utf-8").splitlines()
