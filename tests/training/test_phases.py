"""Phases of a run: frozen first, then fine-tuned, as two calls of Keras's `fit`, in one run that resumes."""

import logging
import re
import threading
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tests.matrix.reference import fitted
from tests.run_processes import Runs
from tests.training.in_process import store_of, train
from tests.training.test_callback_state import StopAfter
from tests.training.test_publishing import PUBLISHED
from trainer.cli.pages.runs import print_plan
from trainer.config import load
from trainer.errors import ConfigError, RunError, TransientError
from trainer.evaluation.evaluate import evaluate
from trainer.models import build_network
from trainer.runs import layout
from trainer.runs.run_document import RunResult, already_finished, read_finished, read_run
from trainer.training.launch import _check
from trainer.training.run_plan import make_plan
from trainer.training.setup import network_steps as setup
from trainer.training.setup.check import check
from trainer.training.step import TrainStep

FEW: dict[str, Any] = {"batch_size": 600, "lanes": 6, "deterministic": True}
"""Two steps an epoch."""
FROZEN: dict[str, Any] = {"epochs": 2, "freeze": "backbone", "learning_rate": 0.02}
MORE: dict[str, Any] = {
    "epochs": 2,
    "freeze": ["all-but-last:5", "batch_norm"],
    "learning_rate": 0.005,
    "schedule": "cosine",
}
MIXED_BAG: dict[str, Any] = {"name": "tests.matrix.own:mixed_bag", "options": {}}
"""With penalties of weights, several kinds of layers, and a batch norm."""


def phased(*phases: dict[str, Any], **others: Any) -> dict[str, Any]:
    """The section `train`."""
    return FEW | {"phases": list(phases), "epochs": sum(phase["epochs"] for phase in phases)} | others


MORE_OF_IT = MORE | {"freeze": ["all-but-last:9", "batch_norm"]}
OPTIONS: dict[str, Any] = {
    "batch_size": 300,
    "optimizer": {"name": "nadam", "use_ema": True, "ema_momentum": 0.7},
    "layer_rates": {"conv*": 0.5},
    "precision": "mixed_float16",
    "early_stopping": {"monitor": "val_loss", "patience": 5, "restore_best_weights": True},
    "reduce_lr_on_plateau": {"monitor": "loss", "patience": 0, "min_delta": 100.0, "factor": 0.5},
}
"""Four steps an epoch."""
EVERYTHING: dict[str, Any] = {
    "model": MIXED_BAG,
    "train": phased(FROZEN, MORE_OF_IT, **OPTIONS),
    "run": {"checkpoint": {"every": "1 steps", "keep_last": 100}},
}


class StopAfterEpoch(keras.callbacks.Callback):
    """Asks for a stop at the end of an epoch, counted from 0."""

    def __init__(self, epoch: int, stop: threading.Event) -> None:
        super().__init__()
        self.epoch, self.stop = epoch, stop

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.stop.set()


def published(config: Path) -> dict[str, bytes]:
    return {name: store_of(config).get(name) for name in (*PUBLISHED, layout.FINISHED)}


def stop_after(config: Path, steps: int | None = None, epoch: int = -1) -> None:
    stop = threading.Event()
    with pytest.raises(TransientError, match="stopped on request"):
        train(config, StopAfter(steps, stop), StopAfterEpoch(epoch, stop), stop=stop)


def arrays(config: Path, which: layout.WeightsName) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(config.parent / "run" / layout.weights(which)) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if hasattr(item, "shape") else {}))
    return found


STOPPING = {"monitor": "val_loss", "patience": 0, "min_delta": 100.0, "restore_best_weights": True}


