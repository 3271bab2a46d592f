"""Replies that are JSON, or nearly: what a user sees of them, and what the run record keeps."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

from tests.support.projects import errors
from tests.support.steered import steered_llama

if TYPE_CHECKING:
    from tests.support.projects import Project


def test_not_json_with_the_token_that_went_wrong(project: Project) -> None:
    steered_llama(project.path / "m.gguf", "[1 2]")
    project.declare(m=project.path / "m.gguf")
    project.tests(
        dedent("""
        from pytest_llmcheck import json_equals, matches_schema

        def test_it(llm):
            reply = llm.chat("Count!")
            assert [token.text for token in reply.tokens] == list("[1 2]")
            reply.expect(matches_schema(list[int]), json_equals([1, 2]))

        def test_value(llm):
            llm.chat("Count!").json()
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=2)
    problem = "expected ',' or a closing bracket at line 1, column 4"
    shown = [
        "[1 2]",
        "^",
        "the token at line 1, column 3: ' ' 1.00, '<|endoftext|>' 0.00, '<|im_start|>' 0.00",
    ]
    hint = "hint: but for a missing comma (line 1, column 3) it would be JSON"
    assert errors(result) == [
        "pytest_llmcheck.CheckFailed: 2 checks failed on m, F16",
        f"matches_schema(list[int]): not JSON: {problem}",
        *shown,
        f"{hint} of the schema",
        "json_equals([1, 2]): not JSON, see above",
        f"{hint} of the expected value",
        "reply: '[1 2]'",
        f"the reply is not JSON: {problem}",
        *shown,
        "reply: '[1 2]'",
    ]
    recorded = project.test_lines[0].verdicts
    assert [verdict.evidence["level"] for verdict in recorded] == ["not JSON", "not JSON"]


def test_a_schema_without_end_fails_its_test_and_no_other(project: Project) -> None:
    steered_llama(project.path / "m.gguf", "[1,2]")
    project.declare(m=project.path / "m.gguf")
    project.tests(
        dedent("""
        from pytest_llmcheck import contains, matches_schema, not_

        ENDLESS = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}

        def test_endless(llm):
            llm.chat("Count!").expect(not_(matches_schema(ENDLESS)), contains("3"), contains("1"))

        def test_fine(llm):
            llm.chat("Count!").expect(matches_schema({"type": "array"}))
        """)
    )
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E*pytest_llmcheck.SchemaError: matches_schema(*refers to itself without end*",
            "E*beside that, 1 of 2 checks failed on m, F16",
            "E*contains('3'): expected the text in the reply; missing: '3'",
        ]
    )
    # What could be judged is recorded.
    recorded = project.test_lines[0].verdicts
    assert [(verdict.check, verdict.status) for verdict in recorded] == [
        ("contains('3')", "failed"),
        ("contains('1')", "passed"),
    ]
