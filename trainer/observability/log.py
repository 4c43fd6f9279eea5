"""Log lines: the time, the level if it is not info, and the message; or one JSON object a line."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Literal, TypedDict, get_args

from trainer import interrupts
from trainer.errors import ConfigError
from trainer.output.progress import no_bars, print_line

LogFormat = Literal["text", "json"]
LOG_FORMAT_OPTION = "--log-format"
LOG_FORMAT = "TRAINER_LOG_FORMAT"
"""The variable of the format: processes that this one starts have the same."""


class LogLine(TypedDict):
    """A line of the log with `--log-format json`.

    Attributes:
        time: in ISO 8601, with microseconds.
        level: debug, info, warning, error or critical.
        rank: the rank that logs; null in a process that is not one, such as a pod's supervisor.
        message: the text, which may have several lines.
    """

    time: str
    level: str
    rank: int | None
    message: str


class _Text(logging.Formatter):
    """A terminal shows the time of day; in files and pods, which are read later, a line has the date and the
    zone."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        moment = datetime.fromtimestamp(record.created).astimezone()
        time = f"{moment:%H:%M:%S}" if sys.stderr.isatty() else moment.isoformat(timespec="seconds")
        return f"{time} {level}{super().format(record)}"


class _Json(logging.Formatter):
    def __init__(self, rank: int | None) -> None:
        super().__init__("%(message)s")
        self.rank = rank

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line: LogLine = {
            "time": moment,
            "level": record.levelname.lower(),
            "rank": self.rank,
            "message": super().format(record),
        }
        return json.dumps(line)


def log_as(rank: int) -> None:
    """Logs as `rank` from now on, which this process is in a new generation; nothing in other processes."""
    if _json and _json.rank is not None:
        _json.rank = rank


class LinesAboveTheBar(logging.Handler):
    """Prints above a progress bar; see `output.progress`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_line(self.format(record))
        except Exception:
            self.handleError(record)


_json: _Json | None = None
_every_step = False


def say(text: str) -> None:
    """Logs one line at level info."""
    logging.getLogger(__name__).info("%s", text)


def print_message(text: str, level: int = logging.INFO, *, prefix: str = "") -> None:
    """Prints a message that has no time on a screen, with a prefix there; as JSON it is like others."""
    print_line(_line(text, level) if _json else f"{prefix}{text}")


def print_line_of(child: str, line: str) -> None:
    """Prints a line of a child process with its name before it; a JSON line as it is."""
    if _json and line.startswith("{"):
        print_line(line)
    else:
        print_message(f"{child} | {line}")


def _line(text: str, level: int) -> str:
    assert _json
    return _json.format(logging.LogRecord(__name__, level, "", 0, text, None, None))


def be_quiet() -> None:
    """From now on warnings and errors alone, and no progress bar."""
    no_bars()
    logging.getLogger().setLevel(logging.WARNING)


def be_verbose() -> None:
    """From now on a line for each step of a training, in place of the progress bar."""
    global _every_step
    _every_step = True
    no_bars()


def is_verbose() -> bool:
    """Whether `be_verbose` was called."""
    return _every_step


def setup(form: LogFormat | None = None, *, rank: int | None = None) -> None:
    """Logs to stderr, and turns off TensorFlow's native messages; call it before TensorFlow is imported.

    `form`: by default the one in the environment, which this process's children inherit. Raises ConfigError
    for an unknown one there.
    """
    global _json
    chosen = form or os.environ.get(LOG_FORMAT) or "text"
    if chosen not in get_args(LogFormat):
        raise ConfigError(f"{LOG_FORMAT}: expected text or json, received {chosen!r}")
    _json = _Json(rank) if chosen == "json" else None
    if _json:
        no_bars()
        logging.captureWarnings(True)
        os.environ[LOG_FORMAT] = chosen
        interrupts.print_lines_with(lambda text: _line(text, logging.ERROR))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = LinesAboveTheBar()
    handler.setFormatter(_json or _Text("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("botocore", "absl", "h5py", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns about each retry, which the callers handle.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
