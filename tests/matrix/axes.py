"""The options of a run, each with the values that are tried, as names of settings that are merged.

What the configuration's schema has and no setting touches fails `test_every_option_is_in_a_case`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, get_args

import yaml

from trainer import models
from trainer.config import RunConfig, optimizers
from trainer.config.load import recipes
from trainer.config.types import Monitor, Precision, Standardize
from trainer.dataset.dataset import Encoding
from trainer.images.codec import Resize

Settings = dict[str, Any]
"""Dotted keys of a run's configuration, or `case.*` for what is not of it -> values."""

OPTIMIZER = "train.optimizer"
_OWN = "tests.matrix.own"
_SMALL: Mapping[str, Mapping[str, Any]] = {
    "lab-cnn": {"n_filters": 4, "n_dense_layers": 1, "n_nodes": 8, "use_dropout": True, "l2": 0.001},
    "food-cnn": {"filters": [4, 6], "dropout": 0.3},
    "dcnn": {},
    "small-resnet": {},
    f"{_OWN}:plain": {},
    f"{_OWN}:mixed_bag": {"width": 4},
    "keras:MobileNet": {"n_nodes": 8, "dropout": 0.2},
}
"""Networks that train in seconds; all others have cases of their own."""


def _of(key: str, values: Sequence[Any], *others: str) -> dict[str, Settings]:
    return {str(value): dict.fromkeys((key, *others), value) for value in values}


