"""The subset of JSONPath by which parts of a JSON value are ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FORMS = "$.key, $['key'], $.list[0], $.list[*].key"
"""The supported forms, for messages."""

ANY: Final = None
"""A step that matches every element of an array and every member of an object."""

Step = str | int
"""A key of an object or an index of an array."""

_STEP = re.compile(
    r"""\.(?P<key>[^\W\d][\w-]*)      # .key
      | \['(?P<single>[^']*)'\]       # ['key']
      | \["(?P<double>[^"]*)"\]       # ["key"]
      | \[(?P<index>[0-9]+)\]         # [0]
      | \[(?P<any>\*)\]               # [*]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path such as ``$.items[*].id``.

    Attributes:
        steps: keys, indices, and `ANY`.
    """

    steps: tuple[Step | None, ...]

    @classmethod
    def parse(cls, path: str) -> JsonPath:
        """Read a path.

        Raises:
            ValueError: it is not one of the supported forms, or it is ``$`` alone, which ignores everything.
        """
        steps: list[Step | None] = []
        at = 1
        while path.startswith("$") and at < len(path) and (found := _STEP.match(path, at)):
            text = next((t for t in (found["key"], found["single"], found["double"]) if t is not None), None)
            steps.append(text if text is not None else ANY if found["any"] else int(found["index"]))
            at = found.end()
        if not path.startswith("$") or at != len(path):
            where = f" from {path[at:]!r} on" if path.startswith("$") else ""
            raise ValueError(f"{path!r} is no path that json(ignore=...) knows{where}; known forms: {FORMS}")
        if not steps:
            raise ValueError(f"'$' ignores the whole value, so nothing is compared; known forms: {FORMS}")
        return cls(tuple(steps))

    def matches(self, place: tuple[Step, ...]) -> bool:
        """Whether the path leads to this place."""
        return len(self.steps) == len(place) and all(
            want is ANY or (type(want) is type(step) and want == step)
            for want, step in zip(self.steps, place, strict=True)
        )


def spell(place: tuple[Step, ...]) -> str:
    """A place as a path that `JsonPath.parse` reads, where its keys allow that."""
    spelled = "$"
    for step in place:
        if isinstance(step, int):
            spelled += f"[{step}]"
        elif re.fullmatch(r"[^\W\d][\w-]*", step):
            spelled += f".{step}"
        else:
            spelled += f"[{step!r}]"
    return spelled
