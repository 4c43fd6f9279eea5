"""What is counted agrees with scikit-learn, however the rows come in batches."""

import numpy as np
import pytest
from sklearn import metrics

from trainer.evaluation.tally import MAX_MISTAKES, Tally, metrics_per_class, most_confused

pytestmark = pytest.mark.fast

NAMES = tuple(f"class {number}" for number in range(7))


def drawn(rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 6, rows)  # of the last class there is no row
    probabilities = draw.random((rows, 7)).astype(np.float32)
    probabilities[np.arange(rows), labels] += 0.5
    return probabilities / probabilities.sum(1, keepdims=True), labels


@pytest.mark.parametrize("batch", [1, 64, 500])
def test_it_is_what_scikit_learn_says(batch: int) -> None:
    probabilities, labels = drawn()
    tally = Tally(7)
    for start in range(0, 500, batch):
        tally.add(probabilities[start : start + batch], labels[start : start + batch], start)
    predicted, every = probabilities.argmax(1), range(7)
    assert tally.top1 == metrics.accuracy_score(labels, predicted)
    assert tally.top5 / 500 == metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=every)
    assert tally.loss / 500 == pytest.approx(metrics.log_loss(labels, probabilities, labels=every), rel=1e-5)
    assert (tally.confusion == metrics.confusion_matrix(labels, predicted, labels=every)).all()
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    for i, of in enumerate(metrics_per_class(tally.confusion, NAMES)):
        assert (of.rows, of.precision or 0, of.recall or 0) == (rows[i], precision[i], recall[i])
        assert of.f1 == pytest.approx(f1[i])
    wrong = np.flatnonzero(predicted != labels)
    surest = sorted(wrong, key=lambda row: -probabilities[row].max())[:MAX_MISTAKES]
    assert [mistake.row for mistake in tally.worst] == surest
    label, taken, count = most_confused(tally.confusion, NAMES)[0]
    assert count == tally.confusion[NAMES.index(label), NAMES.index(taken)]


@pytest.mark.parametrize("cuts", [[], [200], [200, 200, 410]])
def test_ranks_together_have_the_tally_of_one(cuts: list[int]) -> None:
    probabilities, labels = drawn()
    whole = Tally(7)
    whole.add(probabilities, labels, 0)
    ranks, starts = [], [0, *cuts]
    for start, stop in zip(starts, [*cuts, 500], strict=True):
        ranks.append(Tally(7))
        ranks[-1].add(probabilities[start:stop], labels[start:stop], start)
    sent: list[np.ndarray] = []
    for rank, tally in enumerate(ranks):
        tally.summed(lambda flat: sent.append(flat) or flat, rank, len(ranks))  # type: ignore[func-returns-value]
    found = ranks[-1].summed(lambda _: np.sum(sent, axis=0), len(ranks) - 1, len(ranks))
    assert (found.rows, found.top5, found.worst) == (whole.rows, whole.top5, whole.worst)
    assert found.loss == pytest.approx(whole.loss)
    np.testing.assert_array_equal(found.confusion, whole.confusion)
    np.testing.assert_allclose(found.bins, whole.bins)


def test_the_calibration_error_of_a_network_that_is_too_sure() -> None:
    tally = Tally(2)
    tally.add(np.array([[0.9, 0.1]] * 10, np.float32), np.array([0] * 6 + [1] * 4), 0)
    assert tally.calibration_error == pytest.approx(0.3)
