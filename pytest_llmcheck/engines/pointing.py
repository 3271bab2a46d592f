"""A place in a reply as messages show it: the line, a caret, and the token that stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.engines.places import odds, token_at
from pytest_llmcheck.strict_json import line_and_column, point_at

if TYPE_CHECKING:
    from pytest_llmcheck.strict_json import NotJSONError
    from pytest_llmcheck.verdict import Judged


def pointed(reply: Judged, position: int, decided: int | None = None) -> list[str]:
    """Lines that show a place of the text, and what else the model thought of saying there.

    Args:
        reply: whatever is judged; without tokens the line and the caret are all.
        position: of the caret, in characters of `reply.text`.
        decided: where the token stands that decided; at the caret by default.
    """
    lines = point_at(reply.text, position).split("\n")
    at = position if decided is None else decided
    if told := odds_at(reply, at):
        where = "there" if at == position else f"at {line_and_column(reply.text, at)}"
        lines.append(f"the token {where}: {told}")
    return lines


def odds_at(reply: Judged, position: int) -> str | None:
    r"""The token of a place with its rivals, such as ``'\n' 0.47, ',' 0.41``; None where it is not known."""
    token = token_at(reply, position)
    return None if token is None else odds(token)


def not_json(reply: Judged, error: NotJSONError) -> list[str]:
    """Lines that say why the text of a reply is not JSON, and point at it.

    Args:
        reply: what was read.
        error: its position is one of `reply.text`.
    """
    if not reply.text.strip():
        told = odds_at(reply, len(reply.text))
        lines = ["expected a JSON value, the reply is empty"]
        return [*lines, f"the token that ended it: {told}"] if told else lines
    return [
        f"{error} at {line_and_column(reply.text, error.position)}",
        *pointed(reply, error.position, error.wrong_from),
    ]
