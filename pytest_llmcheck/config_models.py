"""``[tool.llmcheck.models.NAME]``: from the tables of the declared models to their specs."""

from __future__ import annotations

from datetime import date, time
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_llmcheck.config_tables import (
    NOT_YET,
    LoraTable,
    ModelTable,
    RopeTable,
    TableReader,
    quoted,
)
from pytest_llmcheck.errors import ConfigError, did_you_mean
from pytest_llmcheck.models.spec import CACHE_TYPES, QUANTISED_CACHE_TYPES, LoraSpec, ModelSpec, RopeSpec
from pytest_llmcheck.prompts.override import RENDERED, template_override

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

_PLAIN = ("n_ctx", "width", "threads", "device", "flash_attention", "content_tokens", "system")
_GPU = ("gpu_layers", "main_gpu", "split_mode", "require_gpu")
_READ = ("audit_ignore", "chat_template", "date", "kv", "lora", "rope", "template_variables", "tensor_split")
_INHERITED = (*_PLAIN, *_GPU, *_READ, "without")
_TABLES_INSIDE = frozenset({"rope", "template_variables"})
_NAME_REFUSED = frozenset(",[]/")


class ModelReader(TableReader):
    """Reads the declared models of one file.

    Attributes:
        ignored: findings of the audit that are accepted for every model.
        without: health checks that no reply is held to.
        health: gives the names of all health checks; None takes names as they are.
    """

    ignored: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    health: Callable[[], Collection[str]] | None = None

    def models(self, declared: Mapping[str, Any]) -> dict[str, ModelSpec]:
        """All of them, in the order of the file."""
        tables = {name: self.model_table(name, table) for name, table in declared.items()}
        made: dict[str, ModelSpec] = {}
        for name in tables:
            self.make(name, tables, made, ())
        return {name: made[name] for name in tables}

    def model_table(self, name: str, table: object) -> ModelTable:
        """The table of one model, what it says by itself checked."""
        at = f"models.{quoted(name)}"
        if not name or name == "all" or not name.isprintable() or is_refused(name):
            self.fail(at, "not a usable name: no spaces, none of , [ ] / and not 'all'")
        for word, value in table.items() if isinstance(table, dict) else ():
            if word in NOT_YET:
                self.fail(f"{at}.{word}", f"not available yet; {NOT_YET[word]}")
            if isinstance(value, dict) and word not in _TABLES_INSIDE:
                # [tool.llmcheck.models.qwen2.5] is a table "5" inside a table "qwen2".
                whole = f'[{self.prefix}models."{name}.{word}"]'
                self.fail(f"{at}.{quoted(word)}", f"unknown table; a name with a dot needs quotes: {whole}")
        model = self.convert(table, ModelTable, f"{at}.")
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
        at = f"models.{quoted(name)}"
        if name in pending:
            cycle = " -> ".join((*pending[pending.index(name) :], name))
            self.fail(f"{at}.from", f"a cycle: {cycle}; one of them needs 'gguf' instead")
        table = tables[name]
        base = None
        if table.from_ is not None:
            self.known(table.from_, tables, f"{at}.from")
            base = self.make(table.from_, tables, made, (*pending, name))
        given = self.given(table, at)
        fresh = {"audit_ignore": self.ignored, "without": self.without}
        inherited = {key: getattr(base, key) for key in _INHERITED} if base else fresh
        spec = ModelSpec(
            name=name,
            gguf=table.gguf,
            base=base,
            quant=self.quant(at, table.quant),
            origin=self.origin,
            **{**inherited, **given},
        )
        self.check(spec, given, at)
        made[name] = spec
        return spec

    def given(self, table: ModelTable, at: str) -> dict[str, Any]:
        """What a table says itself, as a spec has it."""
        plain = {key: getattr(table, key) for key in (*_PLAIN, *_GPU)}
        found = {key: value for key, value in plain.items() if value is not None}
        if table.chat_template is not None:
            found["chat_template"] = self.chat_template(table.chat_template, f"{at}.chat_template")
        if table.template_variables is not None:
            found["template_variables"] = self.variables(table.template_variables, f"{at}.template_variables")
        if table.date is not None:
            if not isinstance(table.date, date):
                self.fail(f"{at}.date", f"expected a date without quotes (2025-01-31), got {table.date!r}")
            found["date"] = table.date
        if table.audit_ignore is not None:
            own = self.findings(table.audit_ignore, f"{at}.audit_ignore")
            found["audit_ignore"] = (*self.ignored, *own)
        if table.without is not None:
            found["without"] = (*self.without, *self.health_checks(table.without, f"{at}.without"))
        if table.kv is not None:
            found["kv"] = self.kv(table.kv, f"{at}.kv")
        if table.lora is not None:
            adapters = enumerate(table.lora)
            found["lora"] = tuple(self.lora(given, f"{at}.lora[{index}]") for index, given in adapters)
        if table.rope is not None:
            found["rope"] = self.rope(table.rope, f"{at}.rope")
        if table.tensor_split is not None:
            if table.tensor_split and not any(table.tensor_split):
                self.fail(f"{at}.tensor_split", "no GPU gets a share; give one at least more than 0")
            found["tensor_split"] = tuple(table.tensor_split)
        return found

    def findings(self, ids: Sequence[str], at: str) -> tuple[str, ...]:
        """Ids of findings, each known to the audit."""
        for each in ids:
            # Only a configuration that silences findings pays for the import.
            from pytest_llmcheck.prompts.audit.findings import IDS

            if each not in IDS:
                self.fail(at, f"no finding has the id {each!r}; {did_you_mean(each, IDS)}")
        return tuple(ids)

    def health_checks(self, names: Sequence[str], at: str) -> tuple[str, ...]:
        """Names of health checks, each of them known."""
        # Only a configuration that leaves one out pays for the imports.
        known = self.health() if names and self.health is not None else names
        for each in names:
            if each not in known:
                self.fail(at, f"no health check has the name {each!r}; {did_you_mean(each, known)}")
        return tuple(names)

    def quant(self, at: str, quant: str | None) -> str | None:
        """llama.cpp's name of a quantisation that can be made."""
        if quant is None:
            return None
        # Only a configuration that makes a quantisation pays for the import.
        from pytest_llmcheck.models.quants import parse_quant

        try:
            return parse_quant(quant)
        except ConfigError as error:
            self.fail(f"{at}.quant", str(error))

    def chat_template(self, text: str, at: str) -> Path | str:
        """A jinja file relative to this one, or the name of a known format."""
        try:
            return template_override(text, self.origin.parent)
        except ConfigError as error:
            self.fail(at, str(error))

    def variables(self, given: Mapping[str, Any], at: str) -> Mapping[str, Any]:
        """What the chat template is to read, of types that JSON has."""
        for name, value in given.items():
            if name in RENDERED:
                self.fail(f"{at}.{name}", "every prompt brings its own; take this one away")
            self.json_value(value, f"{at}.{quoted(name)}")
        return MappingProxyType(dict(given))

    def json_value(self, value: object, at: str) -> None:
        """Refuse what a template cannot be given: TOML knows dates and times, infinity and NaN."""
        if isinstance(value, dict):
            for key, item in value.items():
                self.json_value(item, f"{at}.{quoted(key)}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.json_value(item, f"{at}[{index}]")
        elif isinstance(value, date | time):
            self.fail(at, f"a template takes texts, numbers, lists and tables; put quotes around {value}")
        elif isinstance(value, float) and not isfinite(value):
            self.fail(at, f"expected a finite number, got {value}")

    def kv(self, text: str, at: str) -> tuple[str, str]:
        """The types of the K and the V cache; one name is both."""
        keys, slash, values = (part.strip() for part in text.partition("/"))
        kinds = (keys, values if slash else keys)
        for kind in kinds:
            if kind not in CACHE_TYPES:
                hint = did_you_mean(kind, CACHE_TYPES)
                self.fail(at, f'expected a cache type or two ("K/V"), got {text!r}; {hint}')
        return kinds

    def lora(self, adapter: object, at: str) -> LoraSpec:
        """One adapter: a file, or a table with its file and scale."""
        table = self.convert({"gguf": adapter} if isinstance(adapter, str) else adapter, LoraTable, f"{at}.")
        return LoraSpec(table.gguf, table.scale, self.origin)

    def rope(self, rope: dict[str, Any], at: str) -> RopeSpec | None:
        """How positions are stretched; an empty table takes the file's own values."""
        table = self.convert(rope, RopeTable, f"{at}.")
        if table.factor is not None and table.scaling not in ("linear", "yarn"):
            self.fail(f"{at}.factor", "needs scaling = 'linear' or 'yarn', which says how to stretch")
        if table.original_context is not None and table.scaling != "yarn":
            self.fail(f"{at}.original_context", "only with scaling = 'yarn', which alone knows it")
        return (
            RopeSpec(table.scaling, table.factor, table.freq_base, table.original_context) if rope else None
        )

    def check(self, spec: ModelSpec, given: Mapping[str, Any], at: str) -> None:
        """Refuse settings that contradict each other, whether given or inherited."""

        def fail(key: str, problem: str) -> None:
            owner = f" (inherited from {spec.base.name!r})" if spec.base and key not in given else ""
            self.fail(f"{at}.{key}", f"{problem}{owner}")

        if spec.kv[1] in QUANTISED_CACHE_TYPES and not spec.flash_attention:
            fail(
                "kv",
                f"a quantised V cache ({spec.kv[1]}) needs flash attention: take flash_attention = true, "
                f'or kv = "{spec.kv[0]}/f16"',
            )
        if spec.device == "cpu" and spec.require_gpu:
            fail("require_gpu", 'contradicts device = "cpu"; take one of them away')
        if spec.device == "cpu" and spec.gpu_layers:
            fail(
                "gpu_layers",
                f'{spec.gpu_layers} contradicts device = "cpu"; set it to 0, or take device away',
            )
        if spec.gpu_layers == 0 and (spec.require_gpu or spec.device == "gpu"):
            insisting = "require_gpu = true" if spec.require_gpu else 'device = "gpu"'
            fail("gpu_layers", f"0 contradicts {insisting}; raise it, or take {insisting} away")


def is_refused(name: str) -> bool:
    """Whether a text, or a letter of it, cannot be part of a model's name."""
    return any(letter.isspace() or letter in _NAME_REFUSED for letter in name)
