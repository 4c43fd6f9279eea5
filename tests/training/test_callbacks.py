"""Keras's callbacks do in our loop what they do in Keras's."""

import json
import math
import os
import random
import re
import sys
from contextlib import suppress

import keras
import pytest

from tests.commands import without_codes
from tests.run_processes import Runs
from trainer.config import parse
from trainer.output.progress import epoch_bar, print_line
from trainer.runs.history import best_epoch, read_history, write_history
from trainer.training.callbacks.trainer_callbacks import BestWeights, ProgressLog, from_config, settle_modes


def test_a_run_slows_down_and_stops_early_when_its_validation_no_longer_rises(runs: Runs):
    config = runs.config(
        "early",
        train={
            "epochs": 9,
            "batch_size": 60,
            "optimizer": {"name": "sgd", "learning_rate": 1e-12},
            "early_stopping": {"patience": 2},
            "reduce_lr_on_plateau": {"monitor": "val_accuracy", "patience": 0, "factor": 0.5},
        },
    )
    folder = runs.finish(config)
    end = json.loads((folder / "run/finished.json").read_text())
    assert (end["stopped_early"], end["epochs"]) == (True, 3)
    assert math.isclose(end["last"]["metrics"]["learning_rate"], 0.5e-12, rel_tol=1e-6), (
        "halved after epoch 2"
    )


@pytest.mark.parametrize(("width", "rate"), [(80, False), (120, True)])
def test_on_a_terminal_an_epoch_is_a_bar_below_the_log(
    width: int, rate: bool, monkeypatch: pytest.MonkeyPatch
):
    terminal, inner = os.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", os.fdopen(inner, "w"))
    with epoch_bar(3) as bar:
        assert bar
        log = ProgressLog(3, 45, 60, bar)
        log.on_epoch_begin(1)
        for batch in range(45):
            log.end_step(batch, 0.5, 0.75)
        print_line("a line of the log that is longer than eighty columns, and is not broken " + "up " * 20)
    sys.stderr.close()
    screen = without_codes(until_closed(terminal))
    bars = [line.strip() for line in re.split(r"[\r\n]+", screen) if "━" in line]
    assert bars
    assert max(map(len, bars)) <= width
    assert re.search(r"epoch 2/3 ━+ 45/45 loss 0\.5000  accuracy 0\.7500", bars[-1])
    assert ("images/s" in bars[-1]) is rate
    assert "and is not broken " + "up " * 20 in screen


def until_closed(terminal: int) -> str:
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as file, suppress(OSError):
        while block := file.read(1 << 16):
            shown += block
    return shown.decode()


def test_elsewhere_there_is_no_bar(monkeypatch: pytest.MonkeyPatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    with epoch_bar(3) as bar:
        assert bar is None


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss", "loss"])
def test_the_best_epoch_is_found_again_in_metrics_csv(monitor: str):
    draw = random.Random(1)
    history = [{"loss": draw.choice([1.0, 2.0, math.nan]), "accuracy": draw.random()} for _ in range(9)]
    callback = BestWeights(monitor, history, lambda: None, steps_per_epoch=2, validated=False)
    for epoch, metrics in enumerate(history):
        callback.on_epoch_end(epoch, metrics)
    assert best_epoch(read_history(write_history(history)), monitor) == callback.best_epoch


def test_with_another_monitor_the_best_goes_on_from_the_best_weights_at_hand():
    history = [{"val_loss": 0.5, "val_accuracy": 0.9}, {"val_loss": 0.4, "val_accuracy": 0.8}]
    published: list[int] = []
    before = BestWeights("val_loss", history, lambda: None, steps_per_epoch=2)
    for epoch, metrics in enumerate(history):
        before.on_epoch_end(epoch, metrics)
    after = BestWeights("val_accuracy", history, lambda: published.append(len(published)), steps_per_epoch=2)
    after.set_state(before.get_state())
    assert (after.best, after.best_epoch) == (0.8, 1), "the weights of epoch 0 are gone"
    after.on_epoch_end(2, {"val_loss": 0.3, "val_accuracy": 0.7})
    assert not published
    after.on_epoch_end(3, {"val_loss": 0.6, "val_accuracy": 0.85})
    assert (after.best, after.best_epoch, published) == (0.85, 3, [0])


@pytest.mark.parametrize(
    ("monitor", "mode"), [("val_accuracy", "max"), ("val_loss", "min"), ("top5_accuracy", "max")]
)
def test_what_auto_means_for_every_figure(monitor: str, mode: str):
    values = {
        "data": {"url": "s3://b/d"},
        "model": {"name": "lab-cnn"},
        "run": {"url": "s3://b/r"},
        "train": {"early_stopping": {"monitor": monitor}, "reduce_lr_on_plateau": {"monitor": monitor}},
    }
    own = keras.callbacks.EarlyStopping(monitor=monitor, mode="min")
    callbacks = [*from_config(parse(values).train), own]
    settle_modes(callbacks)
    assert [callback.mode for callback in callbacks] == [mode, mode, "min"]
