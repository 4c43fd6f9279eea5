"""A run's weights, from its folder to a file."""

from pathlib import Path
from typing import Literal

from trainer.errors import ConfigError, DataError
from trainer.storage import Store

Which = Literal["best", "last"]


def download_weights(store: Store, which: Which, destination: Path) -> Path:
    """Writes `<which>.weights.h5` of the run, whole or not at all; into `destination` when it is a folder.

    Raises DataError while the run has published none, ConfigError for a destination that cannot be written.
    """
    key = f"weights/{which}.weights.h5"
    path = destination / Path(key).name if destination.is_dir() else destination
    try:
        data = store.get(key)
    except FileNotFoundError:
        when = "its first epoch" if which == "best" else "its end"
        problem = f"{store.url} has no {which} weights yet"
        raise DataError(problem, f"A run publishes them at {when}") from None
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", "Name another destination") from None
    return path
