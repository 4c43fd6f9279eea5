"""The identity of a run, with the rules that keep it equal to that of older run.json files."""

from typing import Any

from trainer.config import RunConfig
from trainer.config.sections import TrainSection


def run_identity(config: RunConfig, dataset_identity: str, lanes: int) -> dict[str, Any]:
    """The values that make two runs the same run, as plain values.

    An option that older versions did not have is None when unset, to stay equal to the run.json files that
    were written before it existed.
    """
    train = config.train
    return {
        "dataset": dataset_identity,
        "model": config.model.model_dump(mode="json"),
        "image_size": config.data.image_size,
        "standardize": config.data.standardize,
        "augment": _augment(config),
        "seed": train.seed,
        "batch_size": train.batch_size,
        "lanes": lanes,
        "group": train.micro_batch if has_groups(config) else None,
        "optimizer": train.optimizer.model_dump(mode="json"),
        "class_weight": train.class_weight,
        "schedule": train.schedule if train.schedule != "constant" else None,
        "warmup_epochs": train.warmup_epochs or None,
        "decay": train.decay or None,
        "phases": _phases(train),
        "layer_rates": train.layer_rates or None,
        "label_smoothing": train.label_smoothing or None,
        "mixed_precision": _mixed_precision(config),
        "exact": train.exact or None,
        "threads": train.threads if train.exact else None,
    }


def _phases(train: TrainSection) -> dict[str, Any] | None:
    """The phases by their place in the list. The last one may be made longer, as a run without phases."""
    if train.phases is None:
        return None
    phases = {f"[{place}]": phase.model_dump(mode="json") for place, phase in enumerate(train.phases)}
    del phases[f"[{len(phases) - 1}]"]["epochs"]
    return phases


def has_groups(config: RunConfig) -> bool:
    """Whether train.micro_batch lanes are always computed together, on any number of ranks."""
    return config.model.batch_norm == "grouped" or config.train.exact


_LATER_CHANGES = ("brightness", "shear", "contrast", "channel_shift", "elastic")
"""Options of the augmentation that older versions did not have."""


def _augment(config: RunConfig) -> dict[str, Any]:
    """The augmentation; what older versions did not have is left out where it is not used."""
    augment = config.data.augment
    unused = {name for name in _LATER_CHANGES if not getattr(augment, name)}
    return augment.model_dump(mode="json", exclude=unused)


def _mixed_precision(config: RunConfig) -> bool | str:
    """The precision, as older versions wrote it: true and false for float16 and float32."""
    precision = config.train.precision
    return precision if precision == "mixed_bfloat16" else precision == "mixed_float16"
