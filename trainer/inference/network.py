"""A trained network: that of a run, or one of keras.applications with ImageNet weights."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config import parse
from trainer.config.applications import APPLICATIONS
from trainer.config.phases import phase_of_epoch
from trainer.errors import ConfigError, RunError, one_line, shortened
from trainer.inference.config import FewConfig, PredictConfig
from trainer.models import build_network, is_own
from trainer.observability.tensorflow_import import quiet_tensorflow_import
from trainer.runs import layout
from trainer.runs.layout import WeightsName
from trainer.runs.run_document import RunDocument, RunResult, read_finished, read_run
from trainer.runs.weights import read_weights
from trainer.storage import Store, join, open_store


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        url: the run's folder, or `keras:NAME`.
        run: its classes, and how images are prepared for it.
        weights: "best" or "last" of a run, else "imagenet".
        weights_sha256: of the run's weights file; else of all weights as float32, one after the other.
        build: a `keras.Model` with the weights, from float32 (n, H, W, C) to (n, classes).
    """

    url: str
    run: RunDocument
    weights: str
    weights_sha256: str
    build: Callable[[], Any]


def network_of(config: FewConfig | PredictConfig) -> Network:
    """The network that a configuration names. Raises as the two functions below."""
    if config.model:
        return network_from_application(config.model)
    assert config.run
    return network_from_run(config.run, config.weights)


def network_from_run(url: str, which: WeightsName) -> Network:
    """Raises DataError where there is no run, or it has published no such weights; `build` raises
    RunError where these are damaged, or of another network."""
    store = open_store(url)
    run = read_run(store)
    weights = read_weights(store, which)
    phase = _phase_of(run, read_finished(store), which)

    def build() -> Any:
        with quiet_tensorflow_import():
            from trainer.models.freeze import freeze
            from trainer.models.weights_file import load_weights_file

        model = _published(store) if is_own(run.config.model.name) else None
        model = model or build_network(run)
        # The loss has no penalties of frozen weights, as in the training.
        freeze(model, run.config.phases[phase].freeze)
        try:
            load_weights_file(model, weights)
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # of this machine's disk
            reason = shortened(one_line(error))
            file, name = join(store.url, layout.weights(which)), run.config.model.name
            raise RunError(
                f"{file} does not hold weights of {name}: {reason}",
                "If it is damaged, start the run again; if the network has changed, use the code of the run",
            ) from error
        return model

    return Network(store.url, run, which, hashlib.sha256(weights).hexdigest(), build)


def _published(store: Store) -> Any:
    """The model of model.keras, for a network of the user's own: its code need not be here. None before the
    end of the run. Raises RunError where the file is damaged."""
    import keras

    try:
        content = store.get(layout.KERAS_MODEL)
    except FileNotFoundError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / layout.file_name(layout.KERAS_MODEL)
        file.write_bytes(content)
        try:
            return keras.saving.load_model(file, compile=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise RunError(
                f"{join(store.url, layout.KERAS_MODEL)} cannot be loaded: {shortened(one_line(error))}",
                "Start the run again, which publishes it again",
            ) from error


def _phase_of(run: RunDocument, finished: RunResult | None, which: WeightsName) -> int:
    """The phase that the weights are of, counted from 0; the last one while the run has not finished."""
    reached = finished and (finished.best if which == "best" else finished.last)
    if not finished or not reached or not finished.phases:
        return len(run.config.phases) - 1
    return phase_of_epoch(finished.phases, reached.epoch - 1)


def network_from_application(name: str) -> Network:
    """Raises ConfigError where Keras has no such network, or its weights are not available."""
    if name not in APPLICATIONS:
        raise ConfigError(
            f"model: expected one of keras.applications, such as keras:ResNet50, received {name!r}",
            f"Known: {', '.join(sorted(APPLICATIONS))}",
        )
    with quiet_tensorflow_import():
        from trainer.models.imagenet import imagenet_classes
        from trainer.models.networks.keras_applications import pretrained

    classes = imagenet_classes()
    model = pretrained(name)
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    config = parse(
        {
            "model": {"name": name, "weights": "imagenet"},
            "data": {"url": "file:///imagenet", "standardize": APPLICATIONS[name]},
            "run": {"url": "file:///imagenet"},
        },
        name,
    )
    shape = model.input_shape[1:]
    return Network(
        name, RunDocument({}, config, classes, shape, {}), "imagenet", digest.hexdigest(), lambda: model
    )
