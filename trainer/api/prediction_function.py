"""`trainer.predict`: the classes of a few images, or of all in a folder, a dataset or a list."""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.api import arguments_checked as checked
from trainer.api.arguments_checked import Place
from trainer.api.run_functions import RunPlace, run_url
from trainer.api.shown import log_lines
from trainer.errors import ConfigError, DataError
from trainer.inference import adhoc, forms, job, keys
from trainer.inference.forms import Prediction, PredictionRow, ReadError
from trainer.inference.results.prediction_summary import PredictionSummary
from trainer.output.units import abbreviate
from trainer.storage import open_store


@dataclass(frozen=True)
class Predictions:
    """The classes of images: iterate over it for a `Prediction` of each image that could be read.

    Attributes:
        predicted: the number of images with a prediction.
        errors: image -> why it could not be read.
        accuracy: the fraction whose class was predicted; None where the images have no known classes.
        url: the folder of the predictions; None of a few images, which are here.
        rows: the rows of a few images, in their order, as `trainer predict --json` prints them.
        document: the summary of a folder of predictions, as in docs/json.md.
    """

    predicted: int
    errors: Mapping[str, str]
    accuracy: float | None = None
    url: str | None = None
    rows: tuple[PredictionRow | ReadError, ...] = ()
    document: PredictionSummary | None = None

    def check(self) -> None:
        """Raises DataError if no image could be read."""
        if self.errors and not self.predicted:
            problems = [f"{image}: {error}" for image, error in self.errors.items()]
            raise DataError(abbreviate(problems, 3, separator="; "), "Name images that are there")

    def __len__(self) -> int:
        return self.predicted

    def __iter__(self) -> Iterator[Prediction]:
        yield from (Prediction(**row) for row in self.rows if "class_name" in row)
        if self.document is not None and self.url:
            form = self.document["format"]
            store = open_store(self.url)
            for found in sorted(store.list(keys.PREDICTIONS), key=lambda found: found.key):
                yield from forms.loads(store.get(found.key), form)


def predict(
    images: Any = None,
    *,
    run: RunPlace | None = None,
    model: str | None = None,
    weights: Literal["best", "last"] | None = None,
    input: Place | None = None,
    output: Place | None = None,
    split: str | None = None,
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> Predictions:
    """Classifies images by a run, or by `model`, a network keras:NAME with ImageNet's weights.

    A network of your own is read from model.keras: its code need not be there.

    Args:
        images: one or several of: a path, a folder, a URL, an image of Pillow, uint8 (H, W, 3) or (H, W, 1).
        input, output: instead of `images`, many images (a prefix, a dataset, a list) and the folder of their
            predictions; an interrupted call is resumed. `split`: of a dataset.
        workers: processes, with `input`.
        options: other keys of docs/configuration.md, "Prediction", such as `batch_size` and `format`.

    Raises ConfigError, DataError, RunError with a remedy; DataError if no image can be read.
    """
    arguments: dict[str, Any] = {
        "run": None if run is None else run_url(run),
        "model": model,
        "weights": weights,
        **options,
    }
    if (images is None) == (input is None):
        raise ConfigError(
            "expected either images or input", "Pass a few images, or input and output for many"
        )
    with log_lines(info=progress):
        try:
            if images is not None:
                few = predict_few(images, None, _given(arguments), ())
                few.check()
                return few
            many = {
                "input": checked.place("input", input),
                "output": None if output is None else checked.place("output", output),
                "split": split,
            }
            return predict_many(None, _given(arguments | many), (), checked.whole("workers", workers, 1, 256))
        except ConfigError as error:
            raise ConfigError(error.problem.removeprefix("--"), error.remedy) from None


def predict_few(
    images: Any, path: Path | None, arguments: Mapping[str, Any], overrides: Sequence[str]
) -> Predictions:
    """Classifies a few images, with the values of a file, then the arguments, then `--set`.

    Raises ConfigError, DataError, RunError.
    """
    names, given = _named(images)
    rows = adhoc.main(names, path, arguments, overrides, given)
    errors = {row["image"]: row["error"] for row in rows if "error" in row}
    return Predictions(len(rows) - len(errors), errors, rows=tuple(rows))


def predict_many(
    path: Path | None,
    arguments: Mapping[str, Any],
    overrides: Sequence[str],
    workers: int = 1,
    command: Sequence[str] | None = None,
) -> Predictions:
    """Runs a prediction job, with values as those of `predict_few`. A worker process of a job leaves the
    summary to it, and returns no document. `command`: of a worker process."""
    summary = job.main(path, arguments, overrides, workers, command or _command(arguments))
    if summary is None:
        return Predictions(0, {})
    errors = _errors(summary["output"]) if summary["failed"] else {}
    return Predictions(summary["predicted"], errors, summary["accuracy"], summary["output"], document=summary)


def _errors(url: str) -> dict[str, str]:
    rows: list[ReadError] = [json.loads(line) for line in open_store(url).get(keys.ERRORS).splitlines()]
    return {row["image"]: row["error"] for row in rows}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def _command(arguments: Mapping[str, Any]) -> list[str]:
    """The command line of a worker process."""
    sets = [f"{key}={json.dumps(value)}" for key, value in (*arguments.items(), ("metrics.port", None))]
    return [sys.executable, "-m", "trainer", "predict", *(word for text in sets for word in ("--set", text))]


def _named(images: Any) -> tuple[list[str], dict[str, bytes]]:
    """The names of images, and the files of those that are pixels."""
    several = list(images) if isinstance(images, list | tuple) else [images]
    names, given = [], {}
    for number, image in enumerate(several):
        if isinstance(image, str | Path):
            names.append(str(image))
            continue
        name = f"image {number}"
        names.append(name)
        given[name] = _png(image, name)
    return names, given


def _png(image: Any, name: str) -> bytes:
    """The pixels of an image of Pillow or NumPy as a file, which loses nothing."""
    import numpy as np
    from PIL import Image

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)):
            raise DataError(
                f"{name}: expected uint8 (H, W, 3) or (H, W, 1), received {image.dtype} {image.shape}",
                "Pass pixels from 0 to 255, one image after the other in a list",
            )
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    if not isinstance(image, Image.Image):
        raise DataError(
            f"{name}: expected a path, a URL, an image of Pillow or an array, received {type(image).__name__}"
        )
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG")
    return file.getvalue()
