"""Every object of a run's folder deleted, emptied, cut short or another run's, one at a time: whatever is
started there again ends with the undisturbed run's weights, or in one clear error."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.run_processes import Runs
from tests.training.in_process import train
from trainer import main
from trainer.errors import EXIT_INVALID, RunError, TransientError
from trainer.runs import layout
from trainer.training.run_state import Progress, check_position

SECTIONS: dict[str, Any] = {
    "model": {"name": "lab-cnn", "options": {"n_conv_layers": 1, "n_filters": 2}},
    "data": {"image_size": 6},
    "train": {"epochs": 2, "batch_size": 300, "lanes": 4, "deterministic": True, "seed": 1},
    "run": {"checkpoint": {"every": "2 steps"}},
}
AUDIT = {
    "format": 1,
    "findings": [
        {
            "step": 2,
            "trusted": 2,
            "generation": 0,
            "culprits": [],
            "certain": True,
            "at": "2026-01-01T00:00:00",
        }
    ],
}
"""Of a generation that has no checkpoint any more."""

Damage = Callable[[Path, Path], None]


def deleted(path: Path, _: Path) -> None:
    path.unlink()


def emptied(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def cut_short(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_runs(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def stop_at(step: int) -> Any:
    """A request to stop after so many steps."""
    import keras

    class StopAt(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.stop = threading.Event()
            self.steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if self.steps == step:
                self.stop.set()

        def get_state(self) -> dict[str, Any]:
            return {}

        def set_state(self, state: dict[str, Any]) -> None:
            pass

    return StopAt()


class Bases:
    """Two runs, each once stopped and once finished; copies of their folders are damaged."""

    def __init__(self, root: Path, digits: str) -> None:
        self.runs = Runs(root, digits)
        self.undisturbed: dict[str, bytes] = {}
        for name, seed in (("this", 1), ("other", 2)):
            sections = SECTIONS | {"train": SECTIONS["train"] | {"seed": seed}}
            config = self.runs.config(name, **sections)
            stop = stop_at(6)
            with pytest.raises(TransientError):
                train(config, stop, stop=stop.stop)
            folder = config.parent / "run"
            (folder / layout.AUDIT).write_text(json.dumps(AUDIT))
            shutil.copytree(folder, self.folder("stopped", name))
            train(config)
            shutil.copytree(folder, self.folder("finished", name))
        self.undisturbed = results(self.folder("finished", "this"))

    def folder(self, state: str, name: str) -> Path:
        return self.runs.folder / state / name

    def fresh(self, state: str) -> Path:
        """This run's folder as it was then."""
        folder = self.runs.folder / "this" / "run"
        shutil.rmtree(folder)
        shutil.copytree(self.folder(state, "this"), folder)
        return folder

    def start(self, name: str = "this") -> int:
        """The exit code of a start with the configuration of `name`, in this run's folder."""
        words = ["--config", str(self.runs.folder / name / "run.yaml")]
        url = f"file://{self.runs.folder}/this/run"
        return main.run(["train", *words, "--set", f"run.url={url}"])

    def keys(self, state: str, name: str = "this") -> dict[str, str]:
        """One of each kind of object: its name in this test, and its key."""
        found: dict[str, str] = {}
        folder = self.folder(state, name)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = str(path.relative_to(folder))
            attempt = layout.parse_checkpoint_key(key)
            found[attempt[2] if attempt else layout.TOKENS if key.startswith(layout.TOKENS) else key] = key
        return found


def results(folder: Path) -> dict[str, bytes]:
    """What people download."""
    keys = (layout.weights("last"), layout.weights("best"), layout.METRICS, layout.CLASSES)
    return {key: (folder / key).read_bytes() for key in keys}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, digits: str) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"), digits)


@pytest.mark.parametrize(
    "damage", [deleted, pytest.param(emptied, marks=pytest.mark.long), cut_short, another_runs]
)
@pytest.mark.parametrize("state", ["stopped", "finished"])
def test_it_ends_with_the_same_weights_or_in_one_clear_error(
    state: str, damage: Damage, bases: Bases, capsys: Any
) -> None:
    keys, others = bases.keys(state), bases.keys(state, "other")
    assert keys.keys() >= {layout.RUN, layout.METRICS, layout.TIMING, layout.AUDIT, layout.CLASSES}
    assert keys.keys() >= {
        layout.TOKENS,
        layout.COMMIT,
        layout.STATE,
        layout.piece(0),
        layout.weights("best"),
    }
    assert (layout.FINISHED in keys) == (state == "finished")
    for kind, key in keys.items():
        folder = bases.fresh(state)
        damage(folder / key, bases.folder(state, "other") / others[kind])
        code = bases.start()
        said = capsys.readouterr().err
        assert code in (0, EXIT_INVALID), f"{key}: {said}"
        if code == EXIT_INVALID:
            assert len([line for line in said.splitlines() if "error: " in line]) == 1, said
        else:
            assert results(folder) == bases.undisturbed, f"{key}: {said}"
            assert json.loads((folder / layout.RUN).read_bytes())["identity"]["seed"] == 1


@pytest.mark.parametrize("state", ["stopped", "finished"])
def test_checkpoints_of_another_run_are_not_restored(state: str, bases: Bases, capsys: Any) -> None:
    folder = bases.fresh(state)
    shutil.rmtree(folder / layout.CHECKPOINTS)
    shutil.copytree(bases.folder(state, "other") / layout.CHECKPOINTS, folder / layout.CHECKPOINTS)
    (folder / layout.FINISHED).unlink(missing_ok=True)
    assert bases.start() == EXIT_INVALID
    assert "it belongs to a different run: seed is 2 there and 1 here" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["stopped", "finished"])
def test_without_run_json_the_checkpoints_say_whose_they_are(state: str, bases: Bases, capsys: Any) -> None:
    folder = bases.fresh(state)
    (folder / layout.RUN).unlink()
    before = sorted(folder.rglob("*"))
    assert bases.start("other") == EXIT_INVALID
    assert "already contains a different run: seed is 1 there and 2 here" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before

    for path in folder.glob(f"{layout.CHECKPOINTS}*/*/{layout.COMMIT}"):
        path.write_text("{}")  # of a version that did not say so
    for name in ("this", "other"):
        assert bases.start(name) == EXIT_INVALID
        assert f"but no {layout.RUN} to identify the run" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_a_finished_run_without_checkpoints_does_not_begin_again(bases: Bases, capsys: Any) -> None:
    folder = bases.fresh("finished")
    shutil.rmtree(folder / layout.CHECKPOINTS)
    assert bases.start() == 0
    (folder / layout.weights("last")).unlink()
    assert bases.start() == EXIT_INVALID
    assert "no checkpoint is left to resume from" in capsys.readouterr().err
    assert (folder / layout.weights("best")).exists()


def test_an_epoch_never_ends_without_a_step() -> None:
    for step, closed in ((3, 1), (9, 1), (0, 1)):
        with pytest.raises(RunError, match=f"has done {step} steps and closed {closed} epochs, of 4 steps"):
            check_position(Progress(step, closed), 4)
    for step, closed in ((4, 1), (8, 1), (8, 2), (0, 0)):
        check_position(Progress(step, closed), 4)
