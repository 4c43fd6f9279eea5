"""The plan of a run, validated before anything expensive: no TensorFlow here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer.checkpoints.commit import survey
from trainer.config import RunConfig
from trainer.config.phases import TrainingPhase, epochs_to_train
from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.order import Order, default_lanes, lanes_of
from trainer.errors import ConfigError, DataError
from trainer.models import check_name
from trainer.models.whitening_limit import ZCA, check_whitening
from trainer.runs import layout
from trainer.runs.run_document import RunDocument, read_document
from trainer.storage import OnRetry, Store
from trainer.storage.disk_cache import DiskCache
from trainer.training.setup.run_identity import has_groups, run_identity
from trainer.urls import beside, is_bucket, lies_in


@dataclass(frozen=True)
class RunPlan:
    """A run's constants at one number of ranks.

    Attributes:
        micro_lanes, micro_rows: lanes that each rank computes at once, and their rows.
    """

    config: RunConfig
    ranks: int
    dataset: Dataset
    cache: DiskCache | None
    order: Order
    lanes: int
    micro_lanes: int
    micro_rows: int

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    @property
    def total_steps(self) -> int:
        return self.config.train.epochs * self.steps_per_epoch

    @property
    def phases(self) -> tuple[TrainingPhase, ...]:
        """At least one."""
        return self.config.phases

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the network's input."""
        height, width, channels = self.dataset.image_shape
        size = self.config.data.image_size
        if isinstance(size, int):
            return size, size, channels
        return (*size, channels) if size else (height, width, channels)

    @property
    def group(self) -> int:
        """The number of lanes that stay on one rank: those of a group, or one."""
        return _group(self.config)

    def at(self, ranks: int) -> "RunPlan":
        """The plan of the same run at another number of ranks. Raises ConfigError if that is too many."""
        if ranks == self.ranks:
            return self
        self.check_ranks(ranks)
        micro_lanes = _micro_lanes(self.config, self.lanes, ranks)
        micro_rows = micro_lanes * self.order.lane_rows
        return replace(self, ranks=ranks, micro_lanes=micro_lanes, micro_rows=micro_rows)

    def check_ranks(self, ranks: int) -> None:
        """Raises ConfigError where there are fewer lanes, or groups of lanes, than ranks."""
        _check_ranks(self.config, self.lanes, ranks)

    @property
    def most_ranks(self) -> int:
        """The largest number of ranks that have work: one lane, or one group of lanes, for each."""
        return self.lanes // self.group

    def check_epochs(self, step: int, closed: int | None = None, phases: Sequence[int] = ()) -> None:
        """Raises ConfigError where a run that resumes at `step` has started more than `train.epochs`.

        `closed`: the epochs that had their validation and callbacks, where that is known; `phases`: those
        of each phase that has ended.
        """
        done = step // self.steps_per_epoch if closed is None else closed
        most = self.config.train.epochs
        if phases:
            most = epochs_to_train([phase.epochs for phase in self.phases], phases)
        if step > done * self.steps_per_epoch and done >= most:
            needed = self.config.train.epochs + done + 1 - most
            last = ", and the last of train.phases as many more" if phases else ""
            raise ConfigError(
                f"train.epochs: the run has started epoch {done + 1}: expected at least {needed}, received "
                f"{self.config.train.epochs}",
                f"Set train.epochs: {needed} or more{last}; for the weights of a checkpoint: `trainer "
                f"weights {self.config.run.url} --step N FILE`",
            )

    def lanes_of(self, rank: int, ranks: int) -> range:
        """The contiguous lanes of a rank, in whole groups."""
        groups = lanes_of(rank, ranks, self.lanes // self.group)
        return range(groups.start * self.group, groups.stop * self.group)

    def split(self, name: str) -> Split | None:
        return self.dataset.splits.get(name)

    @property
    def document(self) -> RunDocument:
        """run.json of this run."""
        train = self.dataset.split("train")
        pixels = {"mean": train.mean, "std": train.std}
        options = self.dataset.made
        prepared = {"shape": self.dataset.image_shape, "resize": options.get("resize", "squash")}
        if options.get("encoding", "raw") != "raw":
            prepared["encoding"] = options["encoding"]
        return RunDocument(
            self.identity, self.config, self.dataset.classes, self.image_shape, pixels, prepared=prepared
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs the same run, as plain values."""
        return run_identity(self.config, self.dataset.identity, self.lanes)


def make_plan(config: RunConfig, ranks: int, *, on_retry: OnRetry | None = None) -> RunPlan:
    """Opens the dataset and checks that `ranks` ranks can train on it.

    `on_retry` is called with the cause of each retried request. Raises ConfigError, DataError.
    """
    check_name(config.model.name)
    _check_urls(config)
    batch_size = config.train.batch_size
    lanes = config.train.lanes or default_lanes(batch_size)
    _check_ranks(config, lanes, ranks)
    micro_lanes = _micro_lanes(config, lanes, ranks)
    cache = _cache(config)
    dataset = open_dataset(config.data.url, on_retry=on_retry, cache=cache)
    split = dataset.splits.get("train")
    if split is None:
        raise DataError(f"{dataset.url}: there is no split 'train'", "Prepare it again with training images")
    _check_classes(dataset, split)
    order = Order(split.blocks, split.row_bytes, batch_size, lanes, config.train.seed)
    micro_rows = micro_lanes * (batch_size // lanes)
    plan = RunPlan(config, ranks, dataset, cache, order, lanes, micro_lanes, micro_rows)
    if config.data.standardize == ZCA:
        check_whitening(plan.image_shape)
    return plan


def _check_urls(config: RunConfig) -> None:
    data, run = config.data.url, config.run.url
    if lies_in(data, run) or (lies_in(run, data) and not is_bucket(data)):
        raise ConfigError(
            f"run.url: expected a folder outside of the dataset, received {run} with data.url {data}",
            f"Choose one beside it, such as {beside(data, 'run')}",
        )
    cache = config.data.cache
    if cache and any(lies_in(cache.path, url) or lies_in(url, cache.path) for url in (data, run)):
        raise ConfigError(
            f"data.cache.path: expected a folder of its own, received {cache.path} with data.url {data} and "
            f"run.url {run}",
            "Choose one outside of both",
        )


def resume_step(store: Store) -> int | None:
    """The step of the newest checkpoint of the run in `store`; None for a new run."""
    try:
        first = read_document(store).get("generation", 0)
    except DataError:
        first = 0  # check_identity has looked whose the checkpoints are
    steps = (
        attempt.step
        for attempt, sizes in survey(store).items()
        if layout.COMMIT in sizes and attempt.generation >= first
    )
    return max(steps, default=None)


def _check_classes(dataset: Dataset, split: Split) -> None:
    """Raises DataError for a single class, from which a network learns nothing."""
    if len(split.labels) and (split.labels == split.labels[0]).all():
        name = dataset.classes[split.labels[0]]
        raise DataError(
            f"{dataset.url}: expected training images of two classes or more, received {split.rows:,} of "
            f"{name!r} only",
            "A class is a folder directly below SOURCE, as cars/CLASS/1.jpg below cars: was "
            "`trainer prepare` started with the folder above?",
        )


def _cache(config: RunConfig) -> DiskCache | None:
    cache = config.data.cache
    return DiskCache(Path(cache.path), cache.max_bytes) if cache else None


def _group(config: RunConfig) -> int:
    return (config.train.micro_batch or 1) if has_groups(config) else 1


def _check_ranks(config: RunConfig, lanes: int, ranks: int) -> None:
    lanes_of(0, ranks, lanes, config.train.batch_size)
    group = _group(config)
    divisors = [n for n in range(1, lanes // ranks + 1) if lanes % n == 0]
    if lanes % group or lanes // group < ranks:
        raise ConfigError(
            f"train.micro_batch: expected {lanes} lanes in whole groups, at least one for each of {ranks} "
            f"ranks, received groups of {group}",
            f"Set train.micro_batch: {' or '.join(map(str, divisors))}",
        )


def _micro_lanes(config: RunConfig, lanes: int, ranks: int) -> int:
    """Lanes that are computed at once: no more than a rank has, since the rest would be padding.

    Groups, of a batch norm or of an exact run, do not depend on the ranks, and keep their size.
    """
    micro_batch, most = config.train.micro_batch, -(-lanes // ranks)
    if micro_batch is None:
        return most
    if micro_batch > lanes:
        raise ConfigError(
            f"train.micro_batch: expected at most the {lanes} lanes of a batch of {config.train.batch_size}, "
            f"received {micro_batch}",
            f"Set train.micro_batch: {most}, or remove it",
        )
    return micro_batch if has_groups(config) else min(micro_batch, most)