@pytest.mark.parametrize(
    ("epochs", "options"),
    [
        pytest.param(2, {"optimizer": {"name": "adam"}}, id="adam"),
        pytest.param(2, {"optimizer": {"name": "sgd", "momentum": 0.9, "use_ema": True}}, id="averages"),
        pytest.param(5, {"optimizer": {"name": "adam"}, "early_stopping": STOPPING}, id="stopped early"),
    ],
)
def test_they_are_calls_of_fit(runs: Runs, epochs: int, options: dict[str, Any]) -> None:
    """With the batch norms of a frozen backbone in inference mode, and new optimizers."""
    section = phased(FROZEN | {"epochs": epochs}, MORE | {"epochs": epochs}, **options)
    config = runs.config("run", train=section, model={"name": "lab-cnn", "options": {"n_filters": 4}})
    assert train(config).phases == (2, 2)
    model = build_network(read_run(store_of(config)))
    model.load_weights(config.parent / "run" / layout.weights("last"))
    for ours, theirs in zip(model.get_weights(), fitted(load(config)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_stopped_in_each_phase_it_ends_with_the_same_bits_and_is_traced_once_a_phase(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Moving averages, layers' rates, loss scale, plateau and best weights of each phase."""
    steps: list[TrainStep] = []
    make_step = setup.make_step

    def recorded(*arguments: Any) -> TrainStep:
        steps.append(make_step(*arguments))
        return steps[-1]

    monkeypatch.setattr(setup, "make_step", recorded)
    caplog.set_level(logging.INFO)
    undisturbed = runs.config("undisturbed", **EVERYTHING)
    finished = train(undisturbed)
    assert [step._finish.experimental_get_tracing_count() for step in steps] == [1, 1]
    assert finished.phases == (2, 2)
    assert "phase 1 of 2, 2 epochs: backbone frozen, learning rate 0.02" in caplog.messages
    second = "phase 2 of 2, 2 epochs: all-but-last:9, batch_norm frozen, learning rate 0.005, cosine"
    assert second in caplog.messages
    assert any(line.startswith("epoch 3/4  phase 2/2  loss ") for line in caplog.messages)

    interrupted = runs.config("interrupted", **EVERYTHING)
    stop_after(interrupted, steps=1)  # in mid-epoch
    stop_after(interrupted, steps=1)  # in the first validation
    stop_after(interrupted, steps=4)  # in the first phase's last validation
    stop_after(interrupted, epoch=1)  # between the phases
    stop_after(interrupted, steps=1)  # in mid-epoch of the second phase
    assert train(interrupted) == finished
    assert published(interrupted) == published(undisturbed)

    line = "already contains a different run: phases[1].learning_rate is 0.005 there and 0.1 here"
    other = EVERYTHING | {"train": phased(FROZEN, MORE_OF_IT | {"learning_rate": 0.1}, **OPTIONS)}
    remedy = f"to start from this run's weights model.weights: {store_of(undisturbed).url}"
    with pytest.raises(RunError, match=f"{re.escape(line)}.*{re.escape(remedy)}"):
        _check(load(runs.config("undisturbed", **other)), 1)
    start = other | {"model": MIXED_BAG | {"weights": store_of(undisturbed).url}}
    assert train(runs.config("from there", **start)).phases == (2, 2)


def test_the_last_phase_gets_more_epochs(runs: Runs) -> None:
    rest = {"epochs": 2, "learning_rate": 0.005}
    whole = runs.config("whole", train=phased(FROZEN, rest))
    finished = train(whole)
    train(runs.config("longer", train=phased(FROZEN, rest | {"epochs": 1})))
    assert train(longer := runs.config("longer", train=phased(FROZEN, rest))) == finished
    assert published(longer) == published(whole)
    shorter = load(runs.config("shorter", train=phased(FROZEN, rest | {"epochs": 1})))
    assert already_finished(store_of(whole), shorter.train)


def test_early_stopping_ends_a_phase_and_the_run_in_the_last(runs: Runs) -> None:
    def section(epochs: int, patience: int = 0) -> dict[str, Any]:
        stopping = {"monitor": "accuracy", "mode": "min", "patience": patience}
        frozen = {"epochs": 5, "freeze": "backbone", "learning_rate": 0.05}
        rest = {"epochs": epochs, "learning_rate": 0.01}
        return phased(frozen, rest, early_stopping=stopping)

    config = runs.config("run", train=section(1))
    finished = train(config)
    assert finished.phases[0] < 5, "the accuracy rises, so its first epoch is the best by this mode"
    assert (finished.phases[1], finished.stopped_early) == (1, False)
    assert already_finished(store_of(config), load(config).train)
    more = runs.config("run", train=section(3))
    assert not already_finished(store_of(config), load(more).train)
    resumed = train(more)
    assert resumed.phases[0] == finished.phases[0]
    assert train(undisturbed := runs.config("undisturbed", train=section(3))) == resumed
    assert published(more) == published(undisturbed)


def test_the_best_weights_of_an_earlier_phase_are_evaluated_as_there(runs: Runs) -> None:
    """Its frozen weights have no penalties, on the validation and on the test split, then and later."""
    spoiling = {"epochs": 1, "learning_rate": 3.0}
    section = phased(FROZEN, spoiling, optimizer={"name": "adam"}, batch_size=100, lanes=10)
    config = runs.config("run", train=section, model=MIXED_BAG)
    finished: RunResult = train(config)
    assert finished.best
    assert finished.best.epoch <= 2 < finished.last.epoch
    url = store_of(config).url
    for which, reached in (("best", finished.best), ("last", finished.last)):
        found = evaluate(url, "validation", which)  # type: ignore[arg-type]
        assert found["loss"] == pytest.approx(reached.metrics["val_loss"], rel=1e-5)
        assert found["top1"] == pytest.approx(reached.metrics["val_accuracy"], abs=1e-6)
    before, after = arrays(config, "best"), arrays(config, "last")
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    known = read_finished(store_of(config))
    assert known
    assert known.phases == (2, 1)


PHASES = "train.phases=[{{epochs: 3, freeze: {}, learning_rate: 0.01}}, {{epochs: 17, freeze: {}}}]"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("train.phases=[{epochs: 3}, {epochs: 4}]", "add up to the 20 of train.epochs, received 3 + 4 = 7"),
        ("train.phases=[{epochs: 3, freze: none}]", "unknown key 'train.phases[0].freze'; did you mean"),
        ("train.phases=[{epochs: 20}, {epochs: 0}]", "train.phases[1].epochs: expected a value greater"),
        ("train.phases=[{epochs: 20, learning_rate: -1}]", "train.phases[0].learning_rate: expected"),
        ("train.phases=[{epochs: 20, decay: 0.1}]", "train.phases[0].decay: expected above 0 with"),
        ("train.phases=[{epochs: 20, warmup_epochs: 20}]", "expected less than the 20 of train.phases[0]"),
        ("train.layer_rates={backbone: 0}", "train.layer_rates.backbone: expected a value greater than 0"),
        (PHASES.format("backbone", "no-such"), "train.phases[1].freeze: no layer with weights in lab_cnn"),
        (PHASES.format("backbone", "depth:99"), "train.phases[1].freeze: lab_cnn has"),
        (PHASES.format("'*'", "none"), "train.phases[0].freeze: '*' freezes every layer of lab_cnn"),
        ("train.layer_rates={no-such: 0.1}", "train.layer_rates: no layer with weights in lab_cnn"),
    ],
)
def test_what_is_invalid_is_refused_before_any_work(
    digits: str, tmp_path: Path, value: str, message: str
) -> None:
    given = [f"data.url={digits}", f"run.url={tmp_path}/run", "train.batch_size=600", value]
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(load(recipe="digits", overrides=given), 1)
    assert not list(tmp_path.iterdir())


def test_the_check_names_the_phases_and_estimates_the_largest(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"data.url={digits}", f"run.url={tmp_path}/run", "train.batch_size=600"]
    whole = check(load(recipe="digits", overrides=given), 1)
    assert whole.phases == ()
    found = check(load(recipe="digits", overrides=[*given, PHASES.format("backbone", "none")]), 1)
    assert [phase.epochs for phase in found.phases] == [3, 17]
    assert found.phases[0].trained < found.phases[1].trained == found.trained == whole.trained
    assert found.step_bytes == whole.step_bytes
    print_plan(found)
    printed = capsys.readouterr().out
    assert "phase 1 of 2, 3 epochs: backbone frozen, learning rate 0.01, 510 parameters trained" in printed
    assert "phase 2 of 2, 17 epochs: all layers, learning rate 0.005, " in printed


def test_only_the_epochs_of_the_last_phase_are_not_the_runs_identity(runs: Runs) -> None:
    def identity(*phases: dict[str, Any]) -> dict[str, Any]:
        plan = make_plan(load(runs.config("x", train=phased(*phases))), 1)
        found: dict[str, Any] = plan.identity["phases"]
        return found

    one, two = FROZEN, MORE
    assert identity(one, two) == identity(one, two | {"epochs": 7})
    for other in (one | {"epochs": 3}, one | {"freeze": "none"}, one | {"warmup_epochs": 0.5}):
        assert identity(one, two) != identity(other, two)
    assert make_plan(load(runs.config("x", train=FEW)), 1).identity["phases"] is None
