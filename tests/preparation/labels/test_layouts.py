"""The ways in which people lay class folders out: each is read as it was meant, or refused in one line."""

import json
from collections import Counter
from pathlib import Path

import pytest
import typer

from tests.datasets import make_folders
from trainer import main
from trainer.cli.arguments import check_split_folders
from trainer.errors import EXIT_INVALID, ConfigError, DataError
from trainer.preparation.labels.find import find
from trainer.preparation.labels.source import LabelledImages

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def lay(root: Path, *folders: str, images: int = 3) -> Path:
    """`images` files in each folder; `FOLDER:cat_{}.jpg` says how they are called."""
    for folder in folders:
        place, _, form = folder.partition(":")
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            (root / place / (form or "img{}.jpg").format(number)).write_bytes(b"")
    return root


def counts(source: LabelledImages) -> dict[str, dict[str, int]]:
    return {
        split: dict(Counter(source.classes[item.label] for item in items))
        for split, items in source.splits.items()
    }


def of(*splits: str, classes: tuple[str, ...] = ("apple", "pear")) -> dict[str, dict[str, int]]:
    return {split: dict.fromkeys(classes, 3) for split in splits}


def both(*folders: str) -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in ("apple", "pear")]


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (both("."), [TRAIN]),
        (both("train", "test"), [TRAIN, TEST]),
        (both("train", "valid", "test"), [TRAIN, VALIDATION, TEST]),
        (both("Training", "Testing"), [TRAIN, TEST]),
        (both("Training", "Test"), [TRAIN, TEST]),
        (both("TRAIN", "TEST"), [TRAIN, TEST]),
        (both("Train", "Test", "Val"), [TRAIN, VALIDATION, TEST]),
        (both("train", "dev"), [TRAIN, VALIDATION]),
        (both("training", "validation"), [TRAIN, VALIDATION]),
        (both("training_set", "test_set"), [TRAIN, TEST]),
        (both("TrainingSet", "TestSet"), [TRAIN, TEST]),
        (both("train-images", "val-images"), [TRAIN, VALIDATION]),
        (both("seg_train", "seg_test"), [TRAIN, TEST]),
        (both("seg_train/seg_train", "seg_test/seg_test"), [TRAIN, TEST]),
        ([*both("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred"], [TRAIN, TEST]),
        (both("training_set/training_set", "test_set/test_set"), [TRAIN, TEST]),
        (both("rps", "rps-test-set"), [TRAIN, TEST]),
        (both("rps/rps", "rps-test-set/rps-test-set"), [TRAIN, TEST]),
        (both("fruits-360_Training", "fruits-360_Test"), [TRAIN, TEST]),
        ([*both("train", "test"), "unlabelled"], [TRAIN, TEST]),
        ([*both("train"), "test"], [TRAIN]),
        ([*both("train", "test"), "train/@eaDir", "__MACOSX/train/apple"], [TRAIN, TEST]),
        (both("fruit/fruit"), [TRAIN]),
        (both("data/data/train", "data/data/test"), [TRAIN, TEST]),
        ([*both("."), "thumbnails", "@eaDir"], [TRAIN]),
        ([f"{name}/deep/er" for name in ("apple", "pear")], [TRAIN]),
    ],
    ids=lambda value: " ".join(value),
)
def test_splits_by_the_names_that_people_give_them(
    tmp_path: Path, folders: list[str], splits: list[str]
) -> None:
    assert counts(find(str(lay(tmp_path, *folders)))) == of(*splits)


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["test tube", "beaker"], ("beaker", "test tube")),
        (["train", "car", "bus"], ("bus", "car", "train")),
        (["test tube/a", "beaker/a"], ("beaker", "test tube")),
        (["images", "text"], ("images", "text")),
        (["test tube", "training bike"], ("test tube", "training bike")),
        (["0", "1", "10", "2"], ("0", "1", "2", "10")),
    ],
    ids=lambda value: " ".join(value),
)
def test_classes_may_have_words_of_splits_in_their_names(
    tmp_path: Path, folders: list[str], classes: tuple[str, ...]
) -> None:
    source = find(str(lay(tmp_path, *folders)))
    assert source.classes == classes
    assert counts(source) == of(TRAIN, classes=classes)


