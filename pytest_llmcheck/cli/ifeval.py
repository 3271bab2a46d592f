"""``llmcheck ifeval``: a file of prompts with instructions, and how far one or two models follow them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_llmcheck.cli.common import Progress, print_table
from pytest_llmcheck.config import load_config
from pytest_llmcheck.errors import ConfigError, EngineError
from pytest_llmcheck.ifeval import (
    METRICS,
    Response,
    compare,
    judge_all,
    read_examples,
    read_responses,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llmcheck.compare import Interval
    from pytest_llmcheck.config import Config
    from pytest_llmcheck.ifeval import Change, Example, Judged, Rate, Summary
    from pytest_llmcheck.models import ModelSpec
    from pytest_llmcheck.session.cache import Mode


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared: a model, or a file of responses.

    Attributes:
        name: the model's, or the file's.
        judged: its responses.
        summary: the numbers.
        model: hash and quantisation of a model's file; None for a file of responses.
    """

    name: str
    judged: tuple[Judged, ...]
    summary: Summary
    model: dict[str, str] | None = None


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--responses",
    "recorded",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='Judge recorded responses, one {"prompt": ..., "response": ...} to a line; no model is run.',
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Ask a declared model, or a .gguf file; given twice, compare the second with the first.",
)
@click.option(
    "--save",
    "saved",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a model's responses for --responses; once for each --model, in their order.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take the first N prompts only.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Bound of each reply in tokens; by default that of the configuration.",
)
@click.option(
    "--cache",
    type=click.Choice(["on", "off", "refresh", "only"]),
    default="on",
    show_default=True,
    help="Use of the reply cache, as --llm-cache of pytest.",
)
@click.option("--types", is_flag=True, help="Show the instruction types one by one, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def ifeval(
    file: Path,
    recorded: tuple[Path, ...],
    models: tuple[str, ...],
    saved: tuple[Path, ...],
    limit: int | None,
    max_tokens: int | None,
    cache: Mode,
    types: bool,
    as_json: bool,
) -> None:
    """Tell how far replies follow the instructions in prompts.

    FILE holds prompts in IFEval's format, one to a line. Models answer greedily. Of two sides, files of
    responses before models, the first is the reference.
    """
    _check_options(recorded, models, max_tokens)
    _check_saved(saved, models, {"the file of prompts": (file,), "a file of --responses": recorded})
    examples = read_examples(file, limit)
    sides = []
    for path in recorded:
        responses, others = read_responses(path, examples)
        if others:
            click.echo(f"llmcheck: note: {path}: {others} responses to other prompts are left out", err=True)
        sides.append(_side(str(path), examples, responses))
    if models:
        sides += _asked(models, saved, examples, max_tokens, cache)
    changes = compare(sides[0].judged, sides[1].judged) if len(sides) == 2 else ()
    if as_json:
        click.echo(json.dumps(_described(examples, sides, changes), indent=2, ensure_ascii=False))
        return
    count = sum(len(example.ids) for example in examples)
    click.echo(f"{_many(len(examples), 'prompt')} with {_many(count, 'instruction')}\n")
    _print_rates(sides)
    if changes:
        click.echo(f"\n{sides[1].name} against {sides[0].name}\n")
        _print_changes(changes)
    if types:
        click.echo("\ninstructions followed, strictly / loosely / all\n")
        _print_types(sides)


def _check_options(recorded: Sequence[Path], models: Sequence[str], max_tokens: int | None) -> None:
    given = len(recorded) + len(models)
    if not 1 <= given <= 2:
        raise click.UsageError(f"give --model or --responses, once or, to compare, twice in all; got {given}")
    if max_tokens is not None and not models:
        raise click.UsageError("--max-tokens bounds what a model answers; give --model, or leave it out")


def _check_saved(saved: Sequence[Path], models: Sequence[str], read: Mapping[str, Sequence[Path]]) -> None:
    """Refuse what cannot be written, or must not be, before the models have answered for an hour.

    Args:
        saved: the files to be written.
        models: whose responses they are for.
        read: files of this run, by what they are.
    """
    if saved and len(saved) != len(models):
        raise click.UsageError(f"give --save once for each --model; got {len(saved)} for {len(models)}")
    for at, path in enumerate(saved):
        problem = next(
            (
                f"that is {what}; write to another one"
                for what, paths in read.items()
                if any(_is_same(path, other) for other in paths)
            ),
            None,
        )
        if path.is_dir():
            problem = "is a folder; correct the path"
        elif not path.parent.is_dir():
            problem = f"its folder {path.parent} does not exist; correct the path"
        elif any(_is_same(path, other) for other in saved[:at]):
            problem = "given twice; give each model a file of its own"
        if problem:
            raise ConfigError(f"--save {path}: {problem}")


