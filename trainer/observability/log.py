"""Log lines: the time, the level if it is not info, and the message."""

import logging
import os

from trainer.output.progress import print_line


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{super().format(record)}"


def say(text: str) -> None:
    """Logs one line at level info."""
    logging.getLogger(__name__).info("%s", text)


class _AboveTheBar(logging.Handler):
    """Writes to stderr, above a progress bar; see `output.progress`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_line(self.format(record))
        except Exception:
            self.handleError(record)


def setup() -> None:
    """Logs to stderr, and turns off TensorFlow's native messages; call it before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = _AboveTheBar()
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("botocore", "absl", "h5py", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns about each retry, which the callers handle.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