@pytest.mark.parametrize(
    "forms",
    [
        ["apples:apple.{}.jpg", "pears:pear.{}.jpg"],
        ["apple:apple_{}.jpg", "pear:pear_{}.jpg"],
        ["apple:apple{:03}.jpg", "pear:pear{:03}.jpg"],
        ["apple:Tr-a_{:04}.jpg", "pear:Tr-p_{:04}.jpg"],
        ["train/apple:apple ({}).jpg", "train/pear:pear ({}).jpg"],
        ["apple:0{}_apple.jpg", "pear:0{}_pear.jpg"],
        ["apple:IMG_{}.jpg", "pear:IMG_{}.jpg"],
    ],
    ids=lambda value: " ".join(value),
)
def test_names_that_say_what_the_folders_say(tmp_path: Path, forms: list[str]) -> None:
    source = find(str(lay(tmp_path, *forms)))
    assert source.labels == "folders"
    assert source.classes == tuple(form.partition(":")[0].rpartition("/")[2] for form in forms)
    assert list(counts(source)[TRAIN].values()) == [3, 3]


def test_names_and_folders_that_contradict_each_other(tmp_path: Path) -> None:
    lay(tmp_path, "monday:cat_{}.jpg", "monday:dog_{}.jpg", "tuesday:cat_{}.jpg", "tuesday:dog_{}.jpg")
    with pytest.raises(DataError) as error:
        find(str(tmp_path))
    assert "kinds folders, prefix: monday/cat_0.jpg is 'monday' or 'cat'; monday/dog_0.jpg is" in str(
        error.value
    )
    assert find(str(tmp_path), "prefix").classes == ("cat", "dog")
    assert find(str(tmp_path), "folders").classes == ("monday", "tuesday")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            both("train", "extra"),
            "found extra, train. Say which .* as in --splits train=",
        ),
        (both("train", "val", "valid"), "found train, val, valid. Say which"),
        (both("test", "val"), "found test, val. Say which"),
        (both("seg_train", "other_test"), "found other_test, seg_train. Say which"),
        (["apple"], "expected two classes or more, found one: apple .* or give --one-class"),
        (["train/apple"], "expected two classes or more, found one: apple"),
        (["images", "meta"], "images, meta: expected class folders in these, found images"),
        (["Training", "Testing"], "Testing, Training: expected class folders in these, found images"),
        (["cars_train", "cars_test"], "cars_test, cars_train: expected class folders in these, found images"),
        (["jpg"], "jpg: expected class folders in these, found images"),
        (both("archive"), "all images are in one folder, archive, which holds apple, pear"),
        (["train/apple", "train/pear", "test/apple", "test/fig"], "'fig' has no training images"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_understood_is_refused(tmp_path: Path, folders: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        find(str(lay(tmp_path, *folders)))
    assert "\n" not in str(error.value)


def test_splits_may_be_named(tmp_path: Path) -> None:
    lay(tmp_path, *both("A", "B", "C/C", "D"))
    named = find(str(tmp_path), splits={"A": TRAIN, "C": TEST})
    assert counts(named) == of(TRAIN, TEST)
    assert named.ignored.count == 12
    with pytest.raises(ConfigError, match="has no folder E; its folders: A, B, C, D"):
        find(str(tmp_path), splits={"E": TRAIN})
    with pytest.raises(ConfigError, match="--splits: expected class folders, received --labels prefix"):
        find(str(tmp_path), "prefix", splits={"A": TRAIN})


def test_one_class_may_be_meant(tmp_path: Path) -> None:
    assert counts(find(str(lay(tmp_path, "apple")), one_class=True)) == of(TRAIN, classes=("apple",))


def test_the_command_takes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_folders(tmp_path / "images", {"A/apple": 4, "B/apple": 2})
    words = ["prepare", str(source), f"{tmp_path}/data", "--splits", "A=train,B=test", "--json"]
    assert main.run(words) == EXIT_INVALID
    assert "expected two classes or more, found one: apple" in capsys.readouterr().err
    assert main.run([*words, "--one-class"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["classes"], made["rows"]) == (["apple"], {"train": 3, "validation": 1, "test": 2})


@pytest.mark.parametrize(
    "text", ["", "A", "A=", "=train", "A=test", "A=train,B=train", "A=train,A=test", "A=dev"]
)
def test_splits_that_say_nothing(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected FOLDER=SPLIT,… with one folder for train"):
        check_split_folders(text)