def _is_same(path: Path, other: Path) -> bool:
    """Whether both lead to one file, by whatever links, or would if there were one."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def _asked(
    names: Sequence[str],
    saved: Sequence[Path],
    examples: Sequence[Example],
    max_tokens: int | None,
    cache: Mode,
) -> list[Side]:
    """The models' replies to all prompts; each model answers them in one batch."""
    from pytest_llmcheck.session.recorder import Recorder
    from pytest_llmcheck.session.run import Run

    config = load_config(Path.cwd())
    specs = [_model(name, config) for name in names]
    recorder, progress = Recorder(), Progress()
    run = Run(config, tuple(specs), health=(), recorder=recorder, progress=progress, cache=cache)
    sides = []
    try:
        for at, spec in enumerate(specs):
            llm = run.llm(spec.name)
            click.echo(f"llmcheck: {spec.name} answers {_many(len(examples), 'prompt')} ...", err=True)
            try:
                replies = llm.chat_many([example.prompt for example in examples], max_tokens=max_tokens)
            except EngineError as error:
                # The option of this command, which is not that of pytest.
                told = str(error).replace("--llm-cache", "--cache")
                raise EngineError(told, passing=error.passing) from None
            progress.clear()
            responses = [Response(reply.text, reply.finish_reason) for reply in replies]
            if saved:
                _save(saved[at], examples, responses)
            made = replies[0].fingerprint
            model = {"quant": made.quant, "weights": made.weights, "build": made.build}
            sides.append(_side(spec.name, examples, responses, model))
    finally:
        progress.clear()
        run.close()
    for note in recorder.take()[0].notes:
        click.echo(f"llmcheck: note: {note}", err=True)
    return sides


def _model(name: str, config: Config) -> ModelSpec:
    found = config.select([name])
    if len(found) != 1:
        raise ConfigError(f"--model {name}: expected one model, got {len(found)}; name them one by one")
    return found[0]


def _side(
    name: str,
    examples: Sequence[Example],
    responses: Sequence[Response],
    model: dict[str, str] | None = None,
) -> Side:
    judged = judge_all(examples, responses)
    return Side(name, judged, summarise(judged), model)


def _save(path: Path, examples: Sequence[Example], responses: Sequence[Response]) -> None:
    lines = (
        {"prompt": example.prompt, "response": response.text, "finish_reason": response.finish_reason}
        for example, response in zip(examples, responses, strict=True)
    )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    try:
        if path.exists() and not path.is_file():  # such as /dev/stdout
            path.write_text(text, encoding="utf-8")
            return
        # Whole or not at all; what a link leads to is replaced, not the link.
        file = path.resolve()
        written = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            written.write_text(text, encoding="utf-8")
            written.replace(file)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--save {path} cannot be written: {error.strerror}; choose another place"
        ) from None


def _print_rates(sides: Sequence[Side]) -> None:
    rows = [
        [metric.title, *(_shown_rate(side.summary.rates[at]) for side in sides)]
        for at, metric in enumerate(METRICS)
    ]
    rows += [
        ["replies cut off", *("unknown" if (n := s.summary.cut_off) is None else str(n) for s in sides)],
        ["undecided, strict", *(str(side.summary.undecided_strict) for side in sides)],
        ["undecided, loose", *(str(side.summary.undecided_loose) for side in sides)],
    ]
    names = [side.name for side in sides]
    print_table(["", *names], rows, numbers=names)


def _print_changes(changes: Sequence[Change]) -> None:
    titles = ["", "right->wrong", "wrong->right", "difference", "p (McNemar)"]
    rows = [
        [
            metric.title,
            str(len(change.right_to_wrong)),
            str(len(change.wrong_to_right)),
            f"{100 * change.difference:+.1f} points{_shown_interval(change.interval, '+.1f')}",
            "" if change.p is None else f"{change.p:.3g}",
        ]
        for metric, change in zip(METRICS, changes, strict=True)
    ]
    print_table(titles, rows, numbers=titles[1:])


def _print_types(sides: Sequence[Side]) -> None:
    names = [side.name for side in sides]
    rows = [
        [id_, *(" / ".join(map(str, side.summary.types[id_])) for side in sides)]
        for id_ in sides[0].summary.types
    ]
    print_table(["", *names], rows, numbers=names)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown_rate(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} %{_shown_interval(rate.interval, '.1f')}"


def _shown_interval(interval: Interval | None, form: str) -> str:
    return "" if interval is None else f" ({100 * interval.low:{form}} to {100 * interval.high:{form}})"


def _described(
    examples: Sequence[Example], sides: Sequence[Side], changes: Sequence[Change]
) -> dict[str, Any]:
    return {
        "prompts": len(examples),
        "instructions": sum(len(example.ids) for example in examples),
        "sides": [_described_side(side) for side in sides],
        "changes": {
            metric.name: {
                "right_to_wrong": list(change.right_to_wrong),
                "wrong_to_right": list(change.wrong_to_right),
                "difference": change.difference,
                "interval": None if change.interval is None else list(change.interval),
                "p": change.p,
            }
            for metric, change in zip(METRICS, changes, strict=False)
        },
    }


def _described_side(side: Side) -> dict[str, Any]:
    summary = side.summary
    return {
        "name": side.name,
        "model": side.model,
        **{
            metric.name: {
                "value": rate.value,
                "interval": list(rate.interval),
                "followed": rate.followed,
                "of": rate.of,
            }
            for metric, rate in zip(METRICS, summary.rates, strict=True)
        },
        "cut_off": summary.cut_off,
        "undecided_strict": summary.undecided_strict,
        "undecided_loose": summary.undecided_loose,
        "types": {
            id_: {"strict": strict, "loose": loose, "of": of}
            for id_, (strict, loose, of) in summary.types.items()
        },
    }
