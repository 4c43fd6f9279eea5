"""Two ranks of the small network against one on the same cores: images a second, and CPU time of an image.

scikit-learn's digits at 32x32, batches of 100: a network so small that what comes beside it shows.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

EPOCHS = 60
WARM_EPOCHS = 5


def measure() -> dict[str, float]:
    """`images_per_second` and `cpu_per_image` of two ranks over those of one, after the first epochs."""
    from scripts.quickstart import write_digits
    from trainer.dataset.preparation.prepare import prepare

    with tempfile.TemporaryDirectory() as folder:
        images = write_digits(Path(folder) / "images")
        made = prepare(str(images / "train"), f"{folder}/data", validation=0.1)
        one, two = (_train(folder, ranks) for ranks in (1, 2))
    return {
        "images_per_second": one[0] / two[0],
        "cpu_per_image": two[1] / one[1],
        "one_rank_images_per_second": made.rows["train"] * (EPOCHS - WARM_EPOCHS) / one[0],
    }


def _train(folder: str, ranks: int) -> tuple[float, float]:
    """-> wall and CPU seconds from the end of epoch WARM_EPOCHS to that of the last."""
    values = {
        "data.url": f"{folder}/data",
        "data.image_size": 32,
        "run.url": f"{folder}/run-{ranks}",
        "train.epochs": EPOCHS,
        "train.batch_size": 100,
    }
    sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "trainer", "train", "--recipe", "digits", "--ranks", str(ranks), *sets]
    marks: list[tuple[float, float]] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            found = re.search(r"epoch (\d+)/", line)
            if found and int(found[1]) in (WARM_EPOCHS, EPOCHS):
                marks.append((time.monotonic(), _cpu_seconds(psutil.Process(process.pid))))
    if process.returncode or len(marks) != 2:
        raise RuntimeError(f"training on {ranks} ranks failed with exit code {process.returncode}")
    (began, before), (ended, after) = marks
    return ended - began, after - before


def _cpu_seconds(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))
