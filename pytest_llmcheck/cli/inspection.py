"""``llmcheck inspect``: what a file holds and what it needs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pytest_llmcheck.cli.common import find, kv_types, megabytes, print_table, visible
from pytest_llmcheck.errors import ModelError
from pytest_llmcheck.models import available_memory, check_fit, context_of, estimate_memory
from pytest_llmcheck.prompts import ChatTemplate, choose_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llmcheck.models import GGUFHeader, ModelSpec

TEMPLATE_LINES = 3
LINE_WIDTH = 100


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


def facts(spec: ModelSpec, header: GGUFHeader, sha256: str | None, available: int) -> dict[str, Any]:
    """What is shown, as JSON values; sizes in bytes.

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
        },
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
        click.echo(f"chat template from {visible(str(spec.chat_template))}, instead of the file's own")
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


def _templates(spec: ModelSpec, header: GGUFHeader) -> Mapping[str, str]:
    if spec.chat_template is None:
        return header.chat_templates
    return {"default": choose_template({}, spec.chat_template, model=spec.name, tools=False)}


def _sha256(source: str) -> str:
    return ChatTemplate(source, bos_token=None, eos_token=None).sha256


def _heads(heads: int | tuple[int, ...]) -> str:
    if isinstance(heads, int):
        return str(heads)
    low, high = min(heads, default=0), max(heads, default=0)
    return str(low) if low == high else f"{low} to {high} by layer"


def _share(count: int, header: GGUFHeader) -> str:
    return f"{100 * count / header.n_params:.1f} %" if header.n_params else "-"
