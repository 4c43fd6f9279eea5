"""The import of TensorFlow and Keras, with the same settings in every process, whatever the user's are."""

import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from trainer import interrupts
from trainer.errors import ConfigError, one_line
from trainer.observability.log import say

_OPTIONAL = ("tensorflow", "keras", "horovod")
_NOISE = re.compile(rb"All log messages before absl::InitializeLog|oneDNN custom operations are on")
_BACKEND = "tensorflow"
_EPSILON = 1e-7
"""Keras's default."""


def require_tensorflow() -> None:
    """Raises ConfigError if TensorFlow is not installed, without importing it."""
    if find_spec("tensorflow") is None:
        raise _missing("tensorflow")


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"this command needs {name}, which is not installed",
        "Install the package with an extra: pip install 'cars-trainer[cpu]', or [gpu]",
    )


@contextmanager
def quiet_tensorflow_import() -> Iterator[None]:
    """A context for the import of TensorFlow and Keras, without the messages that TensorFlow writes before it
    reads its log level. Keras is set to TensorFlow and to its own defaults: other values in `keras.json` or
    the environment would change the network.

    What native code writes to stderr is held back, and written afterwards without the noise. Keras imports
    scikit-learn for wrappers that are not used here: hiding it saves half a second. So does collecting no
    garbage during the import, since what modules define stays; in a command, later collections leave it out.

    Raises ConfigError if TensorFlow, Keras or Horovod is not installed, or if this process has imported Keras
    on another backend.
    """
    first = "tensorflow" not in sys.modules
    if first:
        say("loading TensorFlow")
    absent = "sklearn" not in sys.modules
    if absent:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    collects = gc.isenabled()
    gc.disable()
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            _set_up_keras()
            yield
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _OPTIONAL:
                raise
            raise _missing(str(error.name)) from None
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            if first and interrupts.installed():
                gc.freeze()
            if collects:
                gc.enable()
            if absent:
                del sys.modules["sklearn"]
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _NOISE.search(line)))


def _set_up_keras() -> None:
    os.environ["KERAS_BACKEND"] = _BACKEND
    os.environ["TF_USE_LEGACY_KERAS"] = "0"
    try:
        import keras
    except (ValueError, TypeError, AttributeError) as error:  # from an invalid keras.json
        raise ConfigError(
            f"Keras cannot be imported: {one_line(error)}",
            "Correct or delete keras.json in ~/.keras or KERAS_HOME",
        ) from error
    if (used := keras.config.backend()) != _BACKEND:
        raise ConfigError(
            f"expected Keras on {_BACKEND}, received a process that uses it on {used}",
            f"Set KERAS_BACKEND={_BACKEND} before keras is imported, or start the trainer in another process",
        )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(_EPSILON)
