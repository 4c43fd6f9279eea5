"""Datasets by their own files, laid out as they are handed out: classes, splits and counts."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.datasets import make_folders
from tests.preparation.labels.test_layouts import counts
from trainer import main
from trainer.errors import EXIT_INVALID, DataError
from trainer.preparation.labels import find
from trainer.preparation.labels.datasets.cifar10_download import downloaded

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross")


def put(root: Path, files: dict[str, str | bytes], *images: str) -> Path:
    for name, content in [*files.items(), *((image, b"") for image in images)]:
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def save_v5(path: Path, **variables: list[int]) -> None:
    from scipy.io import savemat

    savemat(path, {name: np.array([values]) for name, values in variables.items()})


def save_v73(path: Path, **variables: list[int]) -> None:
    """As MATLAB writes it: columns and rows exchanged, a head of 512 bytes before the HDF5 file."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file.create_dataset(name, data=np.array(values, np.float64)[:, None])
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(128))


@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_oxford_flowers(tmp_path: Path, save: Callable[..., None]) -> None:
    put(tmp_path, {}, *(f"jpg/image_{number:05}.jpg" for number in range(1, 13)))
    save(tmp_path / "imagelabels.mat", labels=[77, 77, 77, 8, 8, 8, 77, 8, 77, 8, 77, 8])
    source = find(str(tmp_path))
    assert (source.labels, counts(source)) == ("oxford-flowers", {"train": {"8": 6, "77": 6}})
    save(tmp_path / "setid.mat", trnid=[1, 4, 3], valid=[2, 5], tstid=[6, 7, 8, 9, 10, 11, 12])
    source = find(str(tmp_path))
    assert counts(source) == {
        "train": {"8": 1, "77": 2},
        "validation": {"8": 1, "77": 1},
        "test": {"8": 4, "77": 3},
    }
    assert [item.key[-9:] for item in source.splits["train"]] == ["00004.jpg", "00001.jpg", "00003.jpg"]
    put(tmp_path, {"classes.txt": "8 = bird of paradise\n77 = passion flower\n"})
    assert find(str(tmp_path)).classes == ("bird of paradise", "passion flower")
    save(tmp_path / "setid.mat", trnid=[1, 13], valid=[2], tstid=[6])
    with pytest.raises(DataError, match=r"setid.mat: expected whole numbers from 1 to 12, found 13"):
        find(str(tmp_path))


def cub(root: Path) -> Path:
    paths = [f"{bird}/{bird[4:]}_{n:04}.jpg" for bird in BIRDS for n in range(3)]
    lines = {
        "images.txt": [f"{n} {path}" for n, path in enumerate(paths, 1)],
        "image_class_labels.txt": [f"{n} {int(path[:3])}" for n, path in enumerate(paths, 1)],
        "train_test_split.txt": [f"{n} {int(n % 3 != 0)}" for n in range(1, 7)],
        "classes.txt": [f"{int(bird[:3])} {bird}" for bird in BIRDS],
    }
    return put(
        root,
        {f"CUB_200_2011/{name}": "\n".join(text) + "\n" for name, text in lines.items()},
        *(f"CUB_200_2011/images/{path}" for path in paths),
    )


def test_cub_200(tmp_path: Path) -> None:
    source = find(str(cub(tmp_path)))
    assert (source.labels, source.classes) == ("cub-200", BIRDS)
    assert counts(source) == {"train": dict.fromkeys(BIRDS, 2), "test": dict.fromkeys(BIRDS, 1)}
    (tmp_path / "CUB_200_2011/train_test_split.txt").write_text("1 1\n")
    with pytest.raises(DataError, match=r"expected the images of image_class_labels.txt and"):
        find(str(tmp_path))


def test_food_101(tmp_path: Path) -> None:
    split = {"train": ["churros/1", "churros/2", "apple_pie/3"], "test": ["churros/4", "apple_pie/5"]}
    put(
        tmp_path,
        {
            "food-101/meta/classes.txt": "apple_pie\nchurros\n",
            "food-101/meta/labels.txt": "Apple pie\nChurros\n",
            **{f"food-101/meta/{name}.txt": "\n".join(lines) + "\n" for name, lines in split.items()},
            "food-101/meta/train.json": json.dumps(
                {"churros": split["train"][:2], "apple_pie": ["apple_pie/3"]}
            ),
            "food-101/README.txt": "Food-101\n",
        },
        *(f"food-101/images/{name}.jpg" for name in ["churros/1", "apple_pie/3", "churros/4", "apple_pie/5"]),
    )
    source = find(str(tmp_path))
    assert (source.labels, source.classes) == ("food-101", ("apple_pie", "churros"))
    assert counts(source) == {split: {"apple_pie": 1, "churros": 1} for split in ("train", "test")}
    assert source.missing.first == ("churros/2",)


