"""The command to run after another one: each works as it is printed, in the same shell."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from trainer.cli.pages.words import word
from trainer.config.load import parse_override
from trainer.doctor.installed import can_train
from trainer.errors import ConfigError
from trainer.runs.run_document import RunResult
from trainer.storage import open_store
from trainer.urls import beside

MAX_TRIED = 100
"""Names that are tried for a new folder."""


def after_dataset(url: str, classes: int) -> str | None:
    """A training on a dataset, in a new folder; None where it cannot be trained on here."""
    if classes < 2 or not can_train():
        return None
    run = unused(beside(url, "run"))
    return f"trainer train {_set('data.url', url)} {_set('run.url', run)}"


def this_training(config: Path | None, recipe: str | None, overrides: Sequence[str], ranks: str) -> str:
    """The training with these options: after a check that tried it, or a stop from which it resumes."""
    given = [("--config", str(config or "")), ("--recipe", recipe or ""), ("--ranks", ranks)]
    words = [word for name, value in given if value not in ("", "1") for word in (name, value)]
    return shlex.join(["trainer", "train", *words, *(w for text in overrides for w in ("--set", text))])


def after_train(run: str) -> str:
    """The report of a finished run."""
    return f"trainer report {word(run)}"


def after_report(run: str, finished: RunResult | None) -> str | None:
    """The evaluation of a finished run, on the images of the training where no others are held out; None
    while it has no weights."""
    if finished is None:
        return None
    held_out = any(name.startswith(("val_", "test_")) for name in finished.last.metrics)
    return f"trainer evaluate {word(run)}{'' if held_out else ' --split train'}"


def after_evaluate(run: str, dataset: str, split: str) -> str:
    """Predictions for the images that were evaluated, into a new folder."""
    output = unused(beside(run, "predictions"))
    return (
        f"trainer predict --run {word(run)} --input {word(dataset)} --split {split} --output {word(output)}"
    )


def unused(url: str) -> str:
    """The URL, or with a number behind it, so that nothing is there yet."""
    for number in range(1, MAX_TRIED):
        tried = f"{url}-{number}" if number > 1 else url
        try:
            if next(iter(open_store(tried).list()), None) is None:
                return tried
        except OSError:  # a store that does not list: the next command reports that
            return tried
    return url


def _set(key: str, value: str) -> str:
    """`--set` with a text that YAML reads as the same text."""
    try:
        section, name = key.split(".")
        plain = parse_override(f"{key}={value}") == {section: {name: value}}
    except ConfigError:
        plain = False
    return f"--set {key}={word(value if plain else json.dumps(value, ensure_ascii=False))}"
