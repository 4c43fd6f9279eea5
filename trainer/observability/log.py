"""Log lines as `kubectl logs` shows them: a time, a level where it matters, and the message."""

import logging
import os

from trainer.output.progress import print_line


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{super().format(record)}"


def say(text: str) -> None:
    """One line."""
    logging.getLogger(__name__).info("%s", text)


class _AboveTheBar(logging.Handler):
    """To stderr; see `output.progress`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_line(self.format(record))
        except Exception:
            self.handleError(record)


def setup() -> None:
    """Log to stderr, and turn off TensorFlow's native messages before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = _AboveTheBar()
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("botocore", "absl", "h5py", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of each retry; who asked says how it ended.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
