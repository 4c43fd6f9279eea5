"""Charts and confusion matrices as values and words."""

import json
import math

import numpy as np
import pytest

from tests.synthetic_pages import confusion_of, names_of
from trainer.output.html.charts import ChartMark, histogram, line_chart
from trainer.output.html.confusion import confused_together, confusion_matrix

pytestmark = pytest.mark.fast


def test_a_line_chart_has_finite_points_and_says_what_it_shows() -> None:
    points = [(1.0, 0.5), (2.0, math.nan), (3.0, 0.9), (4.0, math.inf)]
    series = {"a < b": points, "empty": []}
    chart = line_chart("accuracy", series, "epoch", "", [ChartMark(3.0, "best")], percent=True)
    assert chart is not None
    assert chart.description == "accuracy by epoch: a < b from 50.0% to 90.0%; best at epoch 3"
    assert chart.values["lines"] == [{"name": "a < b", "points": [[1.0, 0.5], [3.0, 0.9]]}]
    assert json.loads(json.dumps(chart.values, allow_nan=False))
    assert line_chart("loss", {"nothing": [(1.0, math.inf)]}, "x", "y") is None


def test_a_histogram_names_its_highest_bar() -> None:
    chart = histogram("probability", [0, 0, 1, 5], "probability", "images")
    assert chart is not None
    assert chart.description == "probability: 6 images; most, 5, from 0.8 to 1.0"
    assert chart.values["bars"][3] == [0.75, 1.0, 5]
    assert histogram("probability", [0, 0], "probability", "images") is None


@pytest.mark.parametrize("classes", [2, 20, 196])
def test_a_matrix_has_every_number_and_orders_of_all_classes(classes: int) -> None:
    counts, names = confusion_of(classes), names_of(classes)
    matrix = confusion_matrix(counts, names)
    again = np.zeros_like(counts)
    for row, column, images in matrix.values["cells"]:
        again[row, column] = images
    assert (again == counts).all()
    assert all(sorted(order) == list(range(classes)) for _, order in matrix.values["orders"])
    assert f"{np.trace(counts):,} of {counts.sum():,} images are right" in matrix.description
    assert len(matrix.table) == (classes if classes <= 20 else 0)


def test_classes_that_are_confused_are_neighbours() -> None:
    counts = np.eye(6, dtype=np.int64) * 9
    counts[0, 4] = counts[4, 2] = 5
    counts[1, 5] = 1
    assert confused_together(counts) == [0, 4, 2, 1, 5, 3]
    together, worst, given = (order for _, order in confusion_matrix(counts, names_of(6)).values["orders"])
    assert (worst[:2], given) == ([0, 4], list(range(6)))
    assert together == confused_together(counts)
