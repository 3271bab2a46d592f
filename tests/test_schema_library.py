"""jsonschema without its slow part, until that is needed. Each test is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

IRIS = ("http://ƒøø.ßår/?∂éœ=πîx#πîüx", "http://example.com/a", "/abc", "ƒøø\\bar", "#ƒräg\\mênt", "", "a b")
FORMATS = ("iri", "iri-reference", "uri", "uri-reference", "date", "idn-hostname")


def said(source: str) -> Any:
    """What a fresh interpreter prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(source)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def judged(first: str) -> Any:
    """Whether the slow part is there before and after, the known formats, and verdicts on `IRIS`."""
    return said(
        f"""
        import importlib.util, json, sys
        {first}
        before = "rfc3987_syntax" in sys.modules
        from jsonschema import Draft202012Validator
        checker = Draft202012Validator.FORMAT_CHECKER
        verdicts = [[checker.conforms(text, name) for name in {FORMATS}] for text in {IRIS}]
        after = "rfc3987_syntax" in sys.modules
        print(json.dumps([before, after, sorted(checker.checkers), verdicts]))
        """
    )


def test_the_same_verdicts_and_the_slow_part_only_when_needed() -> None:
    before, after, *ours = judged("import pytest_llmcheck.schema_library")
    assert (before, after) == (False, True)
    assert [True, True, *ours] == judged("import jsonschema")


@pytest.mark.parametrize("also", ["", "import jsonschema"])
def test_what_is_imported_already_is_left_alone(also: str) -> None:
    assert said(
        f"""
        import json, sys, types
        own = sys.modules["rfc3987_syntax"] = types.ModuleType("rfc3987_syntax")
        {also}
        import pytest_llmcheck.schema_library
        print(json.dumps(sys.modules["rfc3987_syntax"] is own))
        """
    )


def test_without_the_slow_part_installed() -> None:
    _, _, formats, _ = judged(
        "sys.modules['rfc3987_syntax'] = None; find = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name: None if name == 'rfc3987_syntax' else find(name); "
        "import pytest_llmcheck.schema_library"
    )
    assert "iri" not in formats
    assert "date" in formats
