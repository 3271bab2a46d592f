"""GBNF for what needs no schema: the parts of JSON, formats, scalars and names."""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_llmcheck.engines.llama.schema_pattern import literal

_ESCAPE = r'"\\" (["\\/bfnrt] | "u" ([0-9abcefABCEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))'
# No surrogates: a pair of escapes is one character to JSON and would be two here.
_CHAR = r"[^\x22\x5c\x7f\x00-\x1f\ud800-\udfff]"
_YEAR = '(([1-9] [0-9]{3}) | ("0" [1-9] [0-9]{2}) | ("00" [1-9] [0-9]) | ("000" [1-9]))'
_FOURTH = '("0" [48] | [2468] [048] | [13579] [26])'
_OCTET = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9] [0-9] | [0-9])'
_LABEL = "[a-zA-Z0-9] ([a-zA-Z0-9-]{0,20} [a-zA-Z0-9])?"

PRIMITIVES = {
    "space": r'| " " | "\n"{1,2} [ \t]{0,20}',
    "char": f"{_CHAR} | {_ESCAPE}",
    "string": r'"\"" char* "\""',
    # Without escapes, so that no declared name can be spelled in another way.
    "key": rf'"\"" {_CHAR}+ "\""',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "natural": '"0" | [1-9] [0-9]{0,15}',
    "integer": '"0" | "-"? [1-9] [0-9]{0,15}',
    "number": '"-"? natural ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" space "}" | "{" space member ("," space member)* space "}"',
    "member": 'string ":" space value',
    "array": '"[" space "]" | "[" space value ("," space value)* space "]"',
    "leap-year": f'([0-9] [0-9] {_FOURTH} | {_FOURTH} "00")',
    "date": (
        f'{_YEAR} "-" (("01" | "03" | "05" | "07" | "08" | "10" | "12")'
        ' "-" ("0" [1-9] | [12] [0-9] | "3" [01])'
        ' | ("04" | "06" | "09" | "11") "-" ("0" [1-9] | [12] [0-9] | "30")'
        ' | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])) | leap-year "-02-29"'
    ),
    "time": (
        '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})?'
        ' ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
    ),
    "date-time": 'date "T" time',
    "uuid": '[0-9a-fA-F]{8} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{12}',
    "ipv4": f'{_OCTET} "." {_OCTET} "." {_OCTET} "." {_OCTET}',
    "email": (
        f'[a-zA-Z0-9_]+ ([.+-] [a-zA-Z0-9_]+){{0,4}} "@" ({_LABEL} "."){{1,4}} [a-zA-Z]{{2,10}}'
    ),
}  # fmt: skip
"""Rules by name; those that a grammar uses are put into it."""

FORMATS = {
    "date": (10, 10), "time": (9, 21), "date-time": (20, 32), "uuid": (36, 36), "ipv4": (7, 15),
    "email": (6, None),
}  # fmt: skip
"""Formats that are enforced, with the least and the largest length."""


def scalar(value: Any) -> str:
    """A scalar as JSON, in GBNF."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value)
    return literal(text)


def other_names(names: set[str]) -> str:
    """A key that is none of the names, by a tree over their characters."""

    def below(suffixes: list[str]) -> str:
        heads = dict.fromkeys(suffix[0] for suffix in sorted(suffixes) if suffix)
        excluded = "".join(f"\\U{ord(head):08x}" for head in heads)
        parts = [f"{_CHAR[:-1]}{excluded}] {_CHAR}*"]
        for head in heads:
            rest = [suffix[1:] for suffix in suffixes if suffix[:1] == head]
            parts.append(f"[\\U{ord(head):08x}] ({below(rest)})")
        if "" not in suffixes:
            parts.append('""')
        return " | ".join(parts)

    # Names with quotes or the like cannot be spelled without escapes, which keys have none of.
    plain = [name for name in names if name and re.fullmatch(r'[^"\\\x7f\x00-\x1f\ud800-\udfff]+', name)]
    if not plain:
        return PRIMITIVES["key"]
    # An empty key is nobody's wish.
    return f'"\\"" ({below([*plain, ""])}) "\\""'
