"""What a run publishes at its end is what it says of it, however often it was stopped and changed."""

import json
import logging
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import keras
import pytest

from tests.run_processes import Runs
from tests.training.in_process import store_of, train
from tests.training.test_callback_state import StopAfter
from tests.training.test_publishing import PUBLISHED
from trainer.checkpoints.restore import restore
from trainer.config import load
from trainer.errors import ConfigError, TransientError
from trainer.evaluation.evaluate import evaluate
from trainer.models import build_network
from trainer.models.weights_file import weights_file
from trainer.observability.metrics import RunMetrics
from trainer.preparation.prepare import prepare
from trainer.runs import layout
from trainer.runs.run_document import already_finished, read_finished, read_run
from trainer.storage import Store
from trainer.training.launch import _check
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import assign_weights

FEW: dict[str, Any] = {"batch_size": 600, "lanes": 6, "deterministic": True}
"""Two steps an epoch."""
FOUR = FEW | {"batch_size": 300}
"""Four steps an epoch."""
AVERAGED: dict[str, Any] = {
    "name": "nadam",
    "use_ema": True,
    "ema_momentum": 0.7,
    "gradient_accumulation_steps": 3,
    "loss_scale_factor": 8.0,
}


def published(config: Path) -> dict[str, bytes]:
    return {name: store_of(config).get(name) for name in (*PUBLISHED, layout.FINISHED)}


def stop_after(config: Path, steps: int) -> None:
    stop = threading.Event()
    with pytest.raises(TransientError, match="stopped on request"):
        train(config, StopAfter(steps, stop), stop=stop)


def test_moving_averages_are_published_evaluated_and_resumed(runs: Runs) -> None:
    averaged = FEW | {"optimizer": AVERAGED, "label_smoothing": 0.1}
    undisturbed = runs.config("undisturbed", train=averaged | {"epochs": 3})
    finished = train(undisturbed)

    store = store_of(undisturbed)
    raw = restore(store)
    assert raw
    keras.utils.clear_session()  # layers are named as in a process of its own
    model = build_network(read_run(store))
    trained = [raw.arrays[f"model/{v.path}"] for v in model.trainable_variables]
    assign_weights(raw, model)
    assert weights_file(model) == store.get(layout.weights("last")), "the averages of the last checkpoint"
    assert any((v.numpy() != old).any() for v, old in zip(model.trainable_variables, trained, strict=True))
    for which, reached in (("last", finished.last), ("best", finished.best)):
        assert reached
        found = evaluate(store.url, "validation", which)  # type: ignore[arg-type]
        assert found["top1"] == pytest.approx(reached.metrics["val_accuracy"], abs=1e-6)
        assert found["loss"] == pytest.approx(reached.metrics["val_loss"], abs=2e-6)

    config = runs.config("changing", train=averaged | {"epochs": 2})
    stop_after(config, 3)
    train(config)
    assert train(runs.config("changing", train=averaged | {"epochs": 3})) == finished
    assert published(config) == {name: store.get(name) for name in (*PUBLISHED, layout.FINISHED)}


def test_fewer_epochs_than_begun_are_refused_and_a_run_that_trains_on_is_not_finished(runs: Runs) -> None:
    config = runs.config("run", train=FOUR | {"epochs": 2})
    store = store_of(config)
    train(config)
    evaluate(store.url, "validation", "last")
    more = runs.config("run", train=FOUR | {"epochs": 4})
    stop_after(more, 1)
    assert not [key for key in (layout.FINISHED, layout.CARD, layout.REPORT) if key in keys(store)]
    before = store.get(layout.RUN)
    fewer = load(runs.config("run", train=FOUR | {"epochs": 2}))
    with pytest.raises(ConfigError, match=r"the run has started epoch 3: expected at least 3, received 2"):
        _check(fewer, 1)
    with pytest.raises(ConfigError, match=r"Set train.epochs: 3 or more"):
        train(config)
    more = runs.config("run", train=FOUR | {"epochs": 3})
    assert _check(load(more), 1)
    assert train(more).epochs == 3
    assert before != store.get(layout.RUN)
    assert layout.evaluation("validation", "last") not in keys(store), "it was of other weights"
    assert train(runs.config("run", train=FOUR | {"epochs": 1})).last.epoch == 3, "it ends where it is"


@pytest.mark.parametrize(
    ("step", "closed", "refused"),
    [
        (6, None, False),
        (7, None, True),
        (6, 3, False),
        (6, 2, True),
        (5, 2, True),
        (4, 2, False),
        (3, 1, False),
    ],
)
def test_an_epoch_that_has_had_no_validation_is_not_done(
    step: int, closed: int | None, refused: bool
) -> None:
    """Of two epochs of two steps."""
    plan: Any = Mock(steps_per_epoch=2)
    plan.config.train.epochs = 2
    with pytest.raises(ConfigError, match="has started epoch") if refused else nullcontext():
        RunPlan.check_epochs(plan, step, closed)


def keys(store: Store) -> set[str]:
    return {info.key for info in store.list()}


