"""The JSON-Schema-Test-Suite, out of the source archive of the installed jsonschema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.archive import JSONSCHEMA, archive

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
"""Folders of the suite, and what their schemas have as ``$schema`` where they do not say."""

REMOTE = "http://localhost:1234/"
"""Where the suite serves the schemas that some of its cases fetch."""


class Case(NamedTuple):
    """A schema with values that are valid under it, or not."""

    name: str
    schema: Any
    tests: list[dict[str, Any]]


def cases(draft: str) -> Iterator[Case]:
    """The required part of the suite for one draft: its folder without ``optional``."""
    for file in sorted((archive(JSONSCHEMA) / "json" / "tests" / draft).glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            schema = case["schema"]
            if isinstance(schema, dict):
                schema = {"$schema": DRAFTS[draft], **schema}
            yield Case(f"{file.stem}: {case['description']}", schema, case["tests"])
