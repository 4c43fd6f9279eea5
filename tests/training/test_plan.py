"""What a run will do is checked before anything expensive."""

from pathlib import Path
from typing import Any

import pytest

from tests.trained import images
from trainer.config import load
from trainer.dataset.preparation.prepare import prepare
from trainer.errors import ConfigError, DataError
from trainer.training.plan import make_plan


def plan(digits: str, ranks: int = 1, **train: Any):
    sets = [f"data.url={digits}", "run.url=/run", *(f"train.{key}={value}" for key, value in train.items())]
    return make_plan(load(recipe="digits", sets=sets), ranks)


def test_a_micro_batch_of_more_lanes_than_a_batch_has_is_refused(digits: str):
    with pytest.raises(ConfigError, match="at most the 50 lanes of a batch of 100, received 1000"):
        plan(digits, batch_size=100, micro_batch=1000)
    assert plan(digits, batch_size=100, micro_batch=50).micro_rows == 100


@pytest.mark.parametrize(("ranks", "lanes"), [(1, 32), (2, 16), (3, 11), (32, 1)])
def test_no_rank_computes_more_lanes_at_once_than_it_has(digits: str, ranks: int, lanes: int):
    assert plan(digits, ranks, micro_batch=32).micro_lanes == plan(digits, ranks).micro_lanes == lanes


def grouped(digits: str, ranks: int, lanes: int, group: int):
    sets = ["model.batch_norm=grouped", f"train.lanes={lanes}", f"train.micro_batch={group}"]
    sets += [f"data.url={digits}", "run.url=/run", "train.batch_size=60"]
    return make_plan(load(recipe="digits", sets=sets), ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_lanes_of_a_group_are_always_with_one_rank(digits: str, ranks: int):
    plan = grouped(digits, ranks, 6, 2)
    given = [plan.lanes_of(rank, ranks) for rank in range(ranks)]
    assert [lane for lanes in given for lane in lanes] == list(range(6))
    assert all(lanes.start % 2 == lanes.stop % 2 == 0 for lanes in given)


@pytest.mark.parametrize(("ranks", "lanes", "group"), [(1, 6, 4), (4, 6, 2), (2, 4, 4)])
def test_groups_that_cannot_be_kept_whole_are_refused_with_those_that_can(
    digits: str, ranks: int, lanes: int, group: int
):
    with pytest.raises(ConfigError, match=r"lanes in whole groups.*Set train\.micro_batch: 1"):
        grouped(digits, ranks, lanes, group)


def test_a_run_of_before_there_was_a_brightness_is_still_the_same_run(digits: str):
    def identity(*sets: str):
        sets = (f"data.url={digits}", "run.url=/run", *sets)
        return make_plan(load(recipe="digits", sets=sets), 1).identity["augment"]

    assert set(identity()) == {"flip", "rotate", "shift", "zoom"}
    assert identity("data.augment.brightness=0.2") == identity() | {"brightness": 0.2}


def test_training_images_of_one_class_are_refused(tmp_path: Path):
    prepare(str(images(tmp_path / "images", 4, "cars")), f"file://{tmp_path}/data")
    with pytest.raises(DataError, match=r"received \d of 'cars' alone\. .*the folder above it"):
        make_plan(load(recipe="digits", sets=[f"data.url={tmp_path}/data", "run.url=/run"]), 1)
