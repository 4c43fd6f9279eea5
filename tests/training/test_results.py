"""What a finished run says of its weights is what those weights do."""

import logging
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.run_processes import Runs
from trainer import models
from trainer.config.run_sections import RunSection
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.models.weights_file import load_weights_file
from trainer.preparation.prepare import prepare
from trainer.runs.run_document import Reached, RunResult, read_finished
from trainer.storage import open_store
from trainer.training.finish import log_end


@pytest.fixture(scope="module")
def tested(digits: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digits with a test split."""
    url = f"file://{tmp_path_factory.mktemp('tested')}/dataset"
    prepare(digits.replace("/dataset", "/images/train"), url, validation=0.1, test=0.2)
    return url


@pytest.fixture(scope="module")
def folder(tested: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two ranks that was best before its end: too high a learning rate, with the first such seed."""
    runs = Runs(tmp_path_factory.mktemp("results"), tested)
    for seed in range(5):
        optimizer = {"name": "sgd", "learning_rate": 0.5, "momentum": 0.9}
        folder = runs.finish(
            runs.config(f"seed-{seed}", train={"epochs": 4, "optimizer": optimizer, "seed": seed}), 2
        )
        found = finished(folder)
        if found.best and found.best.epoch < found.last.epoch:
            return folder
    pytest.fail("no seed of five was best before its end")


def finished(folder: Path) -> RunResult:
    found = read_finished(open_store(f"{folder}/run"))
    assert found
    return found


def accuracy(model: keras.Model, dataset: str, split: str) -> float:
    found = open_dataset(dataset)
    reader = Reader(found, found.split(split))
    (batch,) = reader.batches_of(range(reader.split.rows), reader.split.rows)
    return float(np.mean(model.predict(batch.images / np.float32(255), verbose=0).argmax(1) == batch.labels))


def test_best_and_last_are_the_metrics_of_the_published_weights(folder: Path, tested: str):
    found = finished(folder)
    assert found.best
    assert found.best.epoch < found.last.epoch == 4
    best = keras.saving.load_model(folder / "run/weights/model.keras")
    last = models.build("lab-cnn", (8, 8, 3), 10, {"n_filters": 4})
    load_weights_file(last, (folder / "run/weights/last.weights.h5").read_bytes())
    for model, said in ((best, found.best), (last, found.last)):
        assert said.metrics["test_accuracy"] == pytest.approx(accuracy(model, tested, "test"), abs=1e-9)
        assert said.metrics["val_accuracy"] == pytest.approx(accuracy(model, tested, "validation"), abs=1e-9)
    assert found.best.metrics["test_accuracy"] != found.last.metrics["test_accuracy"]


def test_the_card_names_the_weights_of_each_figure(folder: Path):
    card, found = (folder / "run/weights/card.md").read_text(), finished(folder)
    for which, reached in (("best", found.best), ("last", found.last)):
        assert reached
        figure = f"{reached.metrics['test_accuracy']:.4g}"
        line = rf"^\| {which}.*: {reached.epoch} \|.* {figure} \|.*{which}.weights.h5"
        assert re.search(line, card, re.MULTILINE)


def test_the_log_says_where_the_weights_are_and_names_each_figures(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    best = Reached(3, {"val_accuracy": 0.75, "top5_accuracy": 1.0, "test_accuracy": 0.5})
    log_end(RunResult(4, 60, False, Reached(4, {"test_accuracy": 0.25}), best), RunSection(url="s3://b/run"))
    log_end(RunResult(4, 60, False, Reached(4, {"loss": 1.0})), RunSection(url="s3://b/run"))
    where = "finished: 4 epochs, 60 steps; the weights are in s3://b/run/weights/"
    assert caplog.messages == [
        where,
        "best.weights.h5 and model.keras, of epoch 3, the best by val_accuracy: "
        "val_accuracy 0.7500  test_accuracy 0.5000",
        "last.weights.h5, of epoch 4, the last: test_accuracy 0.2500",
        where,
        "last.weights.h5 and model.keras, of epoch 4, the last: loss 1.0000",
    ]
