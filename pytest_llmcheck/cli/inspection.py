"""``llmcheck inspect``: what a file holds and what it needs."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import fill, indent
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from pytest_llmcheck.cli.common import find, kv_types, megabytes, print_table
from pytest_llmcheck.config import load_config
from pytest_llmcheck.errors import LlmcheckError, ModelError
from pytest_llmcheck.models import available_memory, check_fit, context_of, estimate_memory, read_gguf
from pytest_llmcheck.models.layers import check_cache_types
from pytest_llmcheck.models.locate import locate
from pytest_llmcheck.models.spec import CACHE_TYPES
from pytest_llmcheck.prompts import ChatTemplate, choose_template
from pytest_llmcheck.prompts.audit.findings import SEVERITIES
from pytest_llmcheck.session.audits import examine
from pytest_llmcheck.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.models import GGUFHeader, ModelSpec

TEMPLATE_LINES = 3
LINE_WIDTH = 100
_INDENT = "    "


@click.command()
@click.argument("model", metavar="FILE_OR_MODEL")
@click.option(
    "--n-ctx", type=click.IntRange(min=1), help="Estimate memory for a context of this many tokens."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def inspect(model: str, n_ctx: int | None, as_json: bool) -> None:
    """Show what a GGUF file holds and what it needs.

    FILE_OR_MODEL is a .gguf file, pkg:module/file, or a model that the project in the working directory
    declares; a declared quantisation is made if it is not there yet. The quantisation is read from the
    tensors, not from the file's name.
    """
    spec, header, sha256 = find(model)
    if n_ctx is not None:
        spec = replace(spec, n_ctx=n_ctx)
    # All of it before anything is printed: a header may lack what only a language model has.
    found = facts(spec, header, sha256, available_memory())
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    _print_facts(found)
    click.echo()
    types = [
        (kind, f"{count.tensors}", f"{count.params:,}", _share(count.params, header), f"{count.bytes:,}")
        for kind, count in header.histogram.items()
    ]
    titles = ("type", "tensors", "parameters", "share", "bytes")
    print_table(titles, types, numbers=titles[1:])
    click.echo()
    _print_templates(spec, _templates(spec, header))
    click.echo()
    _print_memory(spec, header, found["memory"])
    click.echo()
    _print_findings(found["findings"])


def facts(spec: ModelSpec, header: GGUFHeader, sha256: str | None, available: int) -> dict[str, Any]:
    """What is shown, as JSON values; sizes in bytes.

    The file's tokenizer is read too, in a process of its own; its weights are not.

    Raises:
        ModelError: the file is no language model, or is not trained for a context of this size.
    """
    estimate = estimate_memory(header, spec)
    return {
        "model": spec.name,
        "file": str(header.path),
        "size": header.size,
        "sha256": sha256,
        "gguf_version": header.version,
        "name": header.name,
        "architecture": header.architecture,
        "context_length": header.context_length,
        "n_layers": header.n_layers,
        "n_embd": header.n_embd,
        "n_heads": header.n_heads,
        "n_kv_heads": header.n_kv_heads,
        "n_vocab": header.n_vocab,
        "special_tokens": dict(header.special_tokens),
        "add_bos": header.add_bos,
        "quant": header.quant,
        "quant_description": header.quant_description,
        "declared_quant": header.declared_quant,
        "bits_per_weight": header.bits_per_weight,
        "n_params": header.n_params,
        "adapters": [{"gguf": lora.gguf, "scale": lora.scale} for lora in spec.lora],
        "tensor_types": {kind: count._asdict() for kind, count in header.histogram.items()},
        "chat_templates": {
            name: {"sha256": _sha256(source), "source": source}
            for name, source in _templates(spec, header).items()
        },
        "memory": {
            "n_ctx": context_of(header, spec),
            "width": spec.width,
            "kv_types": list(spec.kv),
            "weights": estimate.weights,
            "adapters": estimate.adapters,
            "kv": estimate.kv,
            "compute": estimate.compute,
            "total": estimate.total,
            "available": available,
            "fits": estimate.total <= available,
            "kv_by_type": _kv_by_type(spec, header),
        },
        "findings": [to_builtins(finding) for finding in examine(header, spec, _reference(spec))],
    }


def _print_facts(found: Mapping[str, Any]) -> None:
    special = ", ".join(f"{name} {token}" for name, token in found["special_tokens"].items())
    adds_bos = {True: "yes", False: "no", None: "as llama.cpp decides"}[found["add_bos"]]
    lines = {
        "file": f"{found['file']} ({megabytes(found['size'])}, GGUF version {found['gguf_version']})",
        "sha256": found["sha256"],
        "name": found["name"],
        "architecture": found["architecture"],
        "parameters": f"{found['n_params']:,}",
        "context": f"{found['context_length']} tokens",
        "layers": f"{found['n_layers']}, hidden size {found['n_embd']}",
        "heads": f"{_heads(found['n_heads'])}, for keys and values {_heads(found['n_kv_heads'])}",
        "vocabulary": f"{found['n_vocab']} tokens; {special or 'no special tokens'}; adds bos: {adds_bos}",
        "quantisation": found["quant_description"],
        "adapters": ", ".join(f"{each['gguf']} x {each['scale']:g}" for each in found["adapters"]) or None,
    }
    click.echo(visible(found["model"]))
    for name, value in lines.items():
        if value is not None:
            click.echo(f"  {name:<13} {visible(value)}")


def _print_templates(spec: ModelSpec, templates: Mapping[str, str]) -> None:
    if spec.chat_template is not None:
        source = "" if isinstance(spec.chat_template, str) else "from "
        click.echo(f"chat template {source}{visible(str(spec.chat_template))}, instead of the file's own")
    elif not templates:
        click.echo("no chat template (a base model?): set chat_template in the configuration")
    for name, source in templates.items():
        lines = source.splitlines()
        click.echo(f"chat template {visible(name)}: sha256 {_sha256(source)[:12]}, {len(source)} characters")
        for line in map(visible, lines[:TEMPLATE_LINES]):
            click.echo(f"  {line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 3] + '...'}")
        if len(lines) > TEMPLATE_LINES:
            click.echo(f"  ... ({len(lines)} lines)")


def _print_memory(spec: ModelSpec, header: GGUFHeader, memory: Mapping[str, Any]) -> None:
    streams = "1 conversation" if spec.width == 1 else f"{spec.width} conversations"
    click.echo(f"memory, estimated for {streams} of {memory['n_ctx']} tokens")
    titles = {"weights": "weights", "adapters": "adapters", "kv": "KV cache", "compute": "compute"}
    for key, title in {**titles, "total": "together", "available": "available"}.items():
        types = f"   ({kv_types(spec)})" if key == "kv" and kv_types(spec) != "f16" else ""
        if key != "adapters" or spec.lora:
            click.echo(f"  {title:<13} {megabytes(memory[key]):>12}{types}")
    try:
        check_fit(header, spec, memory["available"])
    except ModelError as error:
        click.echo(f"  does not fit. {str(error).splitlines()[-1]}")
    else:
        click.echo("  fits")
    click.echo()
    # Without it users have to try what a longer context would cost.
    rows = [
        (kind, "-" if cost is None else megabytes(cost), "as configured" if (kind, kind) == spec.kv else "")
        for kind, cost in memory["kv_by_type"].items()
    ]
    print_table(("KV cache", "memory", ""), rows, numbers=("memory",))


def _kv_by_type(spec: ModelSpec, header: GGUFHeader) -> dict[str, int | None]:
    """Bytes of the KV cache if keys and values were of each type; None where llama.cpp cannot do that."""
    found: dict[str, int | None] = {}
    for kind in CACHE_TYPES:
        other = replace(spec, kv=(kind, kind))
        try:
            check_cache_types(header, other)
            found[kind] = estimate_memory(header, other).kv
        except ModelError:
            found[kind] = None
    return found


def _reference(spec: ModelSpec) -> tuple[GGUFHeader, ModelSpec] | None:
    """The reference of the project that declares this model, if its file is there."""
    if spec.origin is None:
        return None
    config = load_config(spec.origin.parent)
    reference = config.models[config.reference]
    weights = reference
    while weights.base is not None:
        weights = weights.base
    try:
        return read_gguf(locate(weights.gguf or "", weights.origin)), reference
    except LlmcheckError:
        # CI may hold this model alone.
        return None


def _print_findings(findings: Sequence[Mapping[str, str]]) -> None:
    counts = {s: sum(finding["severity"] == s for finding in findings) for s in SEVERITIES}
    told = [f"{count} {severity}{'s' * (count > 1)}" for severity, count in counts.items() if count]
    click.echo(f"audit of the prompts: {', '.join(told) or 'nothing found'}")
    for finding in findings:
        click.echo(f"  {finding['severity']} {finding['id']}")
        for text in (finding["explanation"], f"fix: {finding['fix']}"):
            filled = fill(visible(text), LINE_WIDTH - len(_INDENT), break_on_hyphens=False)
            click.echo(indent(filled, _INDENT))


def _templates(spec: ModelSpec, header: GGUFHeader) -> Mapping[str, str]:
    if spec.chat_template is None:
        return header.chat_templates
    return {
        "default": choose_template(header.chat_templates, spec.chat_template, model=spec.name, tools=False)
    }


def _sha256(source: str) -> str:
    return ChatTemplate(source, bos_token=None, eos_token=None).sha256


def _heads(heads: int | tuple[int, ...]) -> str:
    if isinstance(heads, int):
        return str(heads)
    low, high = min(heads, default=0), max(heads, default=0)
    return str(low) if low == high else f"{low} to {high} by layer"


def _share(count: int, header: GGUFHeader) -> str:
    return f"{100 * count / header.n_params:.1f} %" if header.n_params else "-"
