"""How a context's width decides in which way the weights are loaded; known on both sides of the socket."""

from __future__ import annotations


def repacks(width: int) -> bool:
    """Whether a model of this width is loaded with repacked weights; see `canonical.RowRule`."""
    return width > 4
