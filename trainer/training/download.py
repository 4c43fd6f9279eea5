"""A run's weights, from its folder to a file."""

from pathlib import Path
from typing import Literal

from trainer.errors import ConfigError, DataError
from trainer.observability.quiet import quiet_import
from trainer.runs import read_run
from trainer.storage import Store
from trainer.training.restore import restore

Which = Literal["best", "last"]


def download_weights(store: Store, which: Which, destination: Path) -> Path:
    """Writes `<which>.weights.h5` of the run, whole or not at all; into `destination` when it is a folder.

    Raises DataError while the run has published none, ConfigError for a destination that cannot be written.
    """
    name = f"{which}.weights.h5"
    try:
        data = store.get(f"weights/{name}")
    except FileNotFoundError:
        when = "its first epoch" if which == "best" else "its end"
        problem = f"{store.url} has no {which} weights yet"
        raise DataError(problem, f"A run publishes them at {when}") from None
    return _write(data, destination, name)


def checkpoint_weights(store: Store, step: int, destination: Path) -> Path:
    """Writes `step-<step>.weights.h5` from the run's checkpoint of that step, every byte of it checked.

    Raises DataError where there is no run, RunError where it has no whole checkpoint of that step,
    ConfigError for a destination that cannot be written.
    """
    run = read_run(store)
    state = restore(store, step=step)
    assert state is not None
    with quiet_import():
        from trainer.models.files import weights_file
        from trainer.training.state import assign_weights
    model = run.network()
    assign_weights(state, model)
    return _write(weights_file(model), destination, f"step-{step}.weights.h5")


def _write(data: bytes, destination: Path, name: str) -> Path:
    path = destination / name if destination.is_dir() else destination
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", "Name another destination") from None
    return path
