"""Log lines as `kubectl logs` shows them: a time, a level where it matters, and the message."""

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
    """A function of (done, total) that logs progress, at most every few seconds."""
    log, logged = logging.getLogger(__name__), time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal logged
        if time.monotonic() - logged >= every:
            logged = time.monotonic()
            log.info("%s %s of %s", what, f"{done:,}", f"{total:,}")

    return report


def setup() -> None:
    """Log to stderr, and turn off TensorFlow's native messages before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("botocore", "absl", "h5py", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(
        logging.ERROR
    )  # it warns of each retry; who asked says how it ended
