"""Curves in a terminal."""

import pytest

from trainer.output.text_chart import Point, text_chart

pytestmark = pytest.mark.fast


def test_a_curve_goes_through_its_points() -> None:
    lines = text_chart("accuracy by epoch", {"training": [(1, 0.0), (5, 1.0)]}, width=30, height=5)
    marks = sorted((column, row) for row, line in enumerate(lines[1:6]) for column in _marks(line))
    columns, rows = zip(*marks, strict=True)
    assert columns == tuple(range(3, 30)), "one mark in each column"
    assert rows[0] == 4
    assert rows[-1] == 0
    assert rows == tuple(sorted(rows, reverse=True)), "it only rises"


def _marks(line: str) -> list[int]:
    return [place for place, letter in enumerate(line) if letter == "*"]


def test_two_curves_have_marks_of_their_own_and_no_line_is_too_long() -> None:
    points: dict[str, list[Point]] = {
        "training": [(1, 0.1), (2, 0.5), (3, 0.9)],
        "validation": [(1, 0.2), (2, float("nan")), (3, 0.4)],
    }
    lines = text_chart("accuracy by epoch", points, width=60, height=10)
    assert lines[0] == "accuracy by epoch   * training   o validation"
    assert len(lines) == 13
    assert max(map(len, lines[1:])) <= 60
    assert lines[1].startswith("0.9 |")
    assert lines[10].startswith("0.1 |*")
    assert sum(line.count("o") for line in lines[1:11]) > 40, "over the gap too"


@pytest.mark.parametrize(
    ("points", "marks"), [([], 0), ([(1.0, float("nan"))], 0), ([(1.0, 0.5)], 1), ([(1.0, 2), (2.0, 2)], 20)]
)
def test_few_points_or_none(points: list[Point], marks: int) -> None:
    lines = text_chart("loss", {"training": points}, width=20, height=4)
    assert sum(len(_marks(line)) for line in lines[1:]) == marks
    assert ("no values" in lines) == (marks == 0)
