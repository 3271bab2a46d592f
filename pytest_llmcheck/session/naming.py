"""Test ids with and without the model's name."""

from __future__ import annotations


def without_model(name: str, model: str | None, n_ctx: int | None = None) -> str:
    """A test's id without the model that it is parametrised with, equal for all models.

    The model is the last parameter, or a context length from the test's mark follows it, which is kept; see
    `pytest_generate_tests` in the plugin.

    >>> without_model("test_a[case1-q4]", "q4")
    'test_a[case1]'
    >>> without_model("test_a[q4]", "q4")
    'test_a'
    >>> without_model("test_a", "q4")
    'test_a'
    >>> without_model("test_a[q4-2048]", "q4", 2048)
    'test_a[2048]'
    """
    kept = "" if n_ctx is None else str(n_ctx)
    end = f"{model}-{kept}]" if kept else f"{model}]"
    if model is None or not name.endswith((f"[{end}", f"-{end}")):
        return name
    before, separator = name[: -len(end) - 1], name[-len(end) - 1]
    if kept:
        return f"{before}{separator}{kept}]"
    return before if separator == "[" else f"{before}]"
