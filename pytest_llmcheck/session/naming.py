"""Test ids with and without the model's name."""

from __future__ import annotations


def without_model(name: str, model: str | None) -> str:
    """A test's id without the model that it is parametrised with, equal for all models.

    The model is the last parameter, see `pytest_generate_tests` in the plugin.

    >>> without_model("test_a[case1-q4]", "q4")
    'test_a[case1]'
    >>> without_model("test_a[q4]", "q4")
    'test_a'
    >>> without_model("test_a", "q4")
    'test_a'
    """
    if model is None:
        return name
    if name.endswith(f"[{model}]"):
        return name[: -len(model) - 2]
    if name.endswith(f"-{model}]"):
        return name[: -len(model) - 2] + "]"
    return name
