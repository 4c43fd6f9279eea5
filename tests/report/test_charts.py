"""Charts are legible: round numbers on named axes, everything inside the frame."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from trainer.report.charts import HEIGHT, WIDTH, line_chart, matrix, ticks

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.12, 0.83), (-3, 5e6), (1e-9, 2e-9), (4, 4), (0.5, 0.5000001)]
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 12
    assert len(set(np.round(np.diff(found), 12))) <= 2


def test_a_line_chart_names_its_axes_and_stays_inside() -> None:
    text = line_chart(
        {"a < b": [(1, 0.5), (2, float("nan")), (3, 0.9)], "empty": []}, "epoch", "loss", marks=[2]
    )
    svg = ElementTree.fromstring(re.sub("</?figure[^>]*>|<figcaption.*</figcaption>", "", text))
    assert {"epoch", "loss", "1", "3"} <= {element.text for element in svg.iter("text")}
    (line,) = svg.iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) == 2
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert "a &lt; b" in text
    assert line_chart({"nothing": [(1, float("inf"))]}, "x", "y") == ""


@pytest.mark.parametrize("size", [2, 20, 256])
def test_a_matrix_has_names_while_they_can_be_read(size: int) -> None:
    counts = np.eye(size, dtype=np.int64) * 5
    counts[0, 1] = 1
    names = [f"<class {number}>" for number in range(size)]
    text = matrix(counts, names)
    svg = ElementTree.fromstring(re.sub("</?figure[^>]*>", "", text))
    titles = [title.text for title in svg.iter("title")]
    assert len(titles) == size + 1
    assert ('text-anchor="end"' in text) == (size <= 20)
    assert "\u2068<class 0>\u2069 predicted as \u2068<class 1>\u2069: 1" in titles
