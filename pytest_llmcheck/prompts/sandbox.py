"""The jinja2 environment in which chat templates run. Only `worker` imports this module, in its own process.

It follows ``transformers`` (``utils/chat_template_utils.py``, 5.23), for which templates are written: the
same whitespace rules, extensions, filters and globals. Templates come out of downloaded files, so they run
in jinja2's immutable sandbox. One difference: ``strftime_now`` reads a fixed date, not the clock.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import BaseLoader, Environment, TemplateError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jinja2.parser import Parser


class RaisedByTemplateError(TemplateError):
    """The template called ``raise_exception``."""


class GenerationTag(Extension):
    """``{% generation %}...{% endgeneration %}``, which marks the assistant's words for training.

    Here it prints its body. It is a call block, as in ``transformers``, because that decides the scope of
    variables that are set inside.
    """

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an instance variable

    def parse(self, parser: Parser) -> nodes.Node:
        """Jinja2's entry point for the tag."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class _PlainNamespace(Namespace):
    """A ``namespace`` that refuses underscored attributes: a way into Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # Not a named parameter, so that namespace(self=...) works.
        self, *rest = args
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _refuse_underscore(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


class _PlainDict:
    """What a template sees as ``dict``: the constructor, not the type with its attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _NoOtherTemplates(BaseLoader):
    """Says what ``include``, ``import`` and ``extends`` would find: nothing."""

    def get_source(self, environment: Environment, template: str) -> NoReturn:
        message = f"it asks for another template, {template!r}, and a chat template has to stand alone"
        raise SecurityError(message)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Tells attempts on Python's internals, which jinja2 prints as nothing."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        if attribute.startswith("_"):
            message = f"access to {attribute!r} of a {type(obj).__name__}"
            raise SecurityError(message)
        # An honest template may look for a key of a dict that has the name of a method, such as `pop`.
        return super().unsafe_undefined(obj, attribute)


def make_environment(now: datetime) -> ImmutableSandboxedEnvironment:
    """An environment whose ``strftime_now`` formats `now`."""
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, loopcontrols],
        loader=_NoOtherTemplates(),
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda format: now.strftime(format)
    environment.globals["dict"] = _PlainDict()
    environment.globals["namespace"] = _PlainNamespace
    return environment


def _tojson(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes < > & for HTML.
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise RaisedByTemplateError(str(message))


def _refuse_underscore(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        message = f"a chat template may not store the underscored attribute {name!r}"
        raise SecurityError(message)
