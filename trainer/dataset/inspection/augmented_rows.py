"""Training images as `data.augment` changes them in some epochs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.config import RunConfig
from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.inspection.augmentation_sheet import AugmentedRow
from trainer.dataset.inspection.contact_sheet import rgb
from trainer.dataset.pipeline.augmentation import Augmentation
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.dataset.reading.reader import Reader


def augmented_rows(
    config: RunConfig, dataset: Dataset, *, images: int, epochs: Sequence[int]
) -> list[AugmentedRow]:
    """Images of classes that are spread over all, changed as the run changes them in these epochs, which are
    counted from 0: by the same code, the same seed, epoch and row. Without the standardization."""
    split = dataset.split("train")
    augmentation = Augmentation(**config.data.augment.model_dump())
    preprocessing = Preprocessing.of(dataset, config.data.standardize, augmentation, config.data.image_size)
    rows = chosen_rows(split, images)
    reader = Reader(dataset, split, threads=1)
    batches = [next(iter(reader.batches_of(range(row, row + 1), 1))) for row in rows.tolist()]
    pixels = np.concatenate([batch.images for batch in batches])
    height, width, _ = preprocessing.output_shape(dataset.image_shape)
    columns = [
        preprocessing.changed(pixels),
        *(
            preprocessing.changed(pixels, **augmentation.draw(config.train.seed, epoch, rows, height, width))
            for epoch in epochs
        ),
    ]
    shown = [np.rint(column.numpy().clip(0, 255)).astype(np.uint8) for column in columns]
    return [
        AugmentedRow(
            row,
            dataset.classes[int(split.labels[row])],
            name,
            [rgb(column[number]) for column in shown],
        )
        for number, (row, name) in enumerate(zip(rows.tolist(), split.names(rows), strict=True))
    ]


def chosen_rows(split: Split, count: int) -> NDArray[np.int64]:
    """Rows of as many classes as possible, spread over all; then others. int64 (n,), ascending."""
    _, firsts = np.unique(split.labels, return_index=True)
    spread = firsts[np.linspace(0, len(firsts) - 1, min(count, len(firsts))).round().astype(int)]
    others = np.setdiff1d(np.arange(split.rows), spread)
    more = np.linspace(0, len(others) - 1, min(count - len(spread), len(others))).round().astype(int)
    return np.union1d(spread, others[more]).astype(np.int64)
