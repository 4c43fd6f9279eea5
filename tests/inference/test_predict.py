"""Images below a prefix become predictions: every one of them is accounted for, and a folder of predictions
never mixes two jobs."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from tests.commands import refused
from tests.inference.conftest import invalid, predicted, rows
from tests.trained import CLASSES, images
from trainer.errors import RunError
from trainer.inference import keys, prediction_plan
from trainer.inference.sources.image import Image as Listed
from trainer.inference.sources.prefix import Prefix
from trainer.runs import layout
from trainer.runs.run_document import read_run
from trainer.storage import open_store


@pytest.fixture
def no_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow cannot be imported by the processes that a test starts."""
    package = tmp_path / "modules" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemError('TensorFlow was imported')\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


def test_what_is_wrong_with_the_urls_is_said_before_tensorflow_is_imported(
    trained: str, s3: str, folders: Path, no_tensorflow: None
) -> None:
    good = {"--run": trained, "--input": str(folders), "--output": f"{s3}/out"}

    def said(**wrong: str) -> str:
        given = good | {f"--{name}": value for name, value in wrong.items()}
        return refused("predict", *(word for pair in given.items() for word in pair))

    assert "there is no run here" in said(run=f"{s3}/other")
    assert "no images" in said(input=f"{s3}/nothing")
    assert "no such folder" in said(input=f"{folders}/nothing")
    assert "is inside the input" in said(output=f"{folders}/out")
    assert "there is no bucket 'nowhere'" in said(output="s3://nowhere/out")


def test_every_object_of_the_input_is_predicted_failed_or_ignored(
    trained: str, s3: str, tmp_path: Path
) -> None:
    source = open_store(f"{s3}/photos")
    image = (images(tmp_path, 1, "a") / "a/0.png").read_bytes()
    names = ["a/1.png", "a/deep/er/2.JPG", "no-suffix", "ümläut, '\".png", "v1.2"]
    for name in names:
        source.put(name, image)
    bad = {
        "broken.png": b"no image",
        "cut.png": image[:40],
        "empty.jpg": b"",
        "photo.heic": b"x",
        "README": b"x",
    }
    for name, content in bad.items():
        source.put(name, content)
    for name in (".hidden.png", "a/.thumbs/1.png", "notes.txt", "b/labels.CSV"):
        source.put(name, image)
    summary = predicted(trained, source.url, f"{s3}/out", max_bad_fraction=0.6)
    assert {row["image"] for row in rows(f"{s3}/out")} == set(names)
    errors = [json.loads(line) for line in open_store(f"{s3}/out").get(keys.ERRORS).splitlines()]
    assert {row["image"] for row in errors} == set(bad)
    assert {row["image"]: row["error"] for row in errors}["empty.jpg"] == "the file is empty"
    assert (summary["listed"], summary["predicted"], summary["failed"]) == (14, 5, 5)
    assert sorted(summary["ignored_by"].values()) == [1, 1, 2]
    assert summary["ignored_by"]["suffix .txt"] == 1


def test_what_a_folder_can_hold_besides_files_is_reported_and_stops_nothing(
    trained: str, tmp_path: Path
) -> None:
    folder = images(tmp_path / "photos", 2, "a")
    os.mkfifo(folder / "pipe.png")
    (folder / "broken.png").symlink_to("nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "a/above").symlink_to(folder)
    Path(os.fsdecode(os.fsencode(str(folder)) + b"/caf\xe9.png")).write_bytes(b"x")
    summary = predicted(trained, folder, tmp_path / "out", max_bad_fraction=0.8)
    assert (summary["predicted"], summary["failed"]) == (2, 5)
    errors = dict(
        json.loads(line).values() for line in (tmp_path / "out" / keys.ERRORS).read_text().splitlines()
    )
    assert errors["pipe.png"] == "not a regular file"
    assert errors["caf\\xe9.png"] == "its name is not UTF-8; rename it"


def test_a_folder_of_predictions_takes_no_other_job(trained: str, tmp_path: Path) -> None:
    folder, out = images(tmp_path / "photos", 5, *CLASSES), tmp_path / "out"
    first = predicted(trained, folder, out, part_size=4)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert "part_size 4, not 5" in invalid(trained, folder, out, part_size=5)
    assert "weights 'best'" in invalid(trained, folder, out, part_size=4, weights="last")
    assert predicted(trained, folder, out, part_size=4) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before

    images(folder, 1, "later")
    assert "has 1 image that" in invalid(trained, folder, out, part_size=4)
    extended = predicted(trained, folder, out, part_size=4, extend=True)
    assert (extended["predicted"], extended["parts"]) == (16, first["parts"] + 1)
    assert sorted(row["image"] for row in rows(out)) == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*.png")
    )
    assert all(path.stat().st_mtime_ns == before[path.name] for path in out.glob("predictions-0000[0-3]*"))

    Image.new("RGB", (9, 9)).save(folder / "cat/0.png")
    assert "1 image changed" in invalid(trained, folder, out, part_size=4)


