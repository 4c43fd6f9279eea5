"""The key of every object in a run's folder. Readers and writers take them from here.

run.json                                   what the run is
auto.json                                  what `recipe: auto` chose for it
generations/<n>                            tokens: the holder of the highest may write
checkpoints/<step>/<generation>-<uid>/     one attempt at a checkpoint
    arrays-00000.bin …                     the arrays, laid out in one buffer and cut into pieces
    state.json                             where each array lies, and the plain values
    commit.json                            size and SHA-256 of all of these; written last
weights/                                   the published weights
metrics.csv                                the metrics of each epoch
timing.csv                                 where the time of each epoch went
finished.json                              how the run ended
report/index.html                          the run's report
report/heat-maps.json                      where the network looked, in a few images
report/changed-images.json                 a few images as a test of sensitivity changes them
tensorboard/train/…, validation/…          the metrics of each epoch, with run.tensorboard
evaluation/test-best.json                  the evaluation of weights on a split
audit.json                                 failed audits: steps that are not trusted
running.json                               the gang that trains now; removed when it ends
"""

import re
from dataclasses import dataclass
from typing import Literal

RUN = "run.json"
CHOICE = "auto.json"
FINISHED = "finished.json"
METRICS = "metrics.csv"
TIMING = "timing.csv"
AUDIT = "audit.json"
HOLDER = "running.json"
WEIGHTS = "weights/"
CLASSES = "weights/classes.json"
CARD = "weights/card.md"
KERAS_MODEL = "weights/model.keras"
EVALUATION = "evaluation/"
TENSORBOARD = "tensorboard/"
REPORT = "report/index.html"
HEAT_MAPS = "report/heat-maps.json"
CHANGED_IMAGES = "report/changed-images.json"
TOKENS = "generations/"
CHECKPOINTS = "checkpoints/"
COMMIT = "commit.json"
STATE = "state.json"
FOLDERS = (WEIGHTS, EVALUATION, TENSORBOARD, "report/", TOKENS, CHECKPOINTS)

WeightsName = Literal["best", "last"]

_TOKEN = re.compile(rf"{TOKENS}(\d+)", re.ASCII)
_ATTEMPT = re.compile(rf"(?:(?P<run>.+)/)?{CHECKPOINTS}(\d+)/(\d+)-(\w+)/(?P<name>.+)", re.ASCII)

_ALONE = (RUN, CHOICE, FINISHED, METRICS, TIMING, AUDIT, HOLDER, REPORT, HEAT_MAPS, CHANGED_IMAGES)
_SINGLE = "|".join(map(re.escape, _ALONE))
_OWN = re.compile(
    rf"(?:(?P<run>.+)/)?(?P<own>{_SINGLE}"
    rf"|{WEIGHTS}[^/]+|{EVALUATION}[^/]+|{TENSORBOARD}\w+/[^/]+|{TOKENS}\d+|{CHECKPOINTS}\d+/\d+-\w+/[^/]+)",
    re.ASCII,
)


def split_run(key: str) -> tuple[str, str] | None:
    """An object's key -> the run's folder ("" for the store's root) and the key in it; None if runs have no
    such object."""
    match = _OWN.fullmatch(key)
    return (match["run"] or "", match["own"]) if match else None


def weights(name: WeightsName) -> str:
    """The key of the best or the last weights."""
    return f"weights/{weights_file_name(name)}"


def evaluation(split: str, weights: WeightsName) -> str:
    """The key of the evaluation of the best or the last weights on a split."""
    return f"{EVALUATION}{split}-{weights}.json"


def events(name: str) -> str:
    """The key of TensorBoard's events of "train" or "validation"."""
    return f"{TENSORBOARD}{name}/events.out.tfevents.run"


def weights_file_name(stem: str) -> str:
    """The name of a file of weights, as Keras requires it."""
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
"""Objects that only the run writes, and whose checksums are in finished.json."""


@dataclass(frozen=True, order=True)
class Attempt:
    """One attempt at a checkpoint. Attempts sort by step, generation and time: a higher one supersedes."""

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
    """An object's key -> the run's folder ("" for the store's root), the attempt, and the name within it.

    None for a key that `Attempt.key` does not produce.
    """
    match = _ATTEMPT.fullmatch(key)
    if not match:
        return None
    run, attempt = match["run"] or "", Attempt(int(match[2]), int(match[3]), match[4])
    expected = f"{run}/{attempt.key(match['name'])}" if run else attempt.key(match["name"])
    return (run, attempt, match["name"]) if key == expected else None
