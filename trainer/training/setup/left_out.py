"""Warnings about what a run leaves out: rows that fill no batch, classes without an image."""

from collections.abc import Iterator

import numpy as np

from trainer.dataset.order import default_lanes
from trainer.output.units import abbreviate
from trainer.training.run_plan import RunPlan

MANY_FRACTION = 0.05
"""The fraction of the training images that an epoch may leave out without a warning."""
FEW_FRACTION = 0.01
"""What another batch size should leave out at most."""
ENOUGH_LANES = 8
"""Another batch size keeps as many lanes, where there were as many."""
MAX_CLASSES_NAMED = 5


def left_out(plan: RunPlan) -> list[str]:
    """The warnings, a sentence each."""
    return [*_rows(plan), *_classes(plan)]


def _rows(plan: RunPlan) -> Iterator[str]:
    total, size = plan.order.total, plan.config.train.batch_size
    rest = total % size
    if rest <= MANY_FRACTION * total:
        return
    better = better_batch_size(plan)
    instead = "" if better is None else f"; train.batch_size {better} would leave out {total % better:,}"
    yield (
        f"each epoch leaves out {rest:,} of the {total:,} training images ({rest / total:.0%}), others in "
        f"each, since they fill no batch of {size:,}{instead}"
    )


def better_batch_size(plan: RunPlan) -> int | None:
    """From half of the run's to twice: the nearest that leaves out few rows, or else the fewest."""
    total, size = plan.order.total, plan.config.train.batch_size
    near = (size + sign * distance for distance in range(1, size + 1) for sign in (-1, 1))
    fewer = [other for other in near if size <= 2 * other <= 2 * total and total % other < total % size / 2]
    few = (other for other in fewer if total % other <= FEW_FRACTION * total and _fits(plan, other))
    fewest = (other for other in sorted(fewer, key=lambda other: total % other) if _fits(plan, other))
    return next(few, None) or next(fewest, None)


def _fits(plan: RunPlan, batch_size: int) -> bool:
    lanes = plan.config.train.lanes or default_lanes(batch_size)
    enough = max(plan.ranks * plan.group, min(plan.lanes, ENOUGH_LANES))
    return batch_size % lanes == 0 and lanes % plan.group == 0 and lanes >= enough


def _classes(plan: RunPlan) -> Iterator[str]:
    classes = plan.dataset.classes
    for name, split in plan.dataset.splits.items():
        counts = np.bincount(split.labels, minlength=len(classes))
        missing = [classes[number] for number in np.flatnonzero(counts == 0)]
        if missing:
            yield (
                f"the split {name} has no image of {len(missing):,} of the {len(classes):,} classes: "
                f"{abbreviate(missing, MAX_CLASSES_NAMED)}"
            )
