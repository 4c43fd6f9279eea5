"""card.md says what was trained on what, and its lines of Python load and predict with what lies beside it.

That they do in every case what `trainer predict` does: tests/inference/test_same_input.py.
"""

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image

from trainer import models
from trainer.config import RunConfig, parse
from trainer.config.types import Standardize
from trainer.images.codec import decode_image
from trainer.inference.network import Network
from trainer.inference.predictor import Predictor
from trainer.models.export import keras_file
from trainer.runs.run_document import Reached, RunResult, classes_json
from trainer.training.results.card import card
from trainer.training.run_plan import RunPlan, make_plan

BEST = Reached(
    1, {"loss": 2.0, "accuracy": 0.25, "val_loss": 1.5, "val_accuracy": 0.625, "test_accuracy": 0.5625}
)
LAST = Reached(
    2, {"loss": 1.0, "accuracy": 0.75, "val_loss": 1.75, "val_accuracy": 0.5, "test_accuracy": 0.4375}
)
FINISHED = RunResult(2, 60, False, LAST, BEST)


@pytest.fixture(scope="module")
def plan(digits: str) -> RunPlan:
    return make_plan(configuration(digits), 1)


def configuration(dataset: str, standardize: str = "caffe") -> RunConfig:
    values = {
        "data": {"url": dataset, "image_size": 12, "standardize": standardize},
        "model": {"name": "lab-cnn", "options": {"n_filters": 4}},
        "train": {"batch_size": 60},
        "run": {"url": "s3://bucket/runs/digits-1"},
    }
    return parse(values)


def text_of(plan: RunPlan) -> str:
    return card(plan, FINISHED, {"keras": "3.15.1"}).decode()


def test_it_says_which_data_and_which_network(plan: RunPlan) -> None:
    text = text_of(plan)
    rows = {name: split.rows for name, split in plan.dataset.splits.items()}
    for expected in (
        plan.dataset.url,
        plan.dataset.identity,
        f"train {rows['train']:,}, validation {rows['validation']:,}",
        "10: 0, 1, 2, 3, 4 and 5 more, see classes.json",
        "12 x 12 x 3, standardized `caffe`",
        "s3://bucket/runs/digits-1",
        "| keras | 3.15.1 |",
    ):
        assert expected in text


def test_its_recipe_is_the_runs_configuration_again(plan: RunPlan) -> None:
    found = re.search(r"```yaml\n(.*?)```", text_of(plan), re.DOTALL)
    assert found
    assert parse(yaml.safe_load(found[1])) == plan.config


def test_it_gives_the_figures_of_the_best_and_of_the_last_epoch(plan: RunPlan) -> None:
    best, last = re.findall(r"^\| (?:best|last).*$", text_of(plan), re.MULTILINE)
    assert (
        best == "| best by val_accuracy: 1 | 2 | 0.25 | 1.5 | 0.625 | 0.5625 | best.weights.h5, model.keras |"
    )
    assert last == "| last: 2 | 1 | 0.75 | 1.75 | 0.5 | 0.4375 | last.weights.h5 |"


def test_it_says_where_there_is_no_test_split(plan: RunPlan) -> None:
    assert "There is no test split" not in text_of(plan)
    for metrics, says in (
        ({"loss": 1.0, "val_loss": 2.0}, "There is no test split: the metrics that begin with `val_`"),
        ({"loss": 1.0}, "There is neither a test nor a validation split"),
    ):
        finished = RunResult(1, 2, False, Reached(1, metrics))
        assert says in card(plan, finished, {}).decode()


def test_names_with_bars_line_ends_and_tags_stay_text_in_their_cell(plan: RunPlan) -> None:
    odd = replace(plan, dataset=replace(plan.dataset, classes=("a|b", "c\nd", "<img src=x>")))
    assert "| classes | 3: a\\|b, c d, &lt;img src=x> |" in text_of(odd)


def test_classes_are_a_json_list_in_the_order_of_the_probabilities() -> None:
    assert json.loads(classes_json(["Citroën 2CV", "Audi"])) == ["Citroën 2CV", "Audi"]


@pytest.mark.parametrize("standardize", get_args(Standardize))
def test_its_lines_give_the_probabilities_of_predict(
    standardize: str, digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(configuration(digits, standardize), 1)
    code = re.search(r"```python\n(.*?)```", text_of(plan), re.DOTALL)
    assert code
    assert code[1].count("\n") <= 32, "a person reads them"
    assert not re.search(r"trainer\.|import.*(trainer|tensorflow)", code[1])

    keras.utils.set_random_seed(3)
    model = models.build("lab-cnn", plan.image_shape, 10, plan.config.model.options)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(tmp_path / "image.jpg", exif=turned)
    (tmp_path / "model.keras").write_bytes(keras_file(model))
    (tmp_path / "classes.json").write_bytes(classes_json(plan.dataset.classes))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as said:
        exec(code[1], names)

    built = Network("run", plan.document, "best", "", lambda: model)
    image = decode_image((tmp_path / "image.jpg").read_bytes(), plan.dataset.image_shape[:2])
    expected = Predictor(built, 1).probabilities(image[None])[0]
    np.testing.assert_allclose(names["probabilities"], [expected], atol=1e-6)
    name, probability = said.getvalue().split()[-2:]
    assert name == plan.dataset.classes[expected.argmax()]
    assert float(probability) == pytest.approx(float(expected.max()), abs=1e-6)
