"""A rank's part of the dataset as tensors, over which the loop iterates."""

from collections.abc import Iterable

from trainer.dataset.order import BUDGET_BYTES, evaluation_range
from trainer.dataset.pipeline.augmentation import Augmentation
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.dataset.pipeline.stream import BatchStream, evaluation_stream, training_stream
from trainer.dataset.reading.reader import Reader
from trainer.distribution import Distribution
from trainer.distribution.rank_variables import local_size
from trainer.machine.memory import available_memory
from trainer.training.run_plan import RunPlan


def read_ahead_bytes(memory: int, ranks: int) -> int:
    """Bytes of images that a rank may hold: a quarter of the pod's memory, divided by its ranks."""
    return min(BUDGET_BYTES, memory // (4 * ranks))


class RankData:
    """Batches of this rank: its lanes in training, its stretch of rows in evaluation."""

    def __init__(self, plan: RunPlan, distribution: Distribution) -> None:
        self.plan = plan
        self.lanes = plan.lanes_of(distribution.rank, distribution.size)
        self.rank, self.size = distribution.rank, distribution.size
        self.rows_per_step = len(self.lanes) * plan.order.lane_rows
        self.rows_at_once = plan.micro_rows * distribution.replicas
        self._group = plan.micro_rows if plan.config.train.exact else None
        data = plan.config.data
        augmentation = Augmentation(**data.augment.model_dump())
        self.preprocessing = Preprocessing.of(plan.dataset, data.standardize, augmentation, data.image_size)
        self._parallel = not plan.config.train.deterministic
        self._budget = read_ahead_bytes(available_memory(), local_size())
        self._reader = Reader(
            plan.dataset, plan.dataset.split("train"), plan.order, self.lanes, budget_bytes=self._budget
        )
        self._evaluated: dict[str, Reader] = {}

    def training(self, start_step: int) -> BatchStream:
        """This rank's padded batches from `start_step` on, epoch after epoch."""
        return self._stream(self._reader, start_step=start_step)

    def batches_of_rank(self, rank: int, steps: Iterable[int]) -> BatchStream:
        """The padded batches of another rank, of these steps, which ascend; read here as that rank reads."""
        reader = self._reader.for_lanes(self.plan.lanes_of(rank, self.size))
        return self._stream(reader, start_step=0, steps=steps)

    def _stream(self, reader: Reader, *, start_step: int, steps: Iterable[int] | None = None) -> BatchStream:
        return training_stream(
            reader,
            self.preprocessing,
            seed=self.plan.config.train.seed,
            start_step=start_step,
            steps_per_epoch=self.plan.steps_per_epoch,
            pad_to=-(-reader.batch_rows // self.rows_at_once) * self.rows_at_once,
            steps=steps,
            parallel=self._parallel,
            group=self._group,
        )

    def evaluation_batches(self, split: str) -> int:
        """How many batches the rank with the most rows of a split has."""
        rows = self.plan.dataset.split(split).rows
        most = max(len(self._evaluated_rows(rows, rank)) for rank in range(self.size))
        return -(-most // self.rows_at_once)

    def evaluation(self, split: str) -> BatchStream:
        """This rank's rows of a split, each once."""
        reader = self._evaluated.get(split)
        if reader is None:
            reader = self._evaluated[split] = Reader(
                self.plan.dataset, self.plan.dataset.split(split), budget_bytes=self._budget
            )
        return evaluation_stream(
            reader,
            self._evaluated_rows(reader.split.rows, self.rank),
            self.rows_at_once,
            self.preprocessing,
            parallel=self._parallel,
            group=self._group,
        )

    def _evaluated_rows(self, rows: int, rank: int) -> range:
        """The rows of a split that a rank evaluates: in an exact run whole groups, which are the same on any
        number of ranks."""
        group = self._group or 1
        groups = evaluation_range(-(-rows // group), rank, self.size)
        return range(groups.start * group, min(groups.stop * group, rows))
