"""A small real dataset, runs of it in processes of their own, and what they leave behind."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import yaml

from scripts.processes import die_with_parent
from scripts.quickstart import write_digits
from trainer.checkpoints.commit import survey
from trainer.errors import EXIT_INTERRUPTED
from trainer.runs import layout
from trainer.storage import Store, open_store

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
"""The environment of ranks, whose bits depend on their number of threads."""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills in one process of the session, for all of them: tests only read it."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = root / name, root / f"{name}-made"
    with (root / f"{name}-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of scikit-learn's digits as a dataset: 8x8 RGB, 10 classes."""
    from trainer.preparation.prepare import prepare

    def make(folder: Path) -> None:
        images = write_digits(folder / "images")
        prepare(str(images / "train"), f"file://{folder}/dataset", validation=0.1, seed=0)

    return f"file://{made_once(tmp_path_factory, 'digits', make)}/dataset"


def committed_steps(store: Store) -> list[int]:
    """The steps of a run's committed checkpoints, the highest first."""
    return [attempt.step for attempt, sizes in survey(store).items() if layout.COMMIT in sizes]


def interrupt(config: Path, words: Sequence[str], number: signal.Signals, after: int) -> int:
    """Sends the signal to `trainer` with these words once so many steps of its run are committed -> how many
    are; SIGKILL to all of its processes."""
    store = open_store(f"file://{config.parent}/run")
    with (config.parent / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", *words],
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        while process.poll() is None and max(committed_steps(store), default=0) < after:
            time.sleep(0.01)
        assert process.poll() is None, (config.parent / "log").read_text()
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        code = process.wait()
    expected = EXIT_INTERRUPTED if number is signal.SIGTERM else -number
    assert code == expected, (config.parent / "log").read_text()
    return max(committed_steps(store))


class Runs:
    """Configurations and processes of one test, in a folder of its own."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder, self.dataset = folder, dataset

    def config(self, name: str, **sections: dict[str, Any]) -> Path:
        """A YAML of a run in `<folder>/<name>/run`, small and quick unless `sections` says otherwise."""
        values: dict[str, Any] = {
            "data": {"url": self.dataset, "standardize": "x/255"},
            "model": {"name": "lab-cnn", "options": {"n_filters": 4}},
            "train": {"epochs": 1, "batch_size": 60, "lanes": 12, "optimizer": {"name": "sgd"}},
            "run": {"url": f"file://{self.folder}/{name}/run"},
        }
        for section, changes in sections.items():
            values[section] = values.get(section, {}) | changes
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        path = self.folder / name / "run.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def start(
        self, config: Path, ranks: int = 1, *words: str, log: Path | None = None
    ) -> "subprocess.Popen[str]":
        """The trainer on `ranks` ranks, each with a witness that writes `digests-<rank>` beside the YAML.

        `log`: what its output is appended to; None for a pipe.
        """
        if log is None:
            return self._start(config, ranks, words, subprocess.PIPE)
        with log.open("a") as output:
            return self._start(config, ranks, words, output)

    @staticmethod
    def _start(
        config: Path, ranks: int, words: Sequence[str], output: "int | IO[str]"
    ) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.training.start", str(ranks), str(config), *words]
        return subprocess.Popen(
            command,
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env=os.environ | ONE_THREAD,
        )

    def finish(self, config: Path, ranks: int = 1, *words: str) -> Path:
        """Runs to the end; returns the folder of the YAML, where the run, the digests and its `log` lie."""
        process = self.start(config, ranks, *words)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        (config.parent / "log").write_text(output)
        return config.parent

    @staticmethod
    def digests(folder: Path, rank: int = 0) -> list[str]:
        """SHA-256 of the state after each step, as rank `rank` saw it."""
        return (folder / f"digests-{rank}").read_text().split()

    @staticmethod
    def weights(folder: Path) -> list[np.ndarray]:
        """The arrays of last.weights.h5."""
        import h5py

        found: list[np.ndarray] = []
        with h5py.File(folder / "run/weights/last.weights.h5") as file:
            file.visititems(
                lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None
            )
        return found


@pytest.fixture
def runs(tmp_path: Path, digits: str) -> Runs:
    return Runs(tmp_path, digits)


STATEFUL: dict[str, Any] = {
    "model": {"name": "lab-cnn", "options": {"n_filters": 4, "n_dense_layers": 1, "use_dropout": True}},
    "train": {"epochs": 1, "lanes": 10, "deterministic": True, "optimizer": {"name": "adam"}},
}
"""Four ranks have three and two of its lanes."""


@pytest.fixture(scope="session")
def four_ranks(tmp_path_factory: pytest.TempPathFactory, digits: str) -> Path:
    """The folder of a run of STATEFUL on four ranks, each of which was late at random."""

    def make(folder: Path) -> None:
        runs = Runs(folder, digits)
        runs.finish(runs.config("delayed", **STATEFUL), 4, "--delays", "1")

    return made_once(tmp_path_factory, "four-ranks", make) / "delayed"


EXACT: dict[str, Any] = {
    "model": {"name": "lab-cnn", "options": {"n_filters": 4, "n_dense_layers": 1, "use_dropout": True}},
    "train": {
        "epochs": 3,
        "batch_size": 60,
        "lanes": 4,
        "optimizer": {"name": "adam"},
        "deterministic": True,
        "reduce_lr_on_plateau": {"patience": 0, "monitor": "loss", "min_lr": 0.0001},
    },
    "run": {"checkpoint": {"every": "4 steps"}},
}


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory, digits: str) -> Path:
    """The folder of a run of EXACT on two ranks, which nothing disturbed."""

    def make(folder: Path) -> None:
        runs = Runs(folder, digits)
        runs.finish(runs.config("undisturbed", **EXACT), 2)

    return made_once(tmp_path_factory, "two-ranks", make) / "undisturbed"
