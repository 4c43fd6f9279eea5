"""Training images as `data.augment` changes them in some epochs."""

from collections.abc import Sequence

import numpy as np

from trainer.config import RunConfig
from trainer.dataset.dataset import Dataset
from trainer.dataset.inspection.augmentation_sheet import AugmentedRow
from trainer.dataset.inspection.sample_rows import chosen_rows, read_rows, rgb
from trainer.dataset.pipeline.augmentation import Augmentation
from trainer.dataset.pipeline.preprocessing import Preprocessing


def augmented_rows(
    config: RunConfig, dataset: Dataset, *, images: int, epochs: Sequence[int]
) -> list[AugmentedRow]:
    """Images of classes that are spread over all, changed as the run changes them in these epochs, which are
    counted from 0: by the same code, the same seed, epoch and row. Without the standardization."""
    split = dataset.split("train")
    augmentation = Augmentation(**config.data.augment.model_dump())
    preprocessing = Preprocessing.of(dataset, config.data.standardize, augmentation, config.data.image_size)
    rows = chosen_rows(split, images)
    pixels = read_rows(dataset, split, rows)
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
