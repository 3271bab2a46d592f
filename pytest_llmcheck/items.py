"""What a test's item says of models; knows pytest and nothing of ours but names."""

from __future__ import annotations

import pytest

from pytest_llmcheck.session.naming import without_model

PARAMETER = "_llm_model"
"""The private fixture that is parametrised when several models are active."""

LADDER = "_llm_n_ctx"
"""The private fixture that is parametrised where a mark has several context lengths."""

CASES = "llm_cases"
"""The mark of tests that run once for each case of a file."""

NEEDS_MODEL = "_llmcheck_run"
"""The private fixture that every test which may ask a model depends on."""


def model_in_id(item: pytest.Item) -> str | None:
    """The model that a test's id ends with; None where the test is not multiplied."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(PARAMETER)


def n_ctx_in_id(item: pytest.Item | pytest.Collector) -> int | None:
    """The context length that a test's id ends with; None where its mark does not have several."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(LADDER)


def nodeid_without_model(item: pytest.Item) -> str:
    """The id of a test, equal for all models."""
    return without_model(item.nodeid, model_in_id(item), n_ctx_in_id(item))


def name_in_module(item: pytest.Item) -> str:
    """Classes, function and parameters without the model: equal for all models."""
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return ".".join([*classes, without_model(item.name, model_in_id(item), n_ctx_in_id(item))])
