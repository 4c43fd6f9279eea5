"""One case from images to predictions: `python -m tests.matrix.whole_way NAME FOLDER`.

Every command is the real one. The last line of stdout is a JSON object: what was compared, and by how much it
differed. Raises AssertionError, which names the step, where a promise is broken.
"""

import io
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import yaml

from tests.matrix.cases import Case, cases
from tests.matrix.pictures import SIDES, hdf5_files, photographs
from trainer import interrupts
from trainer.config import RunConfig, load
from trainer.config.phases import TrainingPhase
from trainer.runs import layout

SAME = 2e-6
"""Of probabilities: what `predict` prints has six digits."""
WHITENED = 1e-4
"""The same behind a whitening, which divides by deviations of down to 0.001."""
AS_KERAS = 1e-5
LOW_PRECISION = 0.02
"""Of metrics under mixed precision, which batches of another size round otherwise."""
STARTED = "first step finished"
ONE_FILE = 'files = [Path("image.jpg")]'
STOP = 3
"""Steps, of those of one epoch and more, after which a run of one rank is stopped."""


class Story:
    """What was seen of one case."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.ranks: int = case.how.get("ranks", 1)
        self.seen: dict[str, Any] = {"case": case.name}

    def tell(self) -> None:
        """The whole way, in order."""
        self._data()
        self._starting_weights()
        self._check()
        whole = self._train("whole")
        broken = self._interrupted("broken")
        self._same_run(whole, broken)
        self._as_keras(whole)
        self._says_what_is_so(whole)
        self._card_is_predict(whole)
        for words in (("report", str(whole)), ("verify", str(whole)), ("weights", str(whole), f"{whole}.h5")):
            self._command(*words)
        code, _, error = self._trainer("train", *self._options("whole"))
        assert code == 0, error
        assert "nothing to do" in error, error

    def _data(self) -> None:
        if kind := self.case.how.get("hdf5"):
            hdf5_files(self.folder / "data", grey=kind == "grey")
            self._command("index", f"{self.folder}/data")
            return
        source = photographs(self.folder / "photographs")
        words = ["--image-size", "x".join(map(str, SIDES)), "--seed", "1"]
        words += ["--resize", self.case.how.get("resize", "squash")]
        words += ["--encoding", self.case.how.get("encoding", "raw")]
        shares = ("0", "0") if self.case.how.get("splits") == "train only" else ("0.2", "0.2")
        words += ["--validation", shares[0], "--test", shares[1]]
        self._command("prepare", str(source), f"{self.folder}/data", *words)

    def _starting_weights(self) -> None:
        """Weights of the same network from another seed, in the form that the case asks for."""
        form = self.case.how.get("weights")
        if not form:
            return
        from trainer.models.export import keras_file
        from trainer.models.weights_file import weights_file
        from trainer.training.run_plan import make_plan
        from trainer.training.setup.build_network import build, setup_tensorflow

        config = self._load("start", "train.seed=99")
        setup_tensorflow(config)  # as the run does later in this process
        model, _ = build(make_plan(config, 1))
        start = self.folder / "start"
        (start / "weights").mkdir(parents=True)
        (start / "weights/best.weights.h5").write_bytes(weights_file(model))
        (start / "file.weights.h5").write_bytes(weights_file(model))
        (start / "model.keras").write_bytes(keras_file(model))

    def _check(self) -> None:
        code, said, error = self._trainer("train", "--check", "--json", *self._options("whole"))
        assert code == 0, error
        assert json.loads(said)["state"] == "new"
        assert not (self.folder / "whole").exists(), "--check left something behind"

    def _train(self, name: str) -> Path:
        began = time.monotonic()
        code, _, error = self._trainer("train", *self._options(name))
        assert code == 0, error
        self.seen[f"{name} seconds"] = round(time.monotonic() - began, 1)
        return self.folder / name

    def _interrupted(self, name: str) -> Path:
        """A run that is stopped after its first steps, and started again."""
        if self.ranks == 1:
            with _stopped_at(STOP):
                code, _, error = self._trainer("train", *self._options(name))
            assert code == 75, error
            return self._train(name)
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "train", *self._options(name)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr
        said = ""
        for line in process.stderr:
            if STARTED in line and STARTED not in said:
                process.send_signal(signal.SIGTERM)
            said += line
        assert process.wait() in (0, 75), said
        self.seen["stopped"] = process.returncode == 75
        return self._train(name)

    def _same_run(self, whole: Path, broken: Path) -> None:
        for key in (layout.weights("last"), layout.weights("best"), layout.KERAS_MODEL):
            one, other = whole / key, broken / key
            assert one.exists() == other.exists(), key
            if one.exists() and one.suffix == ".h5":
                assert _arrays(one).keys() == _arrays(other).keys()
                for path, array in _arrays(one).items():
                    np.testing.assert_array_equal(array, _arrays(other)[path], f"{key}: {path}")
        assert (whole / layout.METRICS).read_text() == (broken / layout.METRICS).read_text()
        one, other = (json.loads((folder / layout.FINISHED).read_text()) for folder in (whole, broken))
        assert one == other

    def _as_keras(self, whole: Path) -> None:
        config = self._load("whole")
        train = config.train
        if (
            config.model.name != "tests.matrix.own:plain"
            or train.precision != "float32"
            or config.distribution.exchange != "float32"
            # Its weights lie in another order in the file.
            or config.data.standardize == "zca"
            # Keras has one learning rate for all layers.
            or train.layer_rates
            # Keras lets nothing change the rate of an optimizer that has a schedule.
            or (train.reduce_lr_on_plateau and any(map(_scheduled, config.phases)))
        ):
            return
        from tests.matrix.reference import fitted

        found = list(_arrays(whole / layout.weights("last")).values())
        expected = fitted(config)
        assert len(found) == len(expected)
        worst = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
        self.seen["from Keras's fit"] = worst
        assert worst <= AS_KERAS, f"{worst} from what Keras's fit ends with"

    def _says_what_is_so(self, whole: Path) -> None:
        """finished.json, metrics.csv and the evaluations agree with the weights that lie there."""
        finished = json.loads((whole / layout.FINISHED).read_text())
        config = self._load("whole")
        low = config.train.precision != "float32"
        for which in ("best", "last"):
            if not finished[which]:
                continue
            metrics = finished[which]["metrics"]
            assert all(math.isfinite(value) for value in metrics.values())
            for split, prefix in (("validation", "val_"), ("test", "test_")):
                if f"{prefix}loss" not in metrics:
                    continue
                found = json.loads(
                    self._command("evaluate", str(whole), "--split", split, "--weights", which, "--json")
                )
                tolerance = LOW_PRECISION if low else 1e-5
                off = abs(found["top1"] - metrics[f"{prefix}accuracy"])
                assert off <= (0.1 if low else 1e-6), (which, split, found["top1"], metrics)
                expected = metrics[f"{prefix}loss"]
                off = abs(found["loss"] - expected) / max(1.0, expected)
                assert off <= tolerance, (which, split, found["loss"], expected)

    def _card_is_predict(self, whole: Path) -> None:
        """The card's code gives the probabilities of `trainer predict` for the same files."""
        code = re.search(r"```python\n(.*?)```", (whole / layout.CARD).read_text(), re.DOTALL)
        assert code, "the card has no code"
        files = sorted((self.folder / "photographs").rglob("*.*"))[::9] or self._saved_rows()
        said = self._command("predict", *map(str, files), "--run", str(whole), "--json")
        predicted = json.loads(said)
        assert ONE_FILE in code[1]
        names: dict[str, Any] = {}
        with chdir(whole / layout.WEIGHTS), redirect_stdout(io.StringIO()):
            exec(code[1].replace(ONE_FILE, f"files = {[str(file) for file in files]}"), names)
        worst = 0.0
        for row, probabilities in zip(predicted, names["probabilities"], strict=True):
            assert "error" not in row, row
            for top in row["top"]:
                worst = max(worst, abs(float(probabilities[top["class_id"]]) - top["probability"]))
        self.seen["card from predict"] = worst
        limit = WHITENED if self._load("whole").data.standardize == "zca" else SAME
        assert worst <= limit, f"the card's code and predict differ by {worst}"

    def _saved_rows(self) -> list[Path]:
        from PIL import Image

        with h5py.File(self.folder / "data/test.h5") as file:
            for number, row in enumerate(file["images"][:3]):
                Image.fromarray(row).resize((50, 41)).save(self.folder / f"row-{number}.png")
        return sorted(self.folder.glob("row-*.png"))

    def _options(self, name: str, *sets: str) -> list[str]:
        """The options of `trainer train` for the run in `<folder>/<name>`."""
        words = [] if self.ranks == 1 else ["--ranks", str(self.ranks)]
        if recipe := self.case.how.get("recipe"):
            words += ["--recipe", recipe]
        if form := self.case.how.get("weights"):
            file = {"run": "start", "file": "start/file.weights.h5", "keras": "start/model.keras"}[form]
            sets = (f"model.weights={self.folder}/{file}", *sets)
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump(self.case.values(str(self.folder))))
        sets = (f"run.url={self.folder}/{name}", *sets)
        return [*words, "--config", str(path), *(word for text in sets for word in ("--set", text))]

    def _load(self, name: str, *sets: str) -> RunConfig:
        words = self._options(name, *sets)
        given = [word for flag, word in pairwise(words) if flag == "--set"]
        return load(self.folder / "run.yaml", recipe=self.case.how.get("recipe"), overrides=given)

    def _command(self, *words: str) -> str:
        code, said, error = self._trainer(*words)
        assert code == 0, f"{' '.join(words)}: {error or said}"
        return said

    def _trainer(self, *words: str) -> tuple[int, str, str]:
        """A command of one process in this one, since TensorFlow's import takes seconds."""
        if words[0] == "train" and self.ranks > 1:
            done = subprocess.run(
                [sys.executable, "-m", "trainer", *words], capture_output=True, text=True, check=False
            )
            return done.returncode, done.stdout, done.stderr
        from trainer.main import run

        said, errors = io.StringIO(), io.StringIO()
        handler = logging.StreamHandler(errors)
        logging.getLogger().addHandler(handler)
        try:
            with redirect_stdout(said), redirect_stderr(errors):
                code = run(words)
        finally:
            logging.getLogger().removeHandler(handler)
        assert interrupts.exit_code() is None
        return code, said.getvalue(), errors.getvalue()


def _scheduled(phase: TrainingPhase) -> bool:
    return phase.schedule != "constant" or phase.warmup_epochs > 0


@contextmanager
def _stopped_at(step: int) -> Iterator[None]:
    """SIGTERM to this process after that step."""
    from trainer.training import loop

    report = vars(loop)["report_step"]

    def stopping(done: int, exchange_began: float | None) -> None:
        report(done, exchange_began)
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with patch.object(loop, "report_step", stopping):
        yield


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """Path -> array of a weights file."""
    found: dict[str, np.ndarray] = {}

    def add(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "seed" not in path:
            found[path] = item[()]

    with h5py.File(file) as opened:
        opened.visititems(add)
    return found


def main(words: Sequence[str]) -> None:
    name, folder = words
    (case,) = [case for case in cases() if case.name == name]
    story = Story(case, Path(folder))
    try:
        story.tell()
    except BaseException as error:
        story.seen["failed"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        print(json.dumps(story.seen), flush=True)


if __name__ == "__main__":
    from trainer.observability.log import setup

    setup()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main(sys.argv[1:])