def test_a_run_that_stopped_early_resumes_when_it_may_go_on(runs: Runs) -> None:
    """The loss falls, so the first epoch is the best by this mode."""
    early = {"monitor": "val_loss", "mode": "max", "patience": 1, "restore_best_weights": True}
    patient = early | {"patience": 2}

    def config(name: str, section: dict[str, Any] | None, epochs: int = 4) -> Path:
        return runs.config(name, train=FEW | {"epochs": epochs, "early_stopping": section})

    stopped = config("run", early)
    end = train(stopped)
    assert (end.stopped_early, end.epochs, end.last.epoch) == (True, 2, 1)
    for again in (early, None):
        unchanged = load(config("run", again, epochs=9 if again else 2))
        assert already_finished(store_of(stopped), unchanged.train)
        assert _check(unchanged, 1) is None

    assert _check(load(config("run", patient)), 1)
    assert (end := train(config("run", patient))) == train(config("patient", patient))
    assert (end.epochs, end.last.epoch) == (3, 1)
    assert (end := train(config("run", None))) == train(config("never", None))
    assert (end.stopped_early, end.epochs, end.last.epoch) == (False, 4, 4)
    assert published(stopped) == published(stopped.parent.parent / "never/run.yaml")


def test_without_validation_callbacks_look_at_the_training_and_are_silent_between_validations(
    runs: Runs,
    digits: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level(logging.INFO)
    url = f"file://{tmp_path}/data"
    prepare(digits.replace("/dataset", "/images/train"), url, validation=0, seed=0)
    still = {"name": "sgd", "learning_rate": 1e-12}
    callbacks = {"early_stopping": {"patience": 2}, "reduce_lr_on_plateau": {"patience": 1}}
    train_section = FEW | callbacks | {"epochs": 9, "optimizer": still}
    config = runs.config("unvalidated", data={"url": url}, train=train_section)
    finished = train(config)
    assert finished.stopped_early
    assert finished.last.metrics["learning_rate"] < 1e-12
    said = "no validation split: run.monitor is accuracy, train.early_stopping.monitor is accuracy, "
    assert caplog.text.count(f"{said}train.reduce_lr_on_plateau.monitor is loss, of the training") == 1

    config = runs.config("seldom", train=train_section | {"validation_freq": 2})
    finished = train(config)
    assert finished.stopped_early
    assert finished.epochs in (6, 8), "two validations are no better, which batch norm's statistics decide"
    assert not [warning for warning in recwarn if "conditioned on metric" in str(warning.message)]


def test_no_metric_is_shown_before_it_is_known_and_at_the_end_it_is_of_all_steps(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("trainer.training.callbacks.trainer_callbacks.ProgressLog.EVERY_SECONDS", 0.0)
    shown = Mock()
    monkeypatch.setattr(RunMetrics, "end_step", shown)
    finished = train(runs.config("run", train=FEW | {"epochs": 1}))
    first, last = shown.call_args_list
    assert (first.kwargs["loss"], first.kwargs["accuracy"]) == (None, None)
    assert last.kwargs["loss"] == finished.last.metrics["loss"]
    assert last.kwargs["accuracy"] == finished.last.metrics["accuracy"]
    lines = [line for line in caplog.messages if "  step " in line]
    assert "loss" not in lines[0]
    assert f"step 2/2  loss {finished.last.metrics['loss']:.4f}" in lines[1]


def test_without_a_test_split_the_results_are_of_validation(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    config = runs.config("run", train=FEW | {"epochs": 2})
    finished, store = train(config), store_of(config)
    document = json.loads(store.get(layout.evaluation("validation", "best")))
    assert finished.best
    assert document["top1"] == pytest.approx(finished.best.metrics["val_accuracy"], abs=1e-6)
    assert document["loss"] == pytest.approx(finished.best.metrics["val_loss"], abs=2e-6)
    found = evaluate(store.url, None, "best")
    assert (found["dataset"]["split"], found["confusion"]) == ("validation", document["confusion"])
    assert found["warnings"][0].startswith("there is no test split")
    assert b"There is no test split" in store.get(layout.CARD)
    assert b"there is no test split" in store.get(layout.REPORT)

    caplog.set_level(logging.INFO)
    assert _check(load(config), 1) is None
    names = ("report", "evaluation", "card", "model", "weights", "last weights")
    assert [line.split(": ")[0] for line in caplog.messages if f"{store.url}/" in line] == list(names)


def test_weights_that_are_not_restored_any_more_are_not_said_to_be(runs: Runs) -> None:
    early = {"monitor": "val_loss", "mode": "max", "patience": 9}
    config = runs.config(
        "run", train=FEW | {"epochs": 3, "early_stopping": early | {"restore_best_weights": True}}
    )
    stop_after(config, 3)
    finished = train(runs.config("run", train=FEW | {"epochs": 3, "early_stopping": early}))
    assert finished.last.epoch == 3
    assert (
        json.loads(store_of(config).get(layout.FINISHED))["early_stopping"]["restore_best_weights"] is False
    )
    assert read_finished(store_of(config)) == finished


def test_frozen_penalties_are_in_no_loss(runs: Runs) -> None:
    network = {"name": "tests.matrix.own:mixed_bag", "options": {}, "freeze": "backbone"}
    config = runs.config("frozen", model=network, train=FEW | {"epochs": 1})
    reached = train(config).last.metrics["val_loss"]
    measured = evaluate(load(config).run.url, "validation", "last")["loss"]
    assert measured == pytest.approx(reached, rel=1e-6)