def test_predictions_have_a_folder_of_their_own(trained: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 2, "a", "images")
    (tmp_path / "link").symlink_to("photos")
    run = shutil.copytree(trained, tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    assert "is inside the input" in invalid(str(run), folder, tmp_path / "link/a")
    assert "is inside the input" in invalid(str(run), tmp_path / "link", folder)
    assert "is one of the folders of the predictions" in invalid(str(run), folder / "images", folder)
    for inside in ("", "/evaluation", "/checkpoints/5"):
        assert "is the folder of the run" in invalid(str(run), folder, f"{run}{inside}")
    assert sorted(tmp_path.rglob("*")) == before
    assert predicted(str(run), folder, f"{run}/predictions")["predicted"] == 4


def test_too_many_bad_images_fail_the_job_and_are_named(trained: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 3, *CLASSES)
    (folder / "cat/broken.png").write_bytes(b"no image")
    assert "1 of 10 images cannot be read" in invalid(
        trained, folder, tmp_path / "out", max_bad_fraction=0.05
    )
    assert "broken.png" in (tmp_path / "out" / keys.part_errors(0)).read_text()
    assert predicted(trained, folder, tmp_path / "out")["failed"] == 1


def test_images_are_resized_as_those_of_the_training_were(trained: str, tmp_path: Path) -> None:
    """Padding keeps what squashing would stretch: the two runs see other pixels of a wide image."""
    wide = np.zeros((8, 64, 3), np.uint8)
    wide[:, ::2] = 255
    (tmp_path / "wide").mkdir()
    Image.fromarray(wide).save(tmp_path / "wide/1.png")
    found = {}
    for resize in ("pad", "squash"):
        run = shutil.copytree(trained, tmp_path / resize)
        document = json.loads((run / layout.RUN).read_text())
        prepared = document["prepared"] = {"shape": [8, 8, 3], "resize": resize}
        (run / layout.RUN).write_text(json.dumps(document))
        summary = predicted(str(run), tmp_path / "wide", f"{run}-out")
        assert summary["prepared"] == prepared
        found[resize] = next(rows(f"{run}-out"))["top"]
    assert found["pad"] != found["squash"]


def test_of_two_first_starts_one_plan_wins_and_the_other_is_refused_or_follows(
    trained: str, tmp_path: Path
) -> None:
    folder = images(tmp_path / "photos", 2, *CLASSES)

    class Raced(Prefix):
        """While it lists, another start commits its plan."""

        def __iter__(self) -> Iterator[Listed]:
            if prediction_plan.read(target) is None:
                predicted(trained, folder, tmp_path / "out", part_size=4)
            return super().__iter__()

    target = open_store(str(tmp_path / "out"))
    source = Raced(open_store(str(folder)), read_run(open_store(trained)))
    plan = prediction_plan.commit(target, {"part_size": 5}, source, 5)
    assert plan.parts == 2
    assert len(list(target.list(keys.IMAGES))) == 1, "what the loser wrote is deleted"
    with pytest.raises(RunError, match="part_size 4, not 5"):
        prediction_plan.check_bound(target, plan, {**plan.bound, "part_size": 5})


def test_a_job_serves_its_metrics(trained: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", 3, *CLASSES)
    (folder / "broken.png").write_bytes(b"no image")
    before = {result: value("images_total", result=result) for result in ("predicted", "failed")}
    predicted(trained, folder, tmp_path / "out", part_size=4, metrics={"port": 0})
    assert value("images_total", result="predicted") == before["predicted"] + 9
    assert value("images_total", result="failed") == before["failed"] + 1
    assert value("job_images") == value("job_images_done") == 10
    assert value("seconds_total", stage="compute") > 0


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(f"trainer_predict_{name}", labels)
    assert found is not None, name
    return found
