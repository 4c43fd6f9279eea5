"""A rank's share of the dataset, as tensors: what the loop iterates over."""

from collections.abc import Generator, Iterator

import tensorflow as tf

from trainer.dataset.augmentation import Augmentation
from trainer.dataset.order import evaluation_range, lanes_of
from trainer.dataset.pipeline import Preprocessing, evaluation_batches, iterate, training_batches
from trainer.dataset.reader import Reader
from trainer.distribution import Distribution
from trainer.training.plan import Plan

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""images (n, H, W, C) float32, labels (n,) int32, weights (n,) float32 with 0 for padding."""


class Data:
    """Batches of this rank: its lanes in training, its stretch of rows in evaluation."""

    def __init__(self, plan: Plan, distribution: Distribution) -> None:
        self.plan = plan
        self.lanes = lanes_of(distribution.rank, distribution.size, plan.lanes)
        self.rank, self.size = distribution.rank, distribution.size
        self.rows_per_step = len(self.lanes) * plan.order.lane_rows
        self.padded_rows = -(-self.rows_per_step // plan.micro_rows) * plan.micro_rows
        data = plan.config.data
        augmentation = Augmentation(**data.augment.model_dump())
        self.preprocessing = Preprocessing.of(plan.dataset, data.standardize, augmentation, data.image_size)
        self._reader = Reader(plan.dataset, plan.dataset.split("train"), plan.order, self.lanes)
        self._evaluated: dict[str, Reader] = {}

    def training(self, start_step: int) -> Generator[Batch, None, None]:
        """This rank's padded batches from `start_step` on, epoch after epoch."""
        batches = training_batches(
            self._reader,
            self.preprocessing,
            seed=self.plan.config.train.seed,
            start_step=start_step,
            steps_per_epoch=self.plan.steps_per_epoch,
            pad_to=self.padded_rows,
        )
        for _, images, labels, weights in iterate(batches, self._reader):
            yield images, labels, weights

    def evaluation(self, split: str) -> Iterator[Batch]:
        """This rank's rows of a split, each once."""
        reader = self._evaluated.get(split)
        if reader is None:
            reader = self._evaluated[split] = Reader(self.plan.dataset, self.plan.dataset.split(split))
        rows = evaluation_range(reader.split.rows, self.rank, self.size)
        batches = evaluation_batches(reader, rows, self.plan.micro_rows, self.preprocessing)
        for _, images, labels, weights in iterate(batches, reader):
            yield images, labels, weights
