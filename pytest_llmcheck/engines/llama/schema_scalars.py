"""Constants, strings and numbers of a JSON Schema as right-hand sides of a grammar."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.llama import schema_numbers, schema_pattern
from pytest_llmcheck.engines.llama.schema_pattern import pattern_body, repetition
from pytest_llmcheck.engines.llama.schema_primitives import FORMATS, scalar
from pytest_llmcheck.engines.llama.schema_rules import Rules
from pytest_llmcheck.errors import ConfigError

if TYPE_CHECKING:
    from pytest_llmcheck.engines.llama.schema_merge import Flat


class Scalars(Rules):
    """What a schema says of values that have no parts; and constants, whose parts are known."""

    def _constant(self, value: Any) -> str:
        if isinstance(value, dict) and value:
            members = [f'{scalar(name)} ":" space {self._constant(below)}' for name, below in value.items()]
            return '"{" space ' + ' "," space '.join(members) + ' space "}"'
        if isinstance(value, list) and value:
            return '"[" space ' + ' "," space '.join(map(self._constant, value)) + ' space "]"'
        if isinstance(value, dict | list):
            return '"{" space "}"' if isinstance(value, dict) else '"[" space "]"'
        return scalar(value)

    # Strings.

    def _string(self, flat: Flat, path: str, depth: int) -> str:
        low, high = flat.get("minLength", 0), flat.get("maxLength")
        low, high = int(low), None if high is None else int(high)
        name = flat.get("format")
        if name is not None and name not in FORMATS:
            self._note("format", path, name)
        elif name is not None:
            if "pattern" in flat:
                self._note("pattern", path, f"format {name} is")
            self._note_lengths(path, low, high, FORMATS[name])
            return f'"\\"" {name} "\\""'
        if "pattern" in flat:
            pattern = flat["pattern"]
            try:
                re.compile(pattern)
            except (re.error, OverflowError) as error:
                raise ConfigError(
                    f"pattern at {path}: {pattern!r:.100} is no regular expression: {error}"
                ) from None
            try:
                body = self._add(pattern_body(pattern, lambda body: self._add(body, path)), path)
            except schema_pattern.Unsupported as reason:
                self._note("pattern", path, str(reason))
            else:
                bounds = schema_pattern.width(pattern) if schema_pattern.anchored(pattern) else None
                self._note_lengths(path, low, high, bounds or (schema_pattern.width(pattern)[0], None))
                return f'"\\"" {body} "\\""'
        if high is not None and high < low:
            raise ConfigError(f"maxLength at {path}: {high} is less than minLength, {low}")
        if not low and high is None:
            return "string"
        high = self._repetitions(("minLength", "maxLength"), path, low, high)
        return '"\\"" ' + ("char" + repetition(low, high) if high != 0 else "") + ' "\\""'

    def _note_lengths(self, path: str, low: int, high: int | None, bounds: tuple[int, int | None]) -> None:
        """Lengths beside a pattern or a format are enforced only where those imply them."""
        if low > bounds[0]:
            self._note("minLength", path)
        if high is not None and (bounds[1] is None or bounds[1] > high):
            self._note("maxLength", path)

    # Numbers.

    def _bounds(self, flat: Flat, path: str) -> tuple[Decimal | None, Decimal | None, bool, bool]:
        low, above = schema_numbers.tighter(flat.get("minimum"), flat.get("exclusiveMinimum"), lower=True)
        high, below = schema_numbers.tighter(flat.get("maximum"), flat.get("exclusiveMaximum"), lower=False)
        return low, high, above, below

    def _integer(self, flat: Flat, path: str, depth: int) -> str | None:
        low, high, above, below = self._bounds(flat, path)
        factor = flat.get("multipleOf")
        if factor is not None and Decimal(str(factor)) != 1:
            self._note("multipleOf", path)
        first = None if low is None else int(low.to_integral_value("ROUND_CEILING"))
        last = None if high is None else int(high.to_integral_value("ROUND_FLOOR"))
        if first is not None and above and first == low:
            first += 1
        if last is not None and below and last == high:
            last -= 1
        if first is not None and abs(first) >= 10**18:
            self._note("exclusiveMinimum" if above else "minimum", path, "too large")
            first = None
        if last is not None and abs(last) >= 10**18:
            self._note("exclusiveMaximum" if below else "maximum", path, "too large")
            last = None
        if first is None and last is None:
            return "integer"
        return schema_numbers.integers(first, last)

    def _number(self, flat: Flat, path: str, depth: int) -> str | None:
        low, high, above, below = self._bounds(flat, path)
        if "multipleOf" in flat:
            self._note("multipleOf", path)
        if low is not None and high is not None and (low > high or (low == high and (above or below))):
            return None
        if low is not None and not schema_numbers.is_whole(low):
            self._note("exclusiveMinimum" if above else "minimum", path, "not a whole number")
            low, above = None, False
        if high is not None and not schema_numbers.is_whole(high):
            self._note("exclusiveMaximum" if below else "maximum", path, "not a whole number")
            high, below = None, False
        if low is None and high is None:
            return "number"
        return schema_numbers.numbers(low, high, above=above, below=below)
