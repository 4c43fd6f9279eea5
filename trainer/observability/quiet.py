"""TensorFlow's first words: written before its log level is read, so nothing else can turn them off."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_CHATTER = re.compile(rb"All log messages before absl::InitializeLog|oneDNN custom operations are on")


@contextmanager
def quiet_import() -> Iterator[None]:
    """For the import of TensorFlow and Keras.

    What native code writes to stderr meanwhile is held back, and then passed on but for the chatter.
    Keras imports scikit-learn for wrappers that nobody here uses: half a second that it does without.
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
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            if absent:
                del sys.modules["sklearn"]
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _CHATTER.search(line)))
