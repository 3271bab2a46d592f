"""The records of JSON Lines and CSV, each with the line on which it begins."""

from __future__ import annotations

import csv
import io
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcheck.errors import ConfigError
from pytest_llmcheck.strict_json import NotJSONError, parse, point_at

if TYPE_CHECKING:
    from collections.abc import Iterator


class Row(NamedTuple):
    """A record.

    Attributes:
        line: the first line of it, from 1.
        fields: None where it could not be read.
        problem: why it could not; empty where it could.
    """

    line: int
    fields: dict[str, Any] | None
    problem: str = ""


def decoded(raw: bytes, shown: str) -> str:
    """The text of a file.

    Args:
        raw: what is in it; a byte order mark is left out.
        shown: the file's path, for messages.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}:{line}: not UTF-8 ({error.reason}); save the file as UTF-8") from None


def of_json_lines(text: str, shown: str) -> Iterator[Row]:
    """One JSON object a line, as https://jsonlines.org has it; blank lines are left out."""
    # Not `splitlines`: JSON texts may hold U+2028 and its like bare.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse(line)
        except NotJSONError as error:
            at = f"not JSON at column {error.position + 1}: {error}"
            yield Row(number, None, f"{at}\n{point_at(line, error.position)}")
            continue
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            kind = "a list" if isinstance(value, list) else repr(value)
            yield Row(number, None, f'expected an object such as {{"prompt": "Hello"}}, got {kind}')


def of_tabs(text: str, shown: str) -> Iterator[Row]:
    """CSV with tabs between the fields."""
    return _of_csv(text, shown, "\t")


def of_csv(text: str, shown: str) -> Iterator[Row]:
    """CSV with commas, or semicolons where the header line has these and no comma."""
    return _of_csv(text, shown, _separator(text))


def _separator(text: str) -> str:
    lines = io.StringIO(text, newline="")
    try:
        header = next((row for row in csv.reader(lines) if row), [])
    except csv.Error:
        return ","  # told when the file is read
    return ";" if len(header) == 1 and ";" in header[0] else ","


def _of_csv(text: str, shown: str, separator: str) -> Iterator[Row]:
    """RFC 4180, read strictly; a header line names the fields, and all values are texts.

    Raises:
        ConfigError: the header is wrong.
    """
    records = _records(text, separator)
    first = next(records, None)
    if first is None:
        return
    line, header = first
    if isinstance(header, str):
        raise ConfigError(f"{shown}:{line}: {header}")
    for at, name in enumerate(header, start=1):
        if not name.strip():
            raise ConfigError(
                f"{shown}:{line}: column {at} has no name; name every column in the header line"
            )
        if name in header[: at - 1]:
            raise ConfigError(f"{shown}:{line}: two columns are named {name!r}; rename one of them")
    for line, cells in records:
        if isinstance(cells, str):
            yield Row(line, None, cells)
        elif len(cells) != len(header):
            yield Row(line, None, _uneven(cells, header, separator))
        else:
            yield Row(line, dict(zip(header, cells, strict=True)))


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """The records that are not blank, or what is wrong with one, each with its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    for _ in count():
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _PLAINER.get(str(error), f"not CSV: {error}") + _UNREAD
            return
        if cells:
            yield line, cells


_PLAINER = {
    "unexpected end of data": 'a quote (") is opened and never closed',
    f"field larger than field limit ({csv.field_size_limit()})": (
        f"a field of more than {csv.field_size_limit()} characters; JSON Lines (.jsonl) has no such limit"
    ),
}
# After a quote that is wrong, nothing says where the next record begins.
_UNREAD = "; nothing is read from here on"


def _uneven(cells: list[str], header: list[str], separator: str) -> str:
    named = {"\t": "tab"}.get(separator, separator)
    return (
        f"expected {len(header)} fields ({', '.join(header)}), got {len(cells)}; put a text that holds "
        f"a {named} or a line break between double quotes"
    )
