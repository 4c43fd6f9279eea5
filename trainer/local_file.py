"""Writes files on this machine, whole or not at all."""

from contextlib import suppress
from pathlib import Path

from trainer import interrupts
from trainer.errors import ConfigError


def write_file(data: bytes, destination: str, name: str) -> Path:
    """Writes `destination`, or the file `name` in it if it is a folder or ends with "/".

    Raises ConfigError if the destination cannot be written.
    """
    path = Path(destination)
    if destination.endswith("/") or path.is_dir():
        path /= name
    partial = path.with_name(path.name + ".part")
    with interrupts.deferred():
        try:
            if destination.endswith("/"):
                path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            partial.replace(path)
        except OSError as error:
            problem = f"{path} cannot be written: {error.strerror}"
            raise ConfigError(problem, "Specify another destination") from None
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    return path