AXES: dict[str, dict[str, Settings]] = {
    "network": {
        name: {"model.name": name, "model.options": dict(options)} for name, options in _SMALL.items()
    },
    "standardize": _of("data.standardize", get_args(Standardize)),
    # Each resize in each encoding, size and standardization: tests/inference/test_same_input.py.
    "images": {
        f"{resize} {encoding}": {"case.resize": resize, "case.encoding": encoding}
        for resize, encoding in zip(get_args(Resize), cycle(get_args(Encoding)), strict=False)
    }
    | {"hdf5": {"case.hdf5": "colour"}, "grey hdf5": {"case.hdf5": "grey"}},
    "image_size": {"as stored": {}} | _of("data.image_size", (34, [33, 40])),
    "optimizer": _of("train.optimizer.name", get_args(optimizers.Name)),
    "precision": _of("train.precision", get_args(Precision))
    | {"mixed_precision": {"train.mixed_precision": True}},
    "xla": _of("train.xla", ("auto", "off", "on")),
    "ranks": {
        "one": {"case.ranks": 1},
        "horovod": {"case.ranks": 2, "distribution.strategy": "horovod"},
        "horovod in float16": {
            "case.ranks": 2,
            "distribution.strategy": "horovod",
            "distribution.exchange": "float16",
            "distribution.wait_for_replacement": "5s",
            "distribution.min_ranks": 1,
            "distribution.give_up_after": "10m",
            "distribution.spares": 1,
        },
        "mirrored": {"case.ranks": 2, "distribution.strategy": "mirrored"},
    },
    "groups": {
        "none": {},
        "lanes": {"train.lanes": 4},
        "micro-batches": {"train.lanes": 6, "train.micro_batch": 2},
        "grouped": {"train.lanes": 6, "train.micro_batch": 3, "model.batch_norm": "grouped"},
    },
    "bits": {
        "any": {},
        "deterministic": {"train.deterministic": True},
        "audited": {"train.deterministic": True, "train.audit": 3},
        "exact": {"train.exact": True, "train.threads": 1},
    },
    "rate": {
        "constant": {},
        "cosine": {"train.schedule": "cosine"},
        "inverse_time": {"train.schedule": "inverse_time", "train.decay": 0.05},
        "warm-up": {"train.warmup_epochs": 0.5},
    },
    "callbacks": {
        "none": {},
        "early_stopping": {
            "train.early_stopping.monitor": "val_loss",
            "train.early_stopping.patience": 1,
            "train.early_stopping.min_delta": 0.001,
        },
        "reduce_lr": {
            "train.reduce_lr_on_plateau.monitor": "val_accuracy",
            "train.reduce_lr_on_plateau.patience": 0,
            "train.reduce_lr_on_plateau.factor": 0.5,
            "train.reduce_lr_on_plateau.min_lr": 0.0001,
            "train.reduce_lr_on_plateau.cooldown": 1,
            "train.reduce_lr_on_plateau.min_delta": 0.01,
            "train.reduce_lr_on_plateau.mode": "max",
        },
        "restored": {
            "train.early_stopping.monitor": "loss",
            "train.early_stopping.mode": "max",
            "train.early_stopping.patience": 0,
            "train.early_stopping.baseline": 100.0,
            "train.early_stopping.start_from_epoch": 1,
            "train.early_stopping.restore_best_weights": True,
        },
        "their defaults": {
            "train.early_stopping": {},
            "train.reduce_lr_on_plateau": {},
            "train.callbacks": [{"name": f"{_OWN}:Losses", "options": {"limit": 0.0}}],
        },
    },
    "monitor": _of("run.monitor", get_args(Monitor)),
    "loss": {
        "plain": {},
        "smoothed": {"train.label_smoothing": 0.1},
        "balanced": {"train.class_weight": "balanced"},
        "both": {"train.label_smoothing": 0.2, "train.class_weight": "balanced"},
    },
    "augment": {
        "none": {},
        "horizontal": {"data.augment.flip": "horizontal", "data.augment.rotate": 20},
        "vertical": {"data.augment.flip": "vertical", "data.augment.shift": 0.2},
        "both": {
            "data.augment.flip": "both",
            "data.augment.zoom": 0.2,
            "data.augment.brightness": 0.3,
        },
        "of pixels": {
            "data.augment.shift": [0.3, 0.1],
            "data.augment.shear": 15,
            "data.augment.contrast": 0.3,
            "data.augment.channel_shift": 20,
            "data.augment.elastic": 0.05,
        },
    },
    "freeze": {"none": {}}
    | _of("model.freeze", ("backbone", "depth:3", "conv*", "all-but-last:3", ["conv*", "backbone"])),
    "phases": {
        "none": {},
        "frozen, then all": {
            "train.phases": [
                {"epochs": 1, "freeze": "backbone", "learning_rate": 0.01},
                {"epochs": 1, "freeze": "none", "learning_rate": 0.001},
            ],
        },
        "the last layers": {
            "train.phases": [
                {"epochs": 1, "freeze": "all-but-last:2", "schedule": "inverse_time", "decay": 0.01},
                {"epochs": 1, "schedule": "cosine", "decay": 0, "warmup_epochs": 0.25},
            ],
        },
    },
    "layer rates": {"one": {}, "two": {"train.layer_rates": {"backbone": 0.1, "*": 0.5}}},
    "weights": {"none": {}} | _of("case.weights", ("run", "file", "keras")),
    "validation": {
        "each epoch": {},
        "each second epoch": {"train.validation_freq": 2},
        "none": {"case.splits": "train only"},
    },
    "checkpoints": {
        "by default": {},
        "by steps": {"run.checkpoint.every": "2 steps", "run.checkpoint.keep_last": 1},
        "continuous": {"run.checkpoint.every": "continuous"},
        "by epochs": {"run.checkpoint.every": "1 epoch", "run.checkpoint.keep_every": 3},
        "by time": {"run.checkpoint.every": "1s", "run.grace": "20s"},
    },
    "surroundings": {
        "none": {},
        "cache": {"data.cache.path": "{folder}/cache", "data.cache.max_bytes": "1MiB"},
        "tensorboard": {
            "run.tensorboard": True,
            "run.stall_timeout": "90s",
            "run.price.core_hour": 0.05,
            "run.price.gpu_hour": 2.5,
            "run.price.currency": "EUR",
        },
        "metrics": {"metrics.port": 0, "metrics.linger": "0s", "run.stall_timeout": None},
    },
    "seed": _of("train.seed", (1, 7)),
}
"""Axis -> value's name -> settings. Every pair of values of two axes is in a case, if it is `allowed`."""

EVERYWHERE: Settings = {
    "data.url": "{folder}/data",
    "run.url": "{folder}/run",
    "train.epochs": 2,
    "train.batch_size": 12,
    "train.optimizer.learning_rate": 0.01,
}
"""Of every case."""


