"""File names of baselines: readable, safe on every file system, never two tests in one file."""

from __future__ import annotations

import hashlib
import re

LIMIT = 117
"""Longest name in bytes; with ``.md`` it is 120, well below the 143 that eCryptfs leaves of 255."""

# A name stands as it is only where reading it back could give nothing else. Upper case is not kept bare,
# since `test_A` and `test_a` are one file on macOS and Windows.
_TEST = re.compile(r"[a-z0-9_\[\]=,+@][a-z0-9_\[\]=,+@.-]*")
_SUFFIX = re.compile(r"[a-z0-9_-]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9_\[\]=,+@.-]+")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: reserved with every ending.
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)")


def baseline_name(test_name: str, index: int | str) -> str:
    """The name of a baseline's file, without its ending.

    A name that is lower case and of harmless characters stands as it is. Where something had to be
    replaced, cut off, or could be mistaken for another test's, ``~`` and eight hexadecimal digits of a
    hash follow. Two different arguments never give one name, not even where case is ignored.

    Args:
        test_name: class, function and parameters, without the model: ``TestA.test_x[case1]``.
        index: 1 for the first unnamed snapshot of the test, 2 for the second, or the snapshot's name.

    Raises:
        ValueError: `index` is a number below 1.

    >>> baseline_name("test_ticket", 1), baseline_name("test_ticket", 2)
    ('test_ticket', 'test_ticket.2')
    >>> baseline_name("test_ticket[de]", "second")
    'test_ticket[de].second'
    """
    if isinstance(index, int) and index < 1:
        raise ValueError(f"snapshots are counted from 1, not {index}")
    suffix = "" if index == 1 else str(index)
    name = f"{test_name}.{suffix}" if suffix else test_name
    if _stands(test_name, index) and len(name) <= LIMIT:
        return name
    told = hashlib.sha256(repr((test_name, index)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    slug = _UNSAFE.sub("_", name)[: LIMIT - len(told) - 2]
    if _RESERVED.match(slug) or slug[:1] in ("", ".", "-"):
        slug = f"_{slug}"
    return f"{slug}~{told}"


def _stands(test_name: str, index: int | str) -> bool:
    if not _TEST.fullmatch(test_name) or _RESERVED.match(test_name):
        return False
    if index == 1:
        # `cases.test_x` could be the snapshot `test_x` of a test `cases`.
        _, dot, last = test_name.rpartition(".")
        return not dot or not _SUFFIX.fullmatch(last)
    if isinstance(index, int):
        return True
    # A snapshot named "2" is not the second one.
    return bool(_SUFFIX.fullmatch(index)) and not index.isdigit()
