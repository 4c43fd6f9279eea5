"""What a run will do is checked before anything expensive."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trained import images
from trainer.config import load
from trainer.errors import ConfigError, DataError
from trainer.preparation.prepare import prepare
from trainer.training.run_plan import make_plan
from trainer.training.setup.left_out import better_batch_size, left_out
from trainer.urls import beside


def plan(digits: str, ranks: int = 1, **train: Any):
    sets = [f"data.url={digits}", "run.url=/run", *(f"train.{key}={value}" for key, value in train.items())]
    return make_plan(load(recipe="digits", overrides=sets), ranks)


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
    return make_plan(load(recipe="digits", overrides=sets), ranks)


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
        return make_plan(load(recipe="digits", overrides=sets), 1).identity["augment"]

    assert set(identity()) == {"flip", "rotate", "shift", "zoom"}
    assert identity("data.augment.brightness=0.2") == identity() | {"brightness": 0.2}


@pytest.mark.parametrize(
    ("data", "run", "cache"),
    [
        ("s3://bucket/cars", "s3://bucket/cars/", None),
        ("s3://bucket/cars/", "s3://bucket/cars/run", None),
        ("s3://bucket/runs/1/data", "s3://bucket/runs/1", None),
        ("s3://bucket/runs", "s3://bucket", None),
        ("s3://bucket/", "s3://bucket", None),
        ("data", "data", None),
        ("data", "file://{here}/data/run", None),
        ("link", "data", None),
        ("data", "link/run", None),
        ("data", "run", "link"),
        ("data", "run", "run/cache"),
        ("cache/data", "run", "cache"),
    ],
)
def test_a_run_has_a_folder_apart_from_its_dataset(
    data: str, run: str, cache: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    sets = [f"data.url={data}", f"run.url={run.format(here=tmp_path)}"]
    sets += [f"data.cache.path={cache}"] if cache else []
    key = r"data\.cache\.path" if cache else r"run\.url"
    with pytest.raises(ConfigError, match=f"^{key}: expected a folder .*, received .*Choose one") as error:
        make_plan(load(recipe="digits", overrides=sets), 1)
    assert error.value.exit_code == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "link"]


@pytest.mark.parametrize(
    ("data", "run"), [("all/data", "all/run"), ("all/data", "all/data-run"), ("d", "r/d")]
)
def test_a_run_beside_its_dataset_is_fine(
    data: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no dataset"):
        make_plan(load(recipe="digits", overrides=[f"data.url={data}", f"run.url={run}"]), 1)


def test_a_run_is_below_a_dataset_that_has_a_bucket_of_its_own(s3: str):
    with pytest.raises(DataError, match="no dataset"):
        make_plan(load(recipe="digits", overrides=[f"data.url={s3}", f"run.url={beside(s3, 'run')}"]), 1)


@pytest.mark.parametrize(
    ("train", "better"),
    [
        ({"batch_size": 700}, 605),
        ({"batch_size": 650, "lanes": 10}, 600),
        ({"batch_size": 880, "lanes": 88}, 1144),
    ],
)
def test_how_many_rows_each_epoch_leaves_out_is_said_with_a_batch_size_that_leaves_fewer(
    digits: str, train: dict[str, int], better: int
):
    made = plan(digits, **train)
    left = 1212 % train["batch_size"]
    [sentence] = left_out(made)
    assert f"each epoch leaves out {left} of the 1,212 training images ({left / 1212:.0%})" in sentence
    assert better_batch_size(made) == better
    assert f"train.batch_size {better} would leave out {1212 % better}" in sentence


@pytest.mark.parametrize("ranks", [1, 5, 40])
def test_the_other_batch_size_suits_the_ranks(digits: str, ranks: int):
    better = better_batch_size(plan(digits, ranks, batch_size=700))
    assert better
    assert not left_out(plan(digits, ranks, batch_size=better))


def test_classes_without_an_image_are_named_by_split(digits: str):
    made = plan(digits)
    dataset = made.dataset
    assert left_out(made) == []
    classes = (*dataset.classes, *(f"more-{number}" for number in range(7)))
    more = replace(made, dataset=replace(dataset, classes=classes))
    train, validation = left_out(more)
    named = "has no image of 7 of the 17 classes: more-0, more-1, more-2, more-3, more-4 and 2 more"
    assert (train, validation) == (f"the split train {named}", f"the split validation {named}")


def test_training_images_of_one_class_are_refused(tmp_path: Path):
    prepare(str(images(tmp_path / "images", 4, "cars")), f"file://{tmp_path}/data", one_class=True)
    with pytest.raises(DataError, match=r"received \d of 'cars' only\. .*the folder above"):
        make_plan(load(recipe="digits", overrides=[f"data.url={tmp_path}/data", "run.url=/run"]), 1)