def alone() -> dict[str, Settings]:
    """Networks and recipes that are too large, or too many, for pairs: one case each. All networks of
    keras.applications: tests/models/test_applications.py."""
    networks = [name for name in models.NETWORKS if name not in _SMALL]
    found: dict[str, Settings] = {f"network {name}": {"model.name": name} for name in networks}
    for name, text in recipes().items():
        found[f"recipe {name}"] = {"case.recipe": name}
        recipe = yaml.safe_load(text)
        if recipe["train"].get("warmup_epochs"):
            found[f"recipe {name}"] |= {"train.warmup_epochs": 0.5}
        if recipe["data"].get("standardize") == "zca":
            found[f"recipe {name}"] |= {"data.image_size": 16}
        if recipe["model"]["name"] not in _SMALL:
            found[f"recipe {name}"] |= {"data.image_size": 48, "model.weights": "none"}
    return found


ARGUMENT_VALUES: Mapping[str, Any] = {
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.01,
    "clipnorm": 0.5,
    "clipvalue": 0.05,
    "global_clipnorm": 0.5,
    "use_ema": True,
    "ema_momentum": 0.8,
    "ema_overwrite_frequency": 3,
    "loss_scale_factor": 64.0,
    "gradient_accumulation_steps": 2,
    "beta_1": 0.8,
    "beta_2": 0.99,
    "epsilon": 1e-4,
    "amsgrad": True,
    "rho": 0.8,
    "centered": True,
    "initial_accumulator_value": 0.2,
}
_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "nesterov": {"momentum": 0.9},
    "ema_momentum": {"use_ema": True},
    "ema_overwrite_frequency": {"use_ema": True},
}


def arguments(optimizer: str) -> Iterator[tuple[str, Settings]]:
    """Each argument of an optimizer, at another value than its default."""
    for name in optimizers.ARGUMENTS[optimizer]:
        given = {name: ARGUMENT_VALUES[name], **_NEEDS.get(name, {})}
        yield name, {f"{OPTIMIZER}.{key}": value for key, value in given.items()}


def allowed(row: Mapping[str, str]) -> bool:
    """Whether these values go together; what the configuration refuses is tested with the configuration."""
    hdf5 = row.get("images", "").endswith("hdf5")
    several = row.get("ranks", "one").startswith("horovod")
    return not (
        # An index of HDF5 files has the splits that the files have.
        (hdf5 and row.get("validation") == "none")
        # XLA refuses the gradient of max pooling under op determinism: `auto` and `off` are what works.
        or (row.get("bits", "any") != "any" and row.get("xla") == "on")
        # Half precision is too narrow for 0..255: such runs diverge, and say so.
        or (
            row.get("standardize") in ("none", "caffe")
            and row.get("precision") in ("mixed_float16", "mixed_precision")
        )
        # After eight steps its batch norms are far from the images: in float16 a validation is not finite.
        or (
            row.get("network") == "small-resnet"
            and row.get("precision") in ("mixed_float16", "mixed_precision")
        )
        # An exact run has groups, and exchanges whole numbers.
        or (
            row.get("bits") == "exact"
            and (row.get("groups", "grouped") != "grouped" or row.get("ranks") == "horovod in float16")
        )
        # Audits compare ranks.
        or (row.get("bits") == "audited" and not several and "ranks" in row)
        or (
            row.get("older") == "mixed_precision" and row.get("precision", "mixed_float16") != "mixed_float16"
        )
    )


def option_paths() -> set[str]:
    """Every key of the configuration, dotted; the optimizers' arguments too."""
    schema = RunConfig.model_json_schema()
    found = set(_leaves(schema, schema.get("$defs", {}), ""))
    for name, known in optimizers.ARGUMENTS.items():
        found |= {f"{OPTIMIZER}({name}).{argument}" for argument in known}
    return found


def _leaves(schema: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Iterator[str]:
    for option in (schema, *schema.get("anyOf", ())):
        items = option.get("items", {})
        listed = isinstance(items, dict) and "$ref" in items
        named = defs.get((items if listed else option).get("$ref", "").rpartition("/")[2])
        if named and named.get("title") != "Every":
            yield from _leaves(named, defs, f"{path}[]" if listed else path)
            return
    if "properties" not in schema:
        yield path
        return
    for name, inner in schema["properties"].items():
        yield from _leaves(inner, defs, f"{path}.{name}" if path else name)
