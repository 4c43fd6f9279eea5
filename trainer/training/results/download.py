"""A run's weights, from its folder to a file."""

from pathlib import Path

from trainer.checkpoints.restore import restore
from trainer.local_file import write_file
from trainer.observability.tensorflow_import import quiet_tensorflow_import
from trainer.runs import layout
from trainer.runs.run_document import read_run
from trainer.runs.weights import read_weights
from trainer.storage import Store


def download_weights(store: Store, which: layout.WeightsName, destination: str) -> Path:
    """Writes the run's best or last weights, whole or not at all; into `destination` if that is a
    folder or ends with "/".

    Raises DataError while the run has published none, ConfigError for a destination that cannot be written.
    """
    return write_file(read_weights(store, which), destination, layout.file_name(layout.weights(which)))


def checkpoint_weights(store: Store, step: int, destination: str) -> Path:
    """Writes the weights in the run's checkpoint of that step, every byte of it checked.

    Raises DataError where there is no run, RunError where it has no whole checkpoint of that step,
    ConfigError for a destination that cannot be written.
    """
    run = read_run(store)
    state = restore(store, step=step, generation=run.generation)
    assert state is not None
    with quiet_tensorflow_import():
        from trainer.models import build_network
        from trainer.models.weights_file import weights_file
        from trainer.training.run_state import assign_weights
    model = build_network(run)
    assign_weights(state, model)
    return write_file(weights_file(model), destination, layout.weights_file_name(f"step-{step}"))
