"""metrics.csv can be plotted as the first document plots its training log."""

import csv

import pytest

from trainer.runs.history import read_history, write_history

pytestmark = pytest.mark.fast


def epoch(number: int, *, validation: bool = True) -> dict[str, float]:
    metrics = {
        "loss": 2.0 - number,
        "accuracy": 0.25 + number / 8,
        "top5_accuracy": 0.5,
        "learning_rate": 0.01,
    }
    if validation:
        metrics |= {"val_loss": 3.0 - number, "val_accuracy": 0.125 + number / 8, "val_top5_accuracy": 0.25}
    return metrics


def columns(content: bytes, using: str) -> list[tuple[float, float]]:
    """What gnuplot draws of `plot FILE using x:y` with a comma as separator: the lines of numbers."""
    x, y = (int(number) - 1 for number in using.split(":"))
    points = []
    for line in content.decode().splitlines():
        fields = line.split(",")
        try:
            points.append((float(fields[x]), float(fields[y])))
        except (IndexError, ValueError):
            continue
    return points


def test_columns_1_2_and_4_are_epoch_accuracy_and_validation_accuracy() -> None:
    content = write_history([epoch(number) for number in range(3)])
    assert columns(content, "1:2") == [(0, 0.25), (1, 0.375), (2, 0.5)]
    assert columns(content, "1:4") == [(0, 0.125), (1, 0.25), (2, 0.375)]


def test_an_epoch_without_validation_is_a_gap_in_that_line_only() -> None:
    content = write_history([epoch(0), epoch(1, validation=False), epoch(2)])
    assert [x for x, _ in columns(content, "1:2")] == [0, 1, 2]
    assert [x for x, _ in columns(content, "1:4")] == [0, 2]


def test_without_a_validation_split_it_is_whole() -> None:
    content = write_history([epoch(number, validation=False) for number in range(2)])
    assert columns(content, "1:2") == [(0, 0.25), (1, 0.375)]
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert [set(row) for row in rows] == [{"epoch", *epoch(0, validation=False)}] * 2
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_before_the_first_epoch_it_is_a_header() -> None:
    assert write_history([]) == b"epoch\n"


def test_it_is_read_as_it_was_written() -> None:
    history = [epoch(0), epoch(1, validation=False)]
    assert read_history(write_history(history)) == history