def test_caltech_101(tmp_path: Path) -> None:
    images = [f"101_ObjectCategories/{kind}/image_{n:04}.jpg" for kind in ("Faces", "ant") for n in range(3)]
    put(tmp_path, {"Annotations/ant/annotation_0001.mat": b"MATLAB 5.0"}, *images)
    put(tmp_path, {}, "101_ObjectCategories/BACKGROUND_Google/image_0001.jpg")
    source = find(str(tmp_path))
    assert counts(source) == {"train": {"Faces": 3, "ant": 3}}
    assert "left out, not classes: BACKGROUND_Google" in source.warnings


def test_tiny_imagenet(tmp_path: Path) -> None:
    kinds = ("n01443537", "n01629819")
    put(
        tmp_path,
        {
            "t/wnids.txt": "\n".join(kinds) + "\n",
            "t/words.txt": "n01443537\tgoldfish\nn01629819\tsalamander\n",
            **{f"t/train/{kind}/{kind}_boxes.txt": f"{kind}_0.JPEG\t0\t10\t63\t58\n" for kind in kinds},
            "t/val/val_annotations.txt": "".join(
                f"val_{n}.JPEG\t{kinds[n % 2]}\t0\t{n}\t44\t62\n" for n in range(4)
            ),
        },
        *(f"t/train/{kind}/images/{kind}_{n}.JPEG" for kind in kinds for n in range(3)),
        *(f"t/val/images/val_{n}.JPEG" for n in range(4)),
        *(f"t/test/images/test_{n}.JPEG" for n in range(4)),
    )
    source = find(str(tmp_path))
    assert source.labels == "tiny-imagenet"
    assert counts(source) == {"train": dict.fromkeys(kinds, 3), "validation": dict.fromkeys(kinds, 2)}
    assert source.ignored.count >= 4


@pytest.mark.parametrize("name", ["cars.zip", "cars.tar.gz", "folder"])
def test_an_archive_is_named_as_such(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"cars.zip": b"PK", "cars.tar.gz": b"", "folder/cars.zip": b"PK"})
    with pytest.raises(DataError, match=r"found an archive.* Unpack it with unzip or tar -x"):
        find(str(tmp_path / name))


def test_cifar10_by_name_is_keras_s_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def offline(**options: object) -> str:
        print("Downloading data")
        raise Exception("URL fetch failure on https://www.cs.toronto.edu: None -- unreachable")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"cifar10: could not be downloaded .*Put https://.*python") as error:
        downloaded("cifar10")
    assert error.value.remedy.split(",")[0].endswith("/datasets/cifar-10-batches-py-target_archive")
    asked: dict[str, object] = {}
    monkeypatch.setattr(keras.utils, "get_file", lambda **options: asked.update(options) or str(tmp_path))
    assert downloaded("cifar10") == str(tmp_path / "cifar-10-batches-py")
    source = inspect.getsource(keras.datasets.cifar10.load_data)
    assert all(str(value) in source for value in asked.values())
    (tmp_path / "cifar10").mkdir()
    assert downloaded("cifar10") == "cifar10"
    assert downloaded(str(tmp_path)) == str(tmp_path)


def test_the_command_takes_columns_classes_and_the_first_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_folders(tmp_path / "images", {"all": 24})
    names = sorted(path.name for path in (source / "all").iterdir())
    rows = [f"{name},{'abc'[place % 3]},{'xy'[place % 2]}\n" for place, name in enumerate(names)]
    (source / "t.csv").write_text("scan,letter,side\n" + "".join(rows))
    words = ["prepare", str(source), f"{tmp_path}/data", "--json", "--first", "4", "--test", "0.25"]
    words += ["--validation", "0.25"]
    assert main.run(words) == EXIT_INVALID
    assert "found scan, letter, side (the label may be letter, side)" in capsys.readouterr().err
    columns = ["--image-column", "scan", "--label-column", "letter"]
    assert main.run([*words, *columns, "--classes", "c, a"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["classes"] == ["c", "a"]
    assert made["rows"] == {"train": 4, "validation": 4, "test": 4}
    assert main.run([*words, *columns, "--first", "2", "--overwrite"]) == EXIT_INVALID
    assert "--first: expected 3 images or more, one of each class, received 2" in capsys.readouterr().err
