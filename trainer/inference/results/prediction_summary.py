"""summary.json of a folder of predictions, as types."""

from typing import Any, NotRequired, TypedDict

from trainer.inference.forms import PredictionFormat


class PredictedClass(TypedDict):
    """The images that were predicted as one class.

    Attributes:
        images: their number.
        mean_probability: of that class.
    """

    images: int
    mean_probability: float


class PredictionBinding(TypedDict):
    """What predictions depend on; a folder holds those of one binding only.

    Attributes:
        run: URL of the run's folder, or the name of a network.
        weights: best, last or imagenet.
        weights_sha256: of their file.
        input: URL of the images.
        split: of the dataset that is the input; absent for other inputs, as is `dataset`.
        dataset: the SHA-256 of that dataset's index.
        part_size: images of a part.
        format: of the predictions.
        image_shape: (H, W, C) of what the network is given.
        prepared: `shape` and `resize` of the dataset's images, where they are known.
        standardize: as in the configuration of the run.
        pixels: `mean` and `std` of the training images.
        classes_sha256: of classes.json.
    """

    run: str
    weights: str
    weights_sha256: str
    input: str
    split: NotRequired[str]
    dataset: NotRequired[str]
    part_size: int
    format: PredictionFormat
    image_shape: list[int]
    prepared: dict[str, Any]
    standardize: str
    pixels: dict[str, Any]
    classes_sha256: str


class PredictionSummary(PredictionBinding):
    """What a prediction job did. Written last, by the pod of index 0.

    Attributes:
        version: 1.
        plan: SHA-256 of plan.json.
        output: URL of the folder.
        trainer: the version that wrote it.
        listed: objects of the input: `images` and `ignored`.
        images: those that the plan holds: `predicted` and `failed`.
        predicted: images with a prediction.
        failed: images that could not be read.
        ignored: objects that are not images by their names.
        ignored_by: rule -> objects.
        failed_by: reason -> images, the 20 most frequent reasons.
        parts: of the plan.
        mean_probability: of the predicted class; null without images.
        probabilities: a histogram of ten bins from 0 to 1.
        accuracy: the fraction whose class was predicted; null where the input has no classes.
        confusion: class of the dataset -> predicted class -> images; of a split alone.
        classes: predicted class -> its images.
        new: images that came after the plan was made.
        job: the Job's UID; empty outside a cluster.
    """

    version: int
    plan: str
    output: str
    trainer: str
    listed: int
    images: int
    predicted: int
    failed: int
    ignored: int
    ignored_by: dict[str, int]
    failed_by: dict[str, int]
    parts: int
    mean_probability: float | None
    probabilities: list[int]
    accuracy: float | None
    confusion: dict[str, dict[str, int]]
    classes: dict[str, PredictedClass]
    new: int
    job: str
