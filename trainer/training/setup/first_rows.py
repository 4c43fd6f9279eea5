"""The first rows of a split, as input of the network."""

from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.dataset.pipeline.stream import TensorBatch, evaluation_stream
from trainer.dataset.reading.reader import Reader
from trainer.training.run_plan import RunPlan


def first_rows(plan: RunPlan, name: str, count: int) -> TensorBatch:
    """One batch of `count` rows, without augmentation; a split with fewer repeats its own, with weight 0."""
    data, split = plan.config.data, plan.dataset.split(name)
    preprocessing = Preprocessing.of(plan.dataset, data.standardize, image_size=data.image_size)
    reader = Reader(plan.dataset, split)
    with evaluation_stream(reader, range(min(count, split.rows)), count, preprocessing) as batches:
        return next(batches)
