"""The key of every object in a run's folder. Readers and writers take them from here.

run.json                                   what the run is
generations/<n>                            tokens: the holder of the highest may write
checkpoints/<step>/<generation>-<uid>/     one attempt at a checkpoint
    arrays-00000.bin …                     the arrays, laid out in one buffer and cut into pieces
    state.json                             where each array lies, and the plain values
    commit.json                            size and SHA-256 of all of these; written last
weights/                                   what people download
metrics.csv                                the metrics of each epoch
timing.csv                                 where the time of each epoch went
finished.json                              how the run ended
report/index.html                          the run for a person
tensorboard/train/…, validation/…          the metrics of each epoch, where run.tensorboard asks for them
evaluation/test-best.json                  what weights reached on a split
audit.json                                 what audits found: steps that are not trusted
"""

import re
from dataclasses import dataclass
from typing import Literal

RUN = "run.json"
FINISHED = "finished.json"
METRICS = "metrics.csv"
TIMING = "timing.csv"
AUDIT = "audit.json"
WEIGHTS = "weights/"
CLASSES = "weights/classes.json"
CARD = "weights/card.md"
KERAS_MODEL = "weights/model.keras"
EVALUATION = "evaluation/"
TENSORBOARD = "tensorboard/"
REPORT = "report/index.html"
TOKENS = "generations/"
CHECKPOINTS = "checkpoints/"
COMMIT = "commit.json"
STATE = "state.json"
FOLDERS = (WEIGHTS, EVALUATION, TENSORBOARD, "report/", TOKENS, CHECKPOINTS)

Which = Literal["best", "last"]

_TOKEN = re.compile(rf"{TOKENS}(\d+)", re.ASCII)
_ATTEMPT = re.compile(rf"(?:(?P<run>.+)/)?{CHECKPOINTS}(\d+)/(\d+)-(\w+)/(?P<name>.+)", re.ASCII)

_OWN = re.compile(
    rf"(?:(?P<run>.+)/)?(?P<own>{'|'.join(map(re.escape, (RUN, FINISHED, METRICS, TIMING, AUDIT, REPORT)))}"
    rf"|{WEIGHTS}[^/]+|{EVALUATION}[^/]+|{TENSORBOARD}\w+/[^/]+|{TOKENS}\d+|{CHECKPOINTS}\d+/\d+-\w+/[^/]+)",
    re.ASCII,
)


def split_run(key: str) -> tuple[str, str] | None:
    """An object's key -> the run's folder ("" for the store's own) and the key in it; None where no run has
    such an object."""
    match = _OWN.fullmatch(key)
    return (match["run"] or "", match["own"]) if match else None


def weights(which: Which) -> str:
    """The key of the best or the last weights."""
    return f"weights/{weights_file_name(which)}"


def evaluation(split: str, which: Which) -> str:
    """The key of what the best or the last weights reached on a split."""
    return f"{EVALUATION}{split}-{which}.json"


def events(name: str) -> str:
    """The key of TensorBoard's events of "train" or "validation"."""
    return f"{TENSORBOARD}{name}/events.out.tfevents.run"


def weights_file_name(stem: str) -> str:
    """The name that Keras wants a file of weights to have."""
    return f"{stem}.weights.h5"


def file_name(key: str) -> str:
    """The last part of a key."""
    return key.rpartition("/")[2]


def token(number: int) -> str:
    """The key of a token."""
    return f"{TOKENS}{number:08d}"


def token_number(key: str) -> int | None:
    """The number of the token at `key`; None for any other key."""
    match = _TOKEN.fullmatch(key)
    return int(match[1]) if match else None


def piece(number: int) -> str:
    """The name, within an attempt, of one piece of the arrays."""
    return f"arrays-{number:05d}.bin"


PUBLISHED = frozenset({weights("best"), weights("last"), KERAS_MODEL, CLASSES, METRICS})
"""What a run alone writes, and finished.json has the checksums of."""


@dataclass(frozen=True, order=True)
class Attempt:
    """The place of one attempt at a checkpoint. Attempts sort as they supersede each other: by step,
    generation and time."""

    step: int
    generation: int
    uid: str

    @property
    def prefix(self) -> str:
        return f"{CHECKPOINTS}{self.step:010d}/{self.generation:08d}-{self.uid}/"

    def key(self, name: str) -> str:
        return self.prefix + name

    def __str__(self) -> str:
        return f"checkpoint of step {self.step} ({self.prefix})"


def parse_checkpoint_key(key: str) -> tuple[str, Attempt, str] | None:
    """An object's key -> the run's folder ("" for the store's own), the attempt, and the name within it.

    None for any key that `Attempt.key` does not make.
    """
    match = _ATTEMPT.fullmatch(key)
    if not match:
        return None
    run, attempt = match["run"] or "", Attempt(int(match[2]), int(match[3]), match[4])
    own = f"{run}/{attempt.key(match['name'])}" if run else attempt.key(match["name"])
    return (run, attempt, match["name"]) if own == key else None
