"""Log lines as `kubectl logs` shows them: a time, a level where it matters, and words."""

import logging
import os
import sys


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{super().format(record)}"


def setup() -> None:
    """Logs to stderr, and quiets TensorFlow's native chatter before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("botocore", "urllib3", "absl", "h5py", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
