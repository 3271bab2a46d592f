r"""Regular expressions of users, with a limit on their time.

Python's `re` cannot be stopped: ``(a|aa)+$`` on 60 letters outlives any run, and on this machine no other
thread gets a word in. The `regex` package takes a timeout. It has a dialect of its own, though, so a pattern
is first held to what `re` accepts, then spelt so that `regex` takes it as `re` would:

- ``a{e}`` is a text (to `regex`, a fuzzy match), and ``[[:alpha:]]`` is no POSIX class;
- ``\w`` is a letter, a number or ``_``, and ``\b`` its edge (to `regex`, combining marks are letters and
  ``²`` is none); ``\s`` has the separators U+001C to U+001F.

Time is that of `clock` of C, which `regex` looks at: processor time of the whole process. On a busy machine a
search takes longer than its limit, and where other threads work, it is stopped sooner.

What remains different: with IGNORECASE, U+0131 (the dotless i of Turkish) is no ``i``; letters that are newer
than Python's Unicode are known; ``\B`` matches the empty text, as `re` does from Python 3.14 on.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_llmcheck.errors import PatternError
from pytest_llmcheck.visible import cut

if TYPE_CHECKING:
    from regex import Match, Pattern

SECONDS = 10.0
"""How long one search may take, in processor time of the process."""

_TOKEN = re.compile(
    r"\\N\{[^}]*\}|\\.|\(\?#[^)]*\)|\(\?[aimsux]*(?:-[imsx]+)?:|\{[0-9]*(?:,[0-9]*)?\}|.", re.DOTALL
)
_WORD, _SPACE = r"\p{L}\p{N}_", r"\s\x1c-\x1f"
_EDGE = rf"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))"
_NO_EDGE = rf"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))"
_OUTSIDE = {
    r"\w": f"[{_WORD}]",
    r"\W": f"[^{_WORD}]",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
    r"\b": _EDGE,
    r"\B": _NO_EDGE,
}
_INSIDE = {r"\w": _WORD, r"\s": _SPACE, "]": r"\]"}
_NEGATIVE = {r"\W": _WORD, r"\S": _SPACE}


def search(pattern: str, text: str, flags: int = 0, *, seconds: float = SECONDS) -> Match[str] | None:
    """As `re.search`, and stopped when its time is up.

    Args:
        pattern: in the dialect of `re`.
        text: to be searched.
        flags: of `re`.
        seconds: the longest that the search may take, in processor time of the process.

    Returns:
        The leftmost match, or None.

    Raises:
        ValueError: the pattern is not valid; see `check_pattern`.
        PatternError: the time was up.
    """
    __tracebackhide__ = True
    compiled = _compiled(pattern, int(flags))
    try:
        return compiled.search(text, timeout=seconds)
    except TimeoutError:
        raise PatternError(
            f"the regular expression {cut(repr(pattern), 200)} was stopped after {seconds:g} s of processor "
            f"time on {len(text)} characters: it tries too many ways to match; let no two repeats take the "
            "same text, as (a+)+ and .*.* do, or write them possessive: (a++)+"
        ) from None


def check_pattern(pattern: str, flags: int = 0) -> None:
    """Whether `search` takes a pattern.

    Raises:
        ValueError: it does not; the message has the reason only.
    """
    __tracebackhide__ = True
    _compiled(pattern, int(flags))


@lru_cache(maxsize=256)
def _compiled(pattern: str, flags: int) -> Pattern[str]:
    __tracebackhide__ = True
    import regex

    flags &= ~re.DEBUG
    try:
        with warnings.catch_warnings():
            # Of sets that may mean something else some day; here they never will.
            warnings.simplefilter("ignore")
            known = re.compile(pattern, flags).flags
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise ValueError(str(error)) from None
    ours = regex.VERSION0
    for name in ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE"):
        if known & re.RegexFlag[name]:
            ours |= regex.RegexFlag[name]
    respelt = _respelt(pattern, ascii_=bool(known & re.ASCII), verbose=bool(known & re.VERBOSE))
    try:
        return regex.compile(respelt, ours)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it cannot be run with a limit on its time: {error}") from None


def _respelt(pattern: str, *, ascii_: bool, verbose: bool) -> str:
    """The pattern as `regex` must read it to do what `re` does; valid for `re`."""
    told: list[str] = []
    scopes = [(ascii_, verbose)]
    at = 0
    while found := _TOKEN.match(pattern, at):
        token, at = found[0], found.end()
        ascii_, verbose = scopes[-1]
        if token == "[":
            written, at = _set(pattern, at, ascii_=ascii_)
            told.append(written)
            continue
        if token == "#" and verbose:
            end = pattern.find("\n", at)
            at = len(pattern) if end < 0 else end
            continue
        if token == "(" or (token.startswith("(?") and token.endswith(":")):
            scopes.append(_scope(token, ascii_=ascii_, verbose=verbose))
        elif token == ")":
            scopes.pop()
        elif token in ("{", "{}"):
            token = token.replace("{", r"\{")
        elif not ascii_:
            token = _OUTSIDE.get(token, token)
        told.append(token)
    return "".join(told)


def _scope(opening: str, *, ascii_: bool, verbose: bool) -> tuple[bool, bool]:
    on, _, off = opening.strip("(?:").partition("-")
    return (ascii_ or "a" in on) and "u" not in on, (verbose or "x" in on) and "x" not in off


def _set(pattern: str, at: int, *, ascii_: bool) -> tuple[str, int]:
    """A set from behind its bracket on, and where it ends."""
    negated = pattern.startswith("^", at)
    at += negated
    items: list[str] = []
    without: list[str] = []
    start = at
    while not pattern.startswith("]", at) or at == start:
        found = _TOKEN.match(pattern, at)
        assert found is not None  # `re` has found the end of the set
        # Of the tokens, only escapes are more than a character here.
        token = found[0] if found[0][0] == "\\" else found[0][0]
        at += len(token)
        if token == "[":
            items.append(r"\[")
        elif token in _NEGATIVE and not ascii_:
            without.append(_NEGATIVE[token])
        else:
            items.append(token if ascii_ else _INSIDE.get(token, token))
    at += 1
    plain = "".join(items)
    if not without:
        return f"[{'^' * negated}{plain}]", at
    if negated:
        return f"(?:{f'(?![{plain}])' * bool(plain)}{''.join(f'(?=[{some}])' for some in without)}(?s:.))", at
    ways = [f"[{plain}]"] * bool(plain) + [f"[^{some}]" for some in without]
    return f"(?:{'|'.join(ways)})", at
