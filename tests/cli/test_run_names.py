"""Each command that reads a run takes its folder, its URL or its release."""

import shutil
from pathlib import Path

import pytest

from tests.commands import here

COMMANDS = {
    "weights": ["weights", "RUN", "downloaded.weights.h5"],
    "report": ["report", "RUN"],
    "evaluate": ["evaluate", "RUN"],
    "verify": ["verify", "RUN"],
    "compare": ["compare", "RUN"],
    "predict": ["predict", "--run", "RUN", "photo.png"],
}


@pytest.fixture
def names(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three names of one run."""
    shutil.copytree(trained, tmp_path / "run")
    shutil.copy(Path(trained).parent / "images/cat/0.png", tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    known = {"cars-1": f"{tmp_path}/run"}
    monkeypatch.setattr("trainer.cluster.commands.run_url", lambda release, namespace: known[release])
    return ["run", f"file://{tmp_path}/run", "cars-1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_named_in_three_ways(command: str, names: list[str]):
    screens = []
    for name in names:
        done = here(*(name if word == "RUN" else word for word in COMMANDS[command]))
        assert done.returncode == 0, done.stderr
        screens.append(done.stdout)
    assert screens[0] == screens[1] == screens[2]


def test_verify_says_what_to_expect_without_checkpoints(names: list[str], tmp_path: Path):
    shutil.rmtree(tmp_path / "run/checkpoints")
    assert "no checkpoint yet: the run saves the first one after" in here("verify", "run").stdout
