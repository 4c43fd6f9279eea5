"""What `recipe: auto` chooses: pure, and always a run that can start."""

import itertools
from typing import Any

import pytest

from trainer.config.load import parse, recipe_values
from trainer.dataset.order import default_lanes
from trainer.models.networks.pretrained_files import SIDES
from trainer.training.auto.choice import Choice, Facts, Weights, choose, side_of

pytestmark = pytest.mark.fast

GIB = 1 << 30
IMAGENET = Weights("keras:MobileNetV2", "imagenet", "in ~/.keras/models")


def facts(side: int = 224, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "rows": 408,
        "classes": 12,
        "image_shape": (side, side, changes.pop("channels", 3)),
        "ranks": 1,
        "gpus": 0,
        "cores": 2.0,
        "memory": 16 * GIB,
    }
    return Facts(**(values | changes))


def chosen(facts: Facts, weights: Weights | None = None) -> Choice:
    return choose(facts, weights, recipe_values("cifar-resnet"))


@pytest.mark.parametrize(
    ("facts", "weights", "network", "says"),
    [
        (facts(32), None, "small-resnet", "images of 32 x 32 x 3 are small"),
        (facts(96), None, "small-resnet", "no pretrained weights here nor to download"),
        (facts(96, channels=1), None, "small-resnet", "grey images"),
        (facts(96), IMAGENET, "keras:MobileNetV2", "the weights are in ~/.keras/models"),
        (facts(224, gpus=1), IMAGENET, "keras:MobileNetV2", "1 GPU"),
    ],
)
def test_the_network_is_by_the_images_and_the_weights(
    facts: Facts, weights: Weights | None, network: str, says: str
):
    choice = chosen(facts, weights)
    assert choice.values["model"]["name"] == network
    assert says in choice.because
    assert f"{facts.rows} training images of 12 classes" in choice.because
    assert "--set train.epochs=" in choice.change


def test_small_images_are_trained_as_their_recipe_is():
    choice = chosen(facts(32, rows=40_000, gpus=1))
    assert choice.values == recipe_values("cifar-resnet")


def test_on_a_cpu_the_head_alone_is_trained_and_on_a_gpu_all():
    assert chosen(facts(), IMAGENET).values["model"]["freeze"] == "backbone"
    assert chosen(facts(gpus=1), IMAGENET).values["model"]["freeze"] == "none"


def test_photos_are_smaller_where_the_time_is_short():
    sides = [chosen(facts(rows=rows)).values["data"]["image_size"] for rows in (100, 250, 20_000)]
    assert sides == [128, 96, 64]
    assert chosen(facts(rows=100), IMAGENET).values["data"]["image_size"] == 224
    assert chosen(facts(rows=50_000), IMAGENET).values["data"]["image_size"] < 224


@pytest.mark.parametrize("side", [70, 96, 150, 224, 600])
@pytest.mark.parametrize("gpus", [0, 1])
def test_the_weights_that_are_looked_for_are_those_that_are_loaded(side: int, gpus: int):
    about = facts(side, gpus=gpus)
    chosen_side = chosen(about, IMAGENET).values["data"]["image_size"]
    assert chosen_side == side_of(about, IMAGENET.network) in SIDES


def test_less_memory_is_fewer_images_at_once():
    assert "micro_batch" not in chosen(facts(), IMAGENET).values["train"]
    small = chosen(facts(memory=GIB), IMAGENET).values["train"]
    assert 1 <= small["micro_batch"] < small["batch_size"]


CASES = itertools.product((2, 9, 408, 80_000), (8, 64, 96, 600), (1, 3), (1, 8), (0, 4), (GIB // 2, 64 * GIB))


def test_each_choice_is_a_run_that_can_start():
    for rows, side, channels, ranks, gpus, memory in CASES:
        about = facts(side, channels=channels, rows=rows, ranks=ranks, gpus=gpus, memory=memory)
        for weights in (None, IMAGENET) if about.networks else (None,):
            choice = chosen(about, weights)
            values = {**choice.values, "data": {**choice.values["data"], "url": "s3://b/d"}}
            train = parse({**values, "run": {"url": "s3://b/r"}}).train
            assert train.batch_size <= rows
            lanes = default_lanes(train.batch_size)
            assert lanes >= min(ranks, rows)
            assert (train.micro_batch or 1) <= -(-lanes // ranks)
            assert 5 <= train.epochs <= 60
