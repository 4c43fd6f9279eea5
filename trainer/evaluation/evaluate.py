"""`trainer evaluate`: a run's weights on a split of its dataset, or of another one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import ConfigError, DataError
from trainer.evaluation.evaluation_document import Evaluated, dump_evaluation, evaluation_document
from trainer.evaluation.perturbations import Change, standard_changes
from trainer.evaluation.sensitivity import SensitivityTest
from trainer.evaluation.tally import Tally
from trainer.images.codec import decode_image
from trainer.inference.network import network_from_run
from trainer.observability.tensorflow_import import quiet_tensorflow_import, require_tensorflow
from trainer.reporting.write import first_evaluation
from trainer.runs import layout
from trainer.runs.documents.changed_values import dump_changed
from trainer.runs.documents.evaluation_values import HELD_OUT, EvaluationDocument
from trainer.runs.documents.heat_values import dump_heat
from trainer.runs.run_document import RunDocument, read_finished
from trainer.storage import open_store

if TYPE_CHECKING:
    from trainer.inference.predictor import Predictor

BUDGET_BYTES = 256 << 20
DEFAULT_SEED = 1

ProgressCallback = Callable[[int, int], None]


def evaluate(
    url: str,
    split_name: str | None,
    which: layout.WeightsName,
    *,
    dataset_url: str | None = None,
    sensitivity: bool = False,
    changes: Sequence[Change] = (),
    seed: int = DEFAULT_SEED,
    batch_size: int = 64,
    progress: ProgressCallback = lambda _done, _total: None,
) -> EvaluationDocument:
    """Evaluates each row of the split once: without a name, of the test split, or else of validation.

    With `changes` changed images as well, with `sensitivity` the standard ones; `seed` is that of random
    changes.

    Returns the document in docs/json.md, which is also written to the run's folder.

    Raises DataError where there is no run, split, or weights, ConfigError for a dataset with different
    classes.
    """
    require_tensorflow()
    store = open_store(url)
    network = network_from_run(url, which)
    run = network.run
    dataset = open_dataset(dataset_url or run.config.data.url)
    split_name = split_name or held_out(dataset)
    split = dataset.split(split_name)
    if tuple(dataset.classes) != tuple(run.classes):
        raise ConfigError(
            f"{dataset.url} has different classes than the run: {_difference(dataset.classes, run.classes)}",
            "Specify a dataset with the same classes in the same order",
        )
    if not split.rows:
        raise DataError(f"{dataset.url}: the split {split_name!r} has no rows", "Specify another split")
    with quiet_tensorflow_import():
        from trainer.evaluation.heat_maps import heat_document
        from trainer.inference.predictor import Predictor

    predictor = Predictor(network, batch_size)
    standard = standard_changes(run.image_shape, seed) if sensitivity else []
    more = [change for change in changes if change.name not in {one.name for one in standard}]
    test = SensitivityTest([*standard, *more], seed, run.image_shape[:2], len(run.classes))
    tally = _tally(predictor, run, dataset, split, test, progress)
    document = evaluation_document(
        Evaluated(store.url, which, network.weights_sha256, dataset, split_name, predictor.parameters),
        tally,
        sensitivity=test.document(),
        finished=read_finished(store),
    )
    if dataset_url is None:
        key = layout.evaluation(split_name, which)
        store.put(key, dump_evaluation(document))
        if document == first_evaluation(store) and dataset.image_shape == run.prepared_shape:
            heat = heat_document(predictor.model, predictor.prepare, dataset, document)
            if heat is not None:
                store.put(layout.HEAT_MAPS, dump_heat(heat))
            if test.changes:
                samples = test.samples(predictor, dataset, split, network.weights_sha256)
                store.put(layout.CHANGED_IMAGES, dump_changed(samples))
        document["written"] = f"{store.url}/{key}"
    return document


def held_out(dataset: Dataset) -> str:
    """The split to evaluate on: test, or else validation. Raises DataError where the dataset has neither."""
    for name in HELD_OUT:
        if name in dataset.splits:
            return name
    raise DataError(
        f"{dataset.url}: there is neither a test nor a validation split",
        "Evaluate on the images of the training with --split train, or prepare the dataset with such a split",
    )


def _difference(there: Sequence[str], expected: Sequence[str]) -> str:
    if len(there) != len(expected):
        return f"expected {len(expected)}, received {len(there)}"
    number = next(n for n, (name, other) in enumerate(zip(there, expected, strict=True)) if name != other)
    return f"number {number}: expected {expected[number]!r}, received {there[number]!r}"


def _tally(
    predictor: "Predictor",
    run: RunDocument,
    dataset: Dataset,
    split: Split,
    test: SensitivityTest,
    progress: ProgressCallback,
) -> Tally:
    tally = Tally(len(run.classes))
    reader = Reader(dataset, split, budget_bytes=BUDGET_BYTES)
    for batch in reader.batches_of(range(split.rows), predictor.batch_size):
        images = batch.images
        if dataset.image_shape != run.prepared_shape:
            size = run.prepared_shape[:2]
            images = np.stack([decode_image(image, size, resize=run.resize) for image in images])  # type: ignore[arg-type]
        labels = split.labels[tally.rows : tally.rows + len(images)]
        probabilities, loss = predictor.measured(images, labels)
        if not np.isfinite(probabilities).all():
            raise DataError(
                "the probabilities of the network are not finite", "Evaluate other weights of the run"
            )
        test.add(predictor, images, labels, tally.rows)
        tally.add(probabilities, labels, tally.rows, loss)
        progress(tally.rows, split.rows)
    return tally
