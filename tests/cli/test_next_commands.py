"""Each command that is proposed works as it is printed."""

import shlex
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.commands import here
from trainer.checkpoints.verify import CheckpointReport
from trainer.cli.pages import next_commands
from trainer.cli.pages.next_commands import after_dataset, after_report, this_training
from trainer.cli.pages.runs import print_checkpoints
from trainer.cli.run_names import run_folder
from trainer.config.load import load
from trainer.errors import ConfigError, TransientError
from trainer.runs.layout import Attempt
from trainer.runs.run_document import Reached, RunResult

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("name", ["cars", "my cars", "my #1 cars", "cars: old", "cars:", "it's"])
def test_any_name_comes_back_from_a_shell_and_from_yaml(name: str, tmp_path: Path):
    line = after_dataset(f"file://{tmp_path}/{name}", 3)
    assert line
    words = shlex.split(line)
    assert words[:2] == ["trainer", "train"]
    config = load(recipe="digits", overrides=words[3::2])
    assert config.data.url == f"file://{tmp_path}/{name}"
    assert config.run.url == f"file://{tmp_path}/{name}-run"


def test_nothing_is_proposed_that_cannot_run(monkeypatch: pytest.MonkeyPatch):
    assert after_dataset("s3://bucket/cars", 1) is None, "one class cannot be trained"
    monkeypatch.setattr(next_commands, "can_train", lambda: False)
    assert after_dataset("s3://bucket/cars", 3) is None


def test_what_was_checked_is_trained_with_the_same_options():
    given = this_training(Path("my run.yaml"), "digits", ["train.epochs=3"], "2")
    expected = "trainer train --config 'my run.yaml' --recipe digits --ranks 2 --set train.epochs=3"
    assert given == expected
    assert this_training(None, None, ["data.url=x"], "1") == "trainer train --set data.url=x"


@pytest.mark.parametrize(
    ("metrics", "command"),
    [
        ({"loss": 1.0, "val_loss": 1.0, "test_loss": 1.0}, "trainer evaluate 'my run'"),
        ({"loss": 1.0}, "trainer evaluate 'my run' --split train"),
    ],
)
def test_without_images_that_are_held_out_those_of_the_training_are_evaluated(
    metrics: dict[str, float], command: str
):
    last = Reached(1, metrics)
    assert after_report("my run", RunResult(1, 1, False, last)) == command
    assert after_report("my run", None) is None


@pytest.mark.parametrize("stopped", [TransientError("stopped; step 3 is saved", "Restart to resume"), 75])
def test_after_a_stop_comes_the_command_that_resumes(
    stopped: TransientError | int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("trainer.training.launch.launch", Mock(side_effect=[stopped]))
    places = ["--set", f"data.url={tmp_path}/my data", "--set", f"run.url={tmp_path}/run"]
    words = ["train", "--recipe", "digits", *places]
    done = here(*words)
    assert done.returncode == 75
    *before, following = done.stderr.splitlines()
    assert shlex.split(following) == ["next:", "trainer", *words]
    error = f"trainer: error: {stopped}"
    assert (error in before) is isinstance(stopped, TransientError)


@pytest.mark.parametrize("name", ["s3://bucket/run", "./run", "runs/a", "/runs/a", "run"])
def test_a_run_is_a_url_a_path_or_a_folder_here(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert run_folder(name) == name


def test_any_other_name_is_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    known = {"cars-train": "s3://bucket/runs/cars"}

    def run_url(release: str, namespace: str | None) -> str:
        if release in known and namespace == "cars":
            return known[release]
        raise ConfigError(f"release {release!r} not found", "Existing releases: cars-train")

    monkeypatch.setattr("trainer.cluster.commands.run_url", run_url)
    assert run_folder("cars-train", "cars") == "s3://bucket/runs/cars"
    with pytest.raises(ConfigError, match="release 'cars' not found; and there is no folder 'cars' here"):
        run_folder("cars")


@pytest.mark.parametrize(
    ("problems", "says"),
    [
        ([(), ()], "All checkpoints are intact"),
        ([("x",), ()], "a restart resumes from step 10"),
        ([("x",), ("y",)], "No checkpoint is whole"),
    ],
)
def test_verify_says_what_to_do(
    problems: list[tuple[str, ...]], says: str, capsys: pytest.CaptureFixture[str]
):
    attempts = (Attempt(20, 2, "a"), Attempt(10, 1, "b"))
    print_checkpoints([CheckpointReport(*pair) for pair in zip(attempts, problems, strict=True)])
    assert says in capsys.readouterr().out.splitlines()[-1]
