"""What `recipe: auto` chooses by: the dataset, this machine, and the weights that can be had."""

import os
from collections.abc import Mapping
from typing import Any

from trainer.config import RunConfig
from trainer.config.applications import APPLICATIONS
from trainer.config.types import NO_URLS
from trainer.dataset.dataset import Dataset
from trainer.distribution import rank_variables
from trainer.errors import ConfigError
from trainer.gang import pods
from trainer.machine.cores import usable_cores
from trainer.machine.gpus import visible_gpus
from trainer.machine.memory import available_memory
from trainer.models.networks.pretrained_files import available, network_of_file
from trainer.runs.run_document import read_run
from trainer.storage import open_store
from trainer.training.auto.choice import Facts, Weights, side_of

_FILES = (".h5", ".hdf5", ".keras")


def facts_of(dataset: Dataset, config: RunConfig, ranks: int) -> Facts:
    """The facts of a run of `ranks` ranks in each pod, or of the run that this is a rank of.

    Raises DataError without training images.
    """
    height, width, channels = dataset.image_shape
    size = config.data.image_size
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    gang = pods.from_environment()
    pod_ranks = rank_variables.local_size() if rank_variables.is_rank() else ranks
    run_ranks = rank_variables.size() if rank_variables.is_rank() else ranks * (gang.count if gang else 1)
    return Facts(
        rows=dataset.split("train").rows,
        classes=len(dataset.classes),
        image_shape=(height, width, channels),
        ranks=run_ranks,
        gpus=len(visible_gpus(os.environ)),
        cores=usable_cores() / pod_ranks,
        memory=available_memory() // pod_ranks,
    )


def weights_for(facts: Facts, model: Mapping[str, Any]) -> Weights | None:
    """The pretrained weights of a run whose configuration sets `model` in part: those that it names, or
    ImageNet's of a network that fits; None for random ones.

    Raises ConfigError for a file that does not tell its network, DataError for a folder without a run.
    """
    name, source = model.get("name"), model.get("weights")
    if source == "none":
        return None
    if name is not None:
        return Weights(name, source or "imagenet", "as set") if name in APPLICATIONS else None
    if isinstance(source, str) and source not in NO_URLS:
        return _named(facts, source)
    if not facts.networks:
        return None
    found = available({network: side_of(facts, network) for network in facts.networks})
    if found is None and source is None:
        return None
    network, where = found or (facts.networks[0], "as set")
    return Weights(network, "imagenet", where)


def _named(facts: Facts, source: str) -> Weights:
    """The weights of a run's folder or of a file."""
    if source.lower().endswith(_FILES):
        network = network_of_file(source)
        if network is None:
            raise ConfigError(
                f"model.weights: the name of {source} does not tell its network, which recipe auto needs",
                "Set model.name to its network, such as keras:ResNet50",
            )
        return Weights(network, source, f"in {source}")
    run = read_run(open_store(source))
    size = run.image_shape[:2]
    data: dict[str, Any] = {"standardize": run.config.data.standardize}
    if size != facts.image_shape[:2]:
        data["image_size"] = list(size)
    return Weights(run.config.model.name, source, f"of the run {source}", run.config.model.options, data)
