"""The import of TensorFlow without the messages that it writes before it reads its log level."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from trainer.errors import ConfigError

_OPTIONAL = ("tensorflow", "keras", "horovod")
_NOISE = re.compile(rb"All log messages before absl::InitializeLog|oneDNN custom operations are on")


def require_tensorflow() -> None:
    """Raises ConfigError where TensorFlow is not installed, which takes no time to find out."""
    if find_spec("tensorflow") is None:
        raise _missing("tensorflow")


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"this command needs {name}, which is not installed",
        "Install the package with an extra: pip install 'cars-trainer[cpu]', or [gpu]",
    )


@contextmanager
def quiet_tensorflow_import() -> Iterator[None]:
    """For the import of TensorFlow and Keras.

    Raises ConfigError where TensorFlow, Keras or Horovod is not installed.
    What native code writes to stderr meanwhile is held back, and then passed on without the noise.
    Keras imports scikit-learn for wrappers that nobody here uses: leaving it out saves half a second.
    """
    absent = "sklearn" not in sys.modules
    if absent:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _OPTIONAL:
                raise
            raise _missing(str(error.name)) from None
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            if absent:
                del sys.modules["sklearn"]
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _NOISE.search(line)))
