"""`trainer train --verbose` prints a line for each step, `--quiet` warnings and errors alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.commands import here, refused_here, training
from trainer.observability import log
from trainer.output import progress


@pytest.fixture(autouse=True)
def only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the options set is set back."""
    monkeypatch.setattr(log, "_every_step", False)
    monkeypatch.setattr(progress, "_bars", True)


def words(trained: str, run: Path, *more: str) -> list[str]:
    return [*training(str(Path(trained).parent / "data"), str(run)), *more]


def test_a_line_for_each_step_or_none_at_all(trained: str, tmp_path: Path) -> None:
    more = ("--set", "train.epochs=2", "--set", "train.batch_size=3", "--set", "train.lanes=3")
    shown = here(*words(trained, tmp_path / "verbose", *more, "--verbose"))
    assert shown.returncode == 0, shown.stderr
    steps = [line for line in shown.stderr.splitlines() if "  step " in line]
    assert len(steps) == 2 * 3
    assert "epoch 2/2  step 3/3  loss " in steps[-1]
    quiet = here(*words(trained, tmp_path / "quiet", *more, "--quiet"))
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (tmp_path / "quiet" / "finished.json").exists()


def test_quiet_prints_what_is_asked_for_and_errors(trained: str, tmp_path: Path, capfd: Any) -> None:
    checked = here(*words(trained, tmp_path / "run", "--check", "-q"))
    assert checked.stdout.startswith("dataset ")
    assert "next:" not in checked.stderr
    assert "both" in refused_here(*words(trained, tmp_path / "run", "--quiet", "--verbose"))
