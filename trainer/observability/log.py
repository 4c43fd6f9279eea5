"""Log lines as `kubectl logs` shows them: a time, a level where it matters, and words."""

import logging
import os
import sys
import time
from collections.abc import Callable


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{super().format(record)}"


def progress(what: str, every: float = 5.0) -> Callable[[int, int], None]:
    """A function of (done, total) that says so in the log, at most every few seconds."""
    log, spoke = logging.getLogger(__name__), time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal spoke
        if time.monotonic() - spoke >= every:
            spoke = time.monotonic()
            log.info("%s %s of %s", what, f"{done:,}", f"{total:,}")

    return say


def setup() -> None:
    """Logs to stderr, and quiets TensorFlow's native chatter before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("botocore", "urllib3", "absl", "h5py", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
