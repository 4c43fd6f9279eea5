"""The documents evaluation/SPLIT-WEIGHTS.json in a run's folder, as types."""

from typing import NotRequired, TypedDict

from trainer.runs.layout import WeightsName

HELD_OUT = ("test", "validation")
"""The splits that are not trained on; where nobody names one, the first that there is is evaluated."""


class EvaluatedSplit(TypedDict):
    """What was evaluated on.

    Attributes:
        url: of the dataset.
        identity: the SHA-256 of its index.
        split: train, validation or test.
    """

    url: str
    identity: str
    split: str


class CalibrationBin(TypedDict):
    """The images whose class has a probability in a range.

    Attributes:
        rows: their number.
        probability: its mean.
        accuracy: the fraction that is right.
    """

    rows: int
    probability: float
    accuracy: float


_Class = TypedDict("_Class", {"class": str})
"""A key that is a word of Python."""


class EvaluatedClass(_Class):
    """How well one class was predicted.

    Attributes:
        class: its name.
        rows: its images in the split.
        precision: the fraction of the images predicted as this class that are of it; null if there are none.
        recall: the fraction of its images that were predicted as it; null if it has none.
        f1: 2 TP / (2 TP + FP + FN).
    """

    rows: int
    precision: float | None
    recall: float | None
    f1: float


class ConfusedPair(_Class):
    """Images of one class that were predicted as another.

    Attributes:
        class: their class.
        predicted: what they were predicted as.
        rows: their number.
    """

    predicted: str
    rows: int


class MisclassifiedRow(_Class):
    """One image whose class was not predicted.

    Attributes:
        row: its number in the split.
        class: its class.
        predicted: what it was predicted as.
        probability: of what was predicted.
    """

    row: int
    predicted: str
    probability: float


class ChangedResult(TypedDict):
    """How well images were classified that were changed in one way.

    Attributes:
        change: what was done to them, in words.
        top1: as of the unchanged images, like the others.
        top5: null for up to 5 classes.
        loss: as `val_loss`.
    """

    change: str
    top1: float
    top5: float | None
    loss: float


class Sensitivity(TypedDict):
    """How sensitive the network is to changes of the images.

    Attributes:
        seed: of the changes that are drawn at random, by the seed and the row.
        changes: what was measured for each.
    """

    seed: int
    changes: list[ChangedResult]


class EvaluationDocument(TypedDict):
    """What `trainer evaluate` measured.

    Attributes:
        version: 1.
        run: URL of its folder.
        weights: best or last.
        weights_sha256: of their file.
        dataset: what they were evaluated on.
        parameters: the network's.
        rows: images of the split.
        loss: as `val_loss`.
        top1: the fraction whose class was predicted.
        top5: the fraction whose class is among the five most probable ones; null for up to 5 classes.
        calibration_error: the expected calibration error, in 15 bins.
        calibration: each bin; null if it is empty.
        classes: each class, in the order of the network's probabilities.
        confusion: images; rows are classes, columns predictions.
        most_confused: the 20 pairs with the most images.
        misclassified: the 100 with the highest probability.
        sensitivity: with `--sensitivity` or `--change`: the results on changed images; else null.
        warnings: sentences.
        written: URL of this document, printed only; absent with `--dataset`.
    """

    version: int
    run: str
    weights: WeightsName
    weights_sha256: str
    dataset: EvaluatedSplit
    parameters: int
    rows: int
    loss: float
    top1: float
    top5: float | None
    calibration_error: float
    calibration: list[CalibrationBin | None]
    classes: list[EvaluatedClass]
    confusion: list[list[int]]
    most_confused: list[ConfusedPair]
    misclassified: list[MisclassifiedRow]
    sensitivity: Sensitivity | None
    warnings: list[str]
    written: NotRequired[str]
