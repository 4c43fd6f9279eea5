"""A rank's share of the dataset, as tensors: what the loop iterates over."""

from collections.abc import Iterator

import tensorflow as tf

from trainer.dataset.order import evaluation_range, lanes_of
from trainer.dataset.pipeline import Preprocessing, evaluation_batches, training_batches
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
        lane_rows = plan.config.train.batch_size // plan.lanes
        self.rows_per_step = len(self.lanes) * lane_rows
        self.padded_rows = -(-self.rows_per_step // plan.micro_rows) * plan.micro_rows
        self.preprocessing = Preprocessing.of(plan)

    def training(self, start_step: int) -> Iterator[Batch]:
        """This rank's padded batches from `start_step` on, epoch after epoch."""
        raise NotImplementedError

    def evaluation(self, split: str) -> Iterator[Batch]:
        """This rank's rows of a split, each once."""
        raise NotImplementedError
