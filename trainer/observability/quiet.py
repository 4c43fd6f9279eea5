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
    """Holds back what native code writes to stderr meanwhile, and then passes all but the chatter on."""
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
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _CHATTER.search(line)))
