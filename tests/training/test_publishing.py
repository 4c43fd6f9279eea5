"""What people download of a run is there in the end, whatever its store did meanwhile."""

import json
import logging
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from tests.run_processes import Runs, committed_steps
from tests.training.in_process import store_of, train
from trainer import models
from trainer.checkpoints.writer import CheckpointWriter
from trainer.errors import TransientError
from trainer.models.weights_file import weights_file
from trainer.runs import layout
from trainer.runs.background_writer import Background
from trainer.runs.fence import Fence
from trainer.storage import Store, open_store
from trainer.training.results.publish import Publisher
from trainer.training.run_state import Progress, capture

EXACT: dict[str, Any] = {
    "train": {"epochs": 4, "batch_size": 600, "lanes": 6, "deterministic": True},
    "run": {"checkpoint": {"every": "1 epochs", "keep_last": 1}},
}
PUBLISHED = ("metrics.csv", "weights/best.weights.h5", "weights/last.weights.h5", "weights/model.keras")


class Outage:
    """A store that refuses to write keys of `prefix`, from the first, for `seconds`."""

    def __init__(self, store: Store, prefix: str, error: OSError, seconds: float) -> None:
        self.store, self.url = store, store.url
        self.prefix, self.error, self.seconds = prefix, error, seconds
        self.began: float | None = None
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, data: Any, **options: Any) -> str:
        if key.startswith(self.prefix):
            self.began = self.began or time.monotonic()
            if time.monotonic() - self.began < self.seconds:
                self.refused += 1
                raise self.error
        return self.store.put(key, data, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, digits: str) -> dict[str, bytes]:
    runs = Runs(tmp_path_factory.mktemp("undisturbed"), digits)
    config = runs.config("undisturbed", **EXACT)
    train(config)
    return {name: store_of(config).get(name) for name in PUBLISHED}


@pytest.mark.parametrize(
    ("prefix", "error"),
    [
        (layout.METRICS, TimeoutError("no answer in 60 s")),
        (layout.weights("best"), OSError(28, "No space left on device")),
        (layout.FINISHED, ConnectionError("reset")),
    ],
)
def test_a_store_that_is_away_holds_up_no_step_and_changes_nothing(
    runs: Runs,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    prefix: str,
    error: OSError,
):
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "2")
    caplog.set_level(logging.INFO, logger="trainer.runs")
    config = runs.config("outage", **EXACT)
    outage = Outage(store_of(config), prefix, error, seconds=1)
    train(config, store=outage)
    assert outage.refused > 1
    assert {name: store_of(config).get(name) for name in PUBLISHED} == undisturbed
    assert caplog.text.count("failed; retrying") == 1
    assert caplog.text.count("was saved after") == 1


def test_a_disk_that_stays_full_ends_the_run_with_75_and_the_remedy(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRAINER_RETRY_SECONDS", "0.1")
    config = runs.config("full", **EXACT)
    full = Outage(store_of(config), layout.METRICS, OSError(28, "No space left on device"), seconds=3600)
    with pytest.raises(TransientError, match=r"No space left.*Free some space.*restart the run"):
        train(config, store=full)


class LatePut:
    """A store where a superseded process finishes a PUT of other best weights just before they are read."""

    def __init__(self, store: Store) -> None:
        self.store, self.url = store, store.url

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def get(self, key: str) -> bytes:
        if key == layout.weights("best"):
            self.store.put(key, b"older")
        return self.store.get(key)


def test_older_best_weights_that_came_late_are_replaced(
    runs: Runs, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
):
    config = runs.config("late", **EXACT)
    assert train(config, store=LatePut(store_of(config))).best
    assert "publishing it again" in caplog.text
    assert {name: store_of(config).get(name) for name in PUBLISHED} == undisturbed


class StopAfter(keras.callbacks.Callback):
    """Asks for a stop in the epoch after `epochs` of them."""

    def __init__(self, epochs: int, stop: threading.Event) -> None:
        super().__init__()
        self.epochs, self.stop = epochs, stop

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epochs:
            self.stop.set()

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None: ...


def test_a_run_that_was_stopped_ends_with_what_it_keeps_alone(
    runs: Runs, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
):
    """Also the best weights of a process before it, out of the checkpoint of that step."""
    config, stop = runs.config("stopped", **EXACT), threading.Event()
    with pytest.raises(TransientError):
        train(config, StopAfter(3, stop), stop=stop)
    shutil.copytree(config.parent / "run", config.parent / "copy")

    finished = train(config, store=LatePut(store_of(config)))
    assert finished.best
    assert finished.best.epoch < 3, "its best weights are of the process before it"
    assert "publishing it again" in caplog.text
    assert {name: store_of(config).get(name) for name in PUBLISHED} == undisturbed
    assert committed_steps(store_of(config)) == [8, 2 * finished.best.epoch]

    shutil.rmtree(config.parent / "run")
    (config.parent / "copy").rename(config.parent / "run")
    shutil.rmtree(config.parent / f"run/checkpoints/{2 * finished.best.epoch:010d}")
    assert train(config, store=LatePut(store_of(config))).best is None, (
        "figures of weights that are not there"
    )
    assert f"best.weights.h5 is not of step {2 * finished.best.epoch}" in caplog.text


def test_best_weights_that_are_nowhere_leave_the_model_as_it_is(tmp_path: Path):
    """What lies at their step is not what was the best: as after an upgrade, or from another generation."""
    store = open_store(str(tmp_path))
    fence, background = Fence.take(store, {}), Background(store.url)
    model = models.build("lab-cnn", (8, 8, 3), 10, {"n_filters": 4})
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    plan: Any = None  # which only the card needs
    with CheckpointWriter(store, fence, background) as checkpoints:
        checkpoints.save(capture(model, optimizer, Progress(step=2), []), wait=True)
        model.set_weights([array + 1 for array in model.get_weights()])
        last = weights_file(model)
        assert Publisher(store, fence, background, plan, model).best_weights("0" * 64, 2) == b""
    assert weights_file(model) == last


def test_an_evaluation_of_the_last_weights_goes_when_these_are_the_best_alone(tmp_path: Path):
    """The last weights of a run that ended with its best ones, before it got more epochs."""
    store = open_store(str(tmp_path))
    for which in ("best", "last"):
        text = json.dumps({"weights": which, "weights_sha256": "of epoch 2"})
        store.put(layout.evaluation("test", which), text.encode())
    background = Background(store.url)
    fence: Any = SimpleNamespace(check=lambda: None)
    plan: Any = SimpleNamespace(dataset=SimpleNamespace(classes=["a", "b"]))
    publisher = Publisher(store, fence, background, plan, models.build("lab-cnn", (8, 8, 3), 2))
    publisher.discard_evaluations({"best": "of epoch 2", "last": "of epoch 4"})
    publisher.wait()
    assert [info.key for info in store.list()] == [layout.evaluation("test", "best")]
