"""A prediction job: its configuration, its share of the parts, its end."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.config import read_yaml, with_sets
from trainer.gang.pods import whole_number
from trainer.inference import config as configuration
from trainer.inference.images import image_keys
from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow
from trainer.runs.document import read_run
from trainer.runs.weights import check_weights
from trainer.storage import open_store


def main(path: Path | None, given: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """The file's values, then the command's options, then `--set`.

    Of several pods this is number JOB_COMPLETION_INDEX of TRAINER_PODS.
    """
    values = dict(read_yaml(path)) if path else {}
    values = with_sets(values | dict(given), sets)
    config = configuration.parse(values, str(path) if path else "the command", sets, given)
    environment = {"JOB_COMPLETION_INDEX": "0", "TRAINER_PODS": "1", **os.environ}
    pod = whole_number(environment, "JOB_COMPLETION_INDEX", 0)
    pods = whole_number(environment, "TRAINER_PODS", 1)
    require_tensorflow()
    _check(config)
    with quiet_tensorflow_import():
        from trainer.inference.predict import predict

    tally = predict(config, pod=pod, pods=pods)
    return {
        "classified": tally.classified,
        "unreadable": tally.unreadable,
        "parts": tally.parts,
        "output": config.output,
    }


def _check(config: configuration.PredictConfig) -> None:
    """What can be wrong with the three URLs, before TensorFlow is imported."""
    run = open_store(config.run)
    read_run(run)
    check_weights(run, config.weights)
    next(image_keys(open_store(config.input)))
    next(iter(open_store(config.output).list()), None)
