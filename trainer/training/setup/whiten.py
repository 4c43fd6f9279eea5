"""The ZCA whitening of a new run, from the training images as the network is given them."""

import logging
import time
from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.dataset.pipeline.stream import evaluation_stream
from trainer.dataset.reading.reader import Reader
from trainer.distribution.rank_status import Phase, report_phase
from trainer.models.whitening import fit
from trainer.training.run_plan import RunPlan

log = logging.getLogger(__name__)

BATCH_ROWS = 256
BUDGET_BYTES = 256 << 20


def whiten(model: keras.Model, plan: RunPlan) -> None:
    """Reads every training image once, and sets the whitening of `model`."""
    began = time.monotonic()
    fit(model, _images(plan))
    rows, values = plan.dataset.split("train").rows, int(np.prod(plan.image_shape))
    spent = time.monotonic() - began
    log.info("ZCA whitening of %s values from %s images in %.1f s", f"{values:,}", f"{rows:,}", spent)


def _images(plan: RunPlan) -> Iterator[NDArray[np.float32]]:
    data, split = plan.config.data, plan.dataset.split("train")
    preprocessing = Preprocessing.of(plan.dataset, data.standardize, image_size=data.image_size)
    reader = Reader(plan.dataset, split, budget_bytes=BUDGET_BYTES)
    with evaluation_stream(reader, range(split.rows), BATCH_ROWS, preprocessing) as batches:
        for _, images, _, weights in batches:
            report_phase(Phase.PREPARING)
            yield images.numpy()[weights.numpy() > 0]
