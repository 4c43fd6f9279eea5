"""From a folder of photos to a model, its report and predictions, by the commands that are printed alone."""

import json
import shlex
from pathlib import Path

import pytest

from scripts.first_hour import Step, follow
from tests.cli.car_photos import car_photos, drawn_photos
from tests.trained import on_path

STORY = ["prepare", "train", "report", "evaluate", "predict"]


def hour(photos: Path, folder: Path) -> list[Step]:
    steps = list(follow(f"trainer prepare {shlex.quote(str(photos))} {shlex.quote(f'{folder}/data set')}"))
    assert steps[-1].code == 0, steps[-1].screen
    return steps


@pytest.mark.slow
def test_each_command_is_followed_by_the_one_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    on_path(monkeypatch)
    steps = hour(drawn_photos(tmp_path / "my #1 photos", 5), tmp_path)
    assert [shlex.split(step.command)[1] for step in steps] == STORY
    assert "resized to" in steps[0].screen
    assert "split" in steps[0].screen
    run = tmp_path / "data set-run"
    for name in ("report/index.html", "evaluation/test-best.json", "weights/card.md", "weights/model.keras"):
        assert f"{run}/{name}" in steps[1].screen
        assert (run / name).exists()
    assert json.loads((run / "auto.json").read_text())["chosen"].startswith("small-resnet at 64 x 64")
    assert (tmp_path / "data set-run-predictions/summary.html").exists()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_hour_with_photos_of_cars(
    sample_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    on_path(monkeypatch)
    steps = hour(car_photos(sample_data, tmp_path), tmp_path)
    with capsys.disabled():
        for step in steps:
            print(f"\n$ {step.command}\n{step.screen}\n({step.seconds:.1f} s)")
    assert [shlex.split(step.command)[1] for step in steps] == STORY
    assert sum(step.seconds for step in steps) < 3600
    accuracy = json.loads((tmp_path / "data set-run/evaluation/test-best.json").read_text())["top1"]
    assert accuracy > 2 / 12, "better than by chance"
